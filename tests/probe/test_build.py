"""A model from a config: where its weights are, and what it needs to run."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from mmattn import VAN
from mmattn.errors import InputError
from mmattn.probe.build import build, meta_device

SMALL = dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), mlp_ratios=(2, 2, 2, 2))


def config(**options):
    return Config(dict(model=dict(type='mmattn.VAN', arch=SMALL, **options)))


@pytest.mark.parametrize(('options', 'device'), [({}, 'meta'), (dict(meta=False), 'cpu')])
def test_weights_have_values_where_they_are_asked_for(options, device):
    model = build(config(), **options)
    assert type(model) is VAN
    assert {tensor.device.type for tensor in model.state_dict().values()} == {device}


def test_names_are_those_of_the_scope():
    cfg = Config(dict(default_scope='mmpretrain', model=dict(type='VAN', arch='tiny')))
    assert type(build(cfg)) is MODELS.get('mmpretrain.VAN') is not VAN


def test_a_config_without_model():
    with pytest.raises(InputError, match=r'^config .* has no model; give one that trains$'):
        build(Config(dict(optimizer=dict(type='SGD'))))


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_synchronized_norms_need_no_other_process(training):
    model = build(config(norm_cfg=dict(type='SyncBN')), meta=False).train(training)
    assert any(isinstance(module, nn.SyncBatchNorm) for module in model.modules())
    assert all(x.isfinite().all() for x in model(torch.rand(2, 3, 64, 64)))


def test_spaced_values_are_there_on_the_device_without_any():
    with meta_device():
        assert torch.linspace(0, 1, 3).tolist() == [0, 0.5, 1]
        assert torch.rand(3).is_meta
