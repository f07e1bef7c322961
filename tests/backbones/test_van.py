import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner import save_checkpoint

from mmattn import VAN
from mmattn.attention import LKA
from mmattn.deploy import fold
from mmattn.errors import InputError
from mmattn.insertion import InsertAttention
from tests.backbones.backbone_tester import BackboneTester
from tests.helpers import randomize

TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 2, 1, 1), mlp_ratios=(8, 8, 4, 4))


class TestVAN(BackboneTester):
    cls = VAN
    tiny = dict(arch=TINY)
    strides = (4, 8, 16, 32)
    stage_keys = tuple(f'patch_embed{i},block{i},norm{i}' for i in range(1, 5))

    def name_in(self, scope):
        # mmpretrain has a VAN of its own.
        return 'mmattn.VAN' if scope == 'mmpretrain' else 'VAN'


def gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def conv(p, x, name, **options):
    return F.conv2d(x, p[f'{name}.weight'], p[f'{name}.bias'], **options)


def below(p, name):
    """Give the weights of a module by their names within it."""
    return {k.removeprefix(f'{name}.'): v for k, v in p.items() if k.startswith(f'{name}.')}


def batch_norm(p, x, name, training):
    if training:
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    else:
        mean, var = p[f'{name}.running_mean'], p[f'{name}.running_var']
    x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
    return x * p[f'{name}.weight'][:, None, None] + p[f'{name}.bias'][:, None, None]


def lka(p, u, name):
    channels = u.shape[1]
    gate = conv(p, u, f'{name}.conv0', padding=2, groups=channels)
    gate = conv(p, gate, f'{name}.conv_spatial', padding=9, dilation=3, groups=channels)
    return u * conv(p, gate, f'{name}.conv1')


def one_convolution(p, x, training):
    x = conv(p, x, 'patch_embed1.proj', stride=4, padding=3)
    return batch_norm(p, x, 'patch_embed1.norm', training)


def equations(p, x, arch, eps, training, gated=lka, embedded=one_convolution):
    """The network as the paper and its release describe it, on a dict of released keys.

    Args:
        gated: What is between the 1x1 convolutions of the attention.
        embedded: What is ahead of the blocks of the first stage.
    """
    maps = []
    for i, (channels, depth, ratio) in enumerate(
        zip(arch['embed_dims'], arch['depths'], arch['mlp_ratios'], strict=True), start=1
    ):
        if i == 1:
            x = embedded(p, x, training)
        else:
            x = conv(p, x, f'patch_embed{i}.proj', stride=2, padding=1)
            x = batch_norm(p, x, f'patch_embed{i}.norm', training)
        for j in range(depth):
            block = f'block{i}.{j}'
            shortcut = batch_norm(p, x, f'{block}.norm1', training)
            u = gelu(conv(p, shortcut, f'{block}.attn.proj_1'))
            out = gated(p, u, f'{block}.attn.spatial_gating_unit')
            out = conv(p, out, f'{block}.attn.proj_2') + shortcut
            x = x + p[f'{block}.layer_scale_1'][:, None, None] * out
            out = conv(p, batch_norm(p, x, f'{block}.norm2', training), f'{block}.mlp.fc1')
            out = conv(p, out, f'{block}.mlp.dwconv.dwconv', padding=1, groups=channels * ratio)
            out = conv(p, gelu(out), f'{block}.mlp.fc2')
            x = x + p[f'{block}.layer_scale_2'][:, None, None] * out
        mean, var = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
        x = (x - mean) / (var + eps).sqrt()
        x = x * p[f'norm{i}.weight'][:, None, None] + p[f'norm{i}.bias'][:, None, None]
        maps.append(x)
    return maps


def computes_the_equations(model, training, **what):
    """Compare maps and the gradient of the image with those of :func:`equations`."""
    randomize(model).double().train(training)
    p = {key: value.clone() for key, value in model.state_dict().items()}
    x = torch.randn(2, 3, 71, 45, dtype=torch.float64, requires_grad=True)
    maps, expected = model(x), equations(p, x, TINY, training=training, **what)
    torch.testing.assert_close(list(maps), expected)
    rs = [torch.randn_like(m) for m in maps]
    [grad], [expected_grad] = (
        torch.autograd.grad(sum((m * r).sum() for m, r in zip(ms, rs, strict=True)), x)
        for ms in (maps, expected)
    )
    torch.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('eps', [1e-6, 1e-1])
def test_computes_the_released_network(eps, training):
    model = VAN(TINY, stage_norm_cfg=dict(type='LN', eps=eps))
    computes_the_equations(model, training, eps=eps)


# Recomputed from the paper's table of widths and depths; published sizes include the classifier.
@pytest.mark.parametrize(
    ('arch', 'millions'),
    [
        ('b0', 3.849),
        ('b1', 13.349),
        ('b2', 26.065),
        ('b3', 44.253),
        ('b4', 59.770),
        ('b5', 89.199),
        ('b6', 199.06),
    ],
)
def test_parameters(arch, millions):
    with torch.device('meta'):
        model = VAN(arch)
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert count == pytest.approx(millions, abs=0.005 if arch == 'b6' else 0.0005)


@pytest.mark.parametrize(
    ('arch', 'message'),
    [
        ('b7', "one of b0, b1, .* got 'b7'"),
        (dict(embed_dims=(8,), depths=(1,)), 'keys embed_dims, depths and mlp_ratios'),
        (dict(embed_dims=(8, 8), depths=(1,), mlp_ratios=(4,)), 'one value per stage'),
    ],
    ids=['name', 'keys', 'lengths'],
)
def test_wrong_arch(arch, message):
    with pytest.raises(ValueError, match=message):
        VAN(arch)


def test_drop_path_rises_linearly():
    model = VAN(TINY, drop_path_rate=0.4)
    rates = [
        getattr(block.drop_path, 'drop_prob', 0.0)
        for _, blocks, _ in model.stages()
        for block in blocks
    ]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_released_initialization():
    model = VAN('b0')
    model.init_weights()
    block = model.block3[0]
    # fan_out / groups: 160 channels for 1x1, 25 and 49 taps for the depthwise convolutions.
    for conv, fan_out in [
        (block.attn.proj_1, 160),
        (block.attn.spatial_gating_unit.conv0, 25),
        (block.attn.spatial_gating_unit.conv_spatial, 49),
        (model.patch_embed1.proj, 49 * 32),
    ]:
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
        assert conv.weight.mean().item() == pytest.approx(0, abs=0.1 * math.sqrt(2 / fan_out))
        assert not conv.bias.any()
    assert torch.equal(block.layer_scale_1, torch.full((160,), 1e-2))


def released(model):
    """State dict as the authors publish it: the backbone's keys and a classifier."""
    classifier = {'head.weight': torch.rand(10, 32), 'head.bias': torch.rand(10)}
    return {**model.state_dict(), **classifier}


def test_mmpretrain_weights_compute_the_same():
    from mmpretrain.models.backbones import VAN as Theirs

    arch = dict(embed_dims=[8, 16, 24, 32], depths=[1, 2, 1, 1], ffn_ratios=[8, 8, 4, 4])
    theirs = randomize(Theirs(arch=arch, out_indices=(0, 1, 2, 3)))
    # .train() of theirs returns None, hence two statements.
    theirs.eval()
    ours = VAN(TINY, stage_norm_cfg=dict(type='LN', eps=1e-5)).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 3, 64, 96)
    for a, b in zip(ours(x), theirs(x), strict=True):
        torch.testing.assert_close(a, b)


def test_pretrained_takes_the_released_file(tmp_path, caplog):
    source = randomize(VAN(TINY))
    path = tmp_path / 'van.pth'
    save_checkpoint({'state_dict': released(source)}, str(path))
    model = VAN(TINY, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    model.init_weights()
    for (key, a), b in zip(model.state_dict().items(), source.state_dict().values(), strict=True):
        assert torch.equal(a, b), key


def test_pretrained_takes_the_backbone_of_a_model(tmp_path):
    source = randomize(VAN(TINY))
    path = tmp_path / 'classifier.pth'
    state_dict = {f'module.backbone.{key}': value for key, value in source.state_dict().items()}
    save_checkpoint({'state_dict': {**state_dict, 'module.head.fc.bias': torch.rand(3)}}, str(path))
    model = VAN(TINY, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    model.init_weights()
    assert torch.equal(model.block2[1].layer_scale_2, source.block2[1].layer_scale_2)


@pytest.mark.parametrize(
    'other',
    [
        dict(arch={**TINY, 'embed_dims': (8, 16, 24, 40)}),
        dict(arch={**TINY, 'depths': (1, 1, 1, 1)}),
    ],
)
def test_pretrained_of_another_size_is_refused(tmp_path, other):
    path = tmp_path / 'other.pth'
    save_checkpoint(VAN(**other).state_dict(), str(path))
    model = VAN(TINY, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    with pytest.raises(InputError, match=r'other\.pth is of another architecture than this VAN'):
        model.init_weights()


@pytest.mark.parametrize(
    'place', ['0', '0.weight', 'x.normalization.weight', '0.downsampling.weight', '0.layers.x.a.b']
)
def test_a_key_that_no_stage_has_stays_unknown(place):
    key = f'encoder.stages.{place}'
    assert VAN.own_key(key) == key


def test_strict_loading_still_refuses_strangers():
    with pytest.raises(RuntimeError, match='Unexpected key.*stem'):
        VAN(TINY).load_state_dict(
            {**VAN(TINY).state_dict(), 'stem.weight': torch.rand(1)}, strict=True
        )


def blocks_of(model):
    kinds = [type(m).__name__ for m in model.modules()]
    return kinds.count('FoldedBlock'), kinds.count('Block')


def test_folds_into_blocks_without_norms_and_scales():
    model = randomize(VAN(TINY, drop_rate=0.2, drop_path_rate=0.2)).double()
    folded = fold(model)
    assert blocks_of(folded) == (5, 0)
    assert not any('layer_scale' in name for name, _ in folded.named_parameters())
    x = torch.rand(2, 3, 45, 67, dtype=torch.float64)
    for a, b in zip(folded(x), model.eval()(x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    [units] = {type(m.attn.spatial_gating_unit) for m in folded.modules() if hasattr(m, 'attn')}
    assert units == LKA


def test_an_identity_start_is_folded_away_with_its_unit():
    folded = fold(VAN(TINY, attention=dict(type='LKA', start='identity')))
    assert blocks_of(folded) == (5, 0)
    assert not any(isinstance(module, LKA) for module in folded.modules())


@pytest.mark.parametrize('site', ['attn', 'attn.proj_1', 'norm1', 'mlp', 'mlp.fc2'])
def test_a_block_with_something_else_inside_stays(site):
    sites = [dict(after=rf'block1\.0\.{site}', attention=dict(type='SE', reduction=2))]
    model = randomize(InsertAttention(host=VAN(TINY), sites=sites))
    folded = fold(model)
    assert blocks_of(folded) == (4, 1)


def test_a_block_with_other_norms_stays():
    folded = fold(VAN(TINY, norm_cfg=dict(type='GN', num_groups=2)))
    assert blocks_of(folded) == (0, 5)
