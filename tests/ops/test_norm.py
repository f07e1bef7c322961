"""Norm layers that are given a single value per channel to train on."""

import pytest
import torch
import torch.distributed as dist
from mmengine.model import revert_sync_batchnorm
from torch import nn

from mmattn.ops.norm import norm_any_batch
from mmattn.ops.precision import in_float32
from tests.helpers import randomize


def test_running_values_are_used_and_kept():
    norm = randomize(nn.BatchNorm2d(3)).train()
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    x = torch.randn(1, 3, 1, 1)
    out = norm_any_batch(norm, x)
    torch.testing.assert_close(out, norm.eval()(x))
    for name, tensor in norm.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize('back', [False, True], ids=['converted', 'reverted'])
def test_norms_that_take_the_place_of_a_batch_norm(back):
    """Training on several devices exchanges the norm layers of a built model."""
    model = nn.Sequential(randomize(nn.BatchNorm2d(3))).train()
    x = torch.randn(1, 3, 1, 1)
    expected = norm_any_batch(model[0], x)
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model = revert_sync_batchnorm(model) if back else model
    assert type(model[0]) is not nn.BatchNorm2d
    torch.testing.assert_close(norm_any_batch(model[0], x), expected)


@pytest.mark.parametrize('shape', [(2, 3, 1, 1), (1, 3, 2, 1), (1, 3, 1, 2)], ids=str)
def test_two_values_are_trained_on(shape):
    norm = nn.BatchNorm2d(3).train()
    norm_any_batch(norm, torch.randn(shape))
    assert norm.num_batches_tracked == 1


def test_without_running_statistics_pytorch_refuses():
    norm = nn.BatchNorm2d(3, track_running_stats=False).train()
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        norm_any_batch(norm, torch.randn(1, 3, 1, 1))


def test_without_weights():
    norm = nn.BatchNorm2d(3, affine=False).train()
    x = torch.randn(1, 3, 1, 1)
    torch.testing.assert_close(norm_any_batch(norm, x), norm.eval()(x))


class OverProcesses(nn.SyncBatchNorm):
    """On a CPU there is none that runs."""

    def forward(self, x):
        return x + 100


@pytest.mark.parametrize(
    ('ready', 'processes', 'synchronized'), [(True, 2, True), (True, 1, False), (False, 2, False)]
)
def test_values_of_other_processes_count(monkeypatch, ready, processes, synchronized):
    groups = []

    def get_world_size(group):
        groups.append(group)
        return processes

    monkeypatch.setattr(dist, 'is_initialized', lambda: ready)
    monkeypatch.setattr(dist, 'get_world_size', get_world_size)
    norm = OverProcesses(3, process_group='mine').train()
    out = norm_any_batch(norm, torch.zeros(1, 3, 1, 1))
    assert (out == (100 if synchronized else 0)).all()
    assert groups == (['mine'] if ready else [])


def test_pooled_statistics_of_other_processes_are_taken_in_float32(monkeypatch):
    monkeypatch.setattr(dist, 'is_initialized', lambda: True)
    monkeypatch.setattr(dist, 'get_world_size', lambda group: 2)
    norm = OverProcesses(3).half().train()
    given = []
    norm.register_forward_pre_hook(lambda module, args: given.append(args[0].dtype))
    assert in_float32(norm, torch.zeros(1, 3, 1, 1)).dtype == torch.float32
    assert given == [torch.float32]


def test_another_norm_is_not_asked_for_processes(monkeypatch):
    monkeypatch.setattr(dist, 'is_initialized', lambda: True)
    monkeypatch.setattr(dist, 'get_world_size', lambda group: 2)
    norm = nn.BatchNorm2d(3).train()
    assert (norm_any_batch(norm, torch.zeros(1, 3, 1, 1)) == 0).all()


class Doubled(nn.GroupNorm):
    def forward(self, x):
        return 2 * super().forward(x)


def test_a_group_norm_of_another_kind_computes_what_it_does():
    norm, doubled = nn.GroupNorm(2, 4), Doubled(2, 4)
    x = torch.randn(2, 4, 3, 1)
    torch.testing.assert_close(in_float32(doubled, x), 2 * in_float32(norm, x))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize('apply', [in_float32, norm_any_batch])
def test_group_norm_of_one_value_is_its_bias(apply, dtype):
    norm = randomize(nn.GroupNorm(4, 4)).to(dtype)
    out = apply(norm, torch.randn(1, 4, 1, 1))
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, norm.bias.float().view(1, 4, 1, 1), rtol=0, atol=1e-3)


def test_pooled_batch_norm_of_one_value_has_half_weights():
    norm = randomize(nn.BatchNorm2d(3)).half().train()
    out = in_float32(norm, torch.randn(1, 3, 1, 1))
    assert out.dtype == torch.float32
    assert norm.num_batches_tracked == 0


@pytest.mark.parametrize('affine', [True, False])
def test_group_norm_of_half_weights_takes_a_profile_in_float32(affine):
    norm = nn.GroupNorm(2, 4, affine=affine).half()
    x = torch.randn(2, 4, 3, 1)
    out = in_float32(norm, x)
    torch.testing.assert_close(out, nn.GroupNorm(2, 4)(x))
