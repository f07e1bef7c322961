import pytest
import torch
from mmengine.runner import save_checkpoint

from mmattn import MSCAN
from mmattn.attention import MSCA
from mmattn.backbones import base
from mmattn.backbones.gated_pyramid import Block
from mmattn.deploy import fold
from mmattn.errors import InputError
from mmattn.probe.count import count_multiply_adds, count_parameters
from tests.backbones import test_van
from tests.backbones.backbone_tester import BackboneTester
from tests.backbones.test_van import (
    TINY,
    batch_norm,
    blocks_of,
    computes_the_equations,
    conv,
    gelu,
)
from tests.helpers import randomize


class TestMSCAN(BackboneTester):
    cls = MSCAN
    tiny = dict(arch=TINY)
    strides = (4, 8, 16, 32)
    stage_keys = test_van.TestVAN.stage_keys

    def name_in(self, scope):
        # mmseg has an MSCAN of its own.
        return 'mmattn.MSCAN' if scope == 'mmseg' else 'MSCAN'


def msca(p, u, name):
    near = conv(p, u, f'{name}.conv0', padding=2, groups=u.shape[1])
    gate = near
    for i, half in enumerate((3, 5, 10)):
        strip = conv(p, near, f'{name}.conv{i}_1', padding=(0, half), groups=u.shape[1])
        gate = gate + conv(p, strip, f'{name}.conv{i}_2', padding=(half, 0), groups=u.shape[1])
    return u * conv(p, gate, f'{name}.conv3')


def two_convolutions(p, x, training):
    x = conv(p, x, 'patch_embed1.proj.0', stride=2, padding=1)
    x = gelu(batch_norm(p, x, 'patch_embed1.proj.1', training))
    x = conv(p, x, 'patch_embed1.proj.3', stride=2, padding=1)
    return batch_norm(p, x, 'patch_embed1.proj.4', training)


RELEASED = dict(eps=1e-5, gated=msca, embedded=two_convolutions)


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_computes_the_released_network(training):
    computes_the_equations(MSCAN(TINY), training, **RELEASED)


# Counted of the released code; the paper's figures include the classifier, of 1000 classes.
@pytest.mark.parametrize(
    ('arch', 'millions', 'gmacs', 'published', 'published_gmacs'),
    [
        ('t', 3.904, 0.887, 4.2, 0.9),
        ('s', 13.450, 2.56, 14.0, 2.5),
        ('b', 26.278, 5.08, 26.8, 5.1),
        ('l', 44.637, 9.05, 45.2, 9.1),
    ],
)
def test_counts(arch, millions, gmacs, published, published_gmacs):
    with torch.device('meta'):
        model = MSCAN(arch)
    count = count_parameters(model) / 1e6
    assert count == pytest.approx(millions, abs=0.0005)
    assert count + 1.001 * model.out_channels[-1] / 1e3 == pytest.approx(published, abs=0.06)
    adds = count_multiply_adds(model, (1, 3, 224, 224)) / 1e9
    assert adds == pytest.approx(gmacs, rel=0.005)
    assert adds == pytest.approx(published_gmacs, abs=0.07)


def mscan_of_mmseg():
    theirs = pytest.importorskip('mmseg.models.backbones').MSCAN(
        embed_dims=list(TINY['embed_dims']),
        depths=list(TINY['depths']),
        mlp_ratios=list(TINY['mlp_ratios']),
        norm_cfg=dict(type='BN'),
    )
    return randomize(theirs).eval()


def test_mmseg_weights_compute_the_same():
    theirs, ours = mscan_of_mmseg(), MSCAN(TINY).eval()
    assert [MSCAN.own_key(key) for key in theirs.state_dict()] == [*ours.state_dict()]
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 3, 64, 96)
    for a, b in zip(ours(x), theirs(x), strict=True):
        torch.testing.assert_close(a, b)


def test_the_norm_of_a_stage_is_in_the_way_to_the_next_one():
    """So none is built in vain: a norm whose map is not returned has a gradient all the same."""
    model = randomize(MSCAN(TINY, out_indices=(1, 3))).train()
    sum(m.square().mean() for m in model(torch.randn(2, 3, 64, 64))).backward()
    assert all(getattr(model, f'norm{i}').weight.grad.abs().sum() > 0 for i in range(1, 5))
    names = dict(MSCAN(TINY, out_indices=(0, 1)).named_children())
    assert {'patch_embed3', 'block3', 'norm3', 'norm4'}.isdisjoint(names)


@pytest.mark.parametrize('beside', [{}, {'ema_backbone_block4_0_norm1_weight': torch.rand(32)}])
@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_pretrained_takes_the_released_file(tmp_path, prefix, beside):
    source, path = randomize(MSCAN(TINY)), str(tmp_path / 'mscan.pth')
    weights = {prefix + key: value for key, value in source.state_dict().items()}
    head = {'head.weight': torch.rand(10, 32), 'head.bias': torch.rand(10)}
    save_checkpoint({'state_dict': {**weights, **head, **beside}}, path)
    model = MSCAN(TINY, init_cfg=dict(type='Pretrained', checkpoint=path))
    model.init_weights()
    for (key, a), b in zip(model.state_dict().items(), source.state_dict().values(), strict=True):
        assert torch.equal(a, b), key


def test_averages_are_set_aside_in_few_words(monkeypatch):
    said = []
    monkeypatch.setattr(base, 'print_log', lambda line, logger: said.append(line))
    model = MSCAN(TINY)
    averages = {f'ema_backbone_{k.replace(".", "_")}': v for k, v in model.state_dict().items()}
    model.load_state_dict({**model.state_dict(), **averages}, strict=True)
    what = f'{len(averages)} tensors set aside, their parts are not built here (ema_)'
    assert said == [f'MSCAN: {what}']


def test_folds():
    model = randomize(MSCAN(TINY)).double()
    folded = fold(model)
    assert blocks_of(folded) == (5, 0)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    x = torch.rand(2, 3, 45, 67, dtype=torch.float64)
    for a, b in zip(folded(x), model.eval()(x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_lean_form_has_the_same_gradients():
    plain = randomize(MSCAN(TINY)).double().train()
    lean = MSCAN(TINY, lean=True).double().train()
    lean.load_state_dict(plain.state_dict())
    block = next(m for m in lean.modules() if isinstance(m, Block))
    assert type(block.attn.spatial_gating_unit) is MSCA
    # Of the strips, more is kept than one chain of convolutions would need.
    assert block.attn.branch() is None and block.mlp.branch() is not None
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    for model in (plain, lean):
        sum(m.square().mean() for m in model(x)).backward()
    for (name, a), b in zip(plain.named_parameters(), lean.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)


@pytest.mark.parametrize(
    ('arch', 'message'),
    [
        ('b0', "MSCAN: expected arch one of t, s, b, l or a dict of .*, got 'b0'"),
        (dict(TINY, embed_dims=(1, 2, 3, 4)), 'MSCAN: expected 2 channels or more .*, got 1'),
    ],
)
def test_wrong_arch(arch, message):
    with pytest.raises(InputError, match=message):
        MSCAN(arch)
