import pytest
import torch
import torch.nn.functional as F
from mmengine.runner import save_checkpoint
from torch import nn

from mmattn import CAA, SE, PKINet
from mmattn.deploy import fold
from mmattn.inspection.gates import watching
from mmattn.inspection.sites import attention_sites
from mmattn.probe.count import count_multiply_adds
from tests.attention.test_caa import gate
from tests.backbones.backbone_tester import BackboneTester
from tests.helpers import randomize

TINY = dict(
    embed_dims=(8, 16, 24, 32, 48),
    depths=(1, 2, 1, 1),
    ffn_ratios=(4, 4, 2, 2),
    shortcut_ratios=(8, 4, 2, 2),
    shortcut_kernel_sizes=(5, 7, 3, 3),
)
PLAIN = dict(drop_rate=0.0, drop_path_rate=0.0)


class TestPKINet(BackboneTester):
    cls = PKINet
    tiny = dict(arch=TINY, **PLAIN)
    strides = (4, 8, 16, 32)
    stage_keys = ('stem', 'stage1', 'stage2', 'stage3', 'stage4')


def released(state_dict):
    """Give weights the names that the release has, the stem under both of its names."""
    layers = {'norm': '1', 'fc1': '3.conv', 'dwconv': '4.conv', 'fc2': '7.conv'}
    p = {}
    for key, value in state_dict.items():
        for ours, theirs in layers.items():
            key = key.replace(f'.ffn.{ours}.', f'.ffn.ffn_layers.{theirs}.')
        key = key.replace('.downsample.', '.downsample.down_conv.')
        if key.startswith('stem.'):
            p[key] = value
            key = key.replace('stem.', 'stages.0.')
        elif key.startswith('stage'):
            key = f'stages.{key.removeprefix("stage")}'
        p[key] = value
    return p


def equations(p, x, arch, training):
    """The network as the release has it, on a dict of released keys; a map of the stem, too."""

    def conv(x, name, **options):
        return F.conv2d(x, p[f'{name}.weight'], p.get(f'{name}.bias'), **options)

    def depthwise(x, name):
        k = p[f'{name}.weight'].shape[2]
        return conv(x, name, padding=k // 2, groups=x.shape[1])

    def batch_norm(x, name):
        mean, var = p[f'{name}.running_mean'], p[f'{name}.running_var']
        if training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-3).sqrt()
        return x * p[f'{name}.weight'][:, None, None] + p[f'{name}.bias'][:, None, None]

    def layer(x, name, **options):
        """Convolution, batch norm and SiLU."""
        x = batch_norm(conv(x, f'{name}.conv', **options), f'{name}.bn')
        return x / (1 + torch.exp(-x))

    def ffn(x, name):
        name = f'{name}.ffn_layers'
        mean, var = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
        x = (x - mean) / (var + 1e-5).sqrt()
        x = x * p[f'{name}.1.weight'][:, None, None] + p[f'{name}.1.bias'][:, None, None]
        x = depthwise(conv(x, f'{name}.3.conv'), f'{name}.4.conv')
        x = x / (1 + torch.exp(-x.mean((2, 3), keepdim=True)))
        return conv(x, f'{name}.7.conv')

    def block(x, name):
        y = layer(batch_norm(x, f'{name}.norm1'), f'{name}.block.pre_conv')
        near = depthwise(y, f'{name}.block.dw_conv.conv')
        out = near + sum(depthwise(near, f'{name}.block.dw_conv{i}.conv') for i in range(1, 5))
        out = layer(out, f'{name}.block.pw_conv')
        caa = f'{name}.block.caa_factor.'
        of_caa = {key.removeprefix(caa): value for key, value in p.items() if caa in key}
        out = layer(out + out * gate(y, of_caa, training), f'{name}.block.post_conv')
        x = x + p[f'{name}.gamma1'][:, None, None] * out
        out = ffn(batch_norm(x, f'{name}.norm2'), f'{name}.ffn')
        return x + p[f'{name}.gamma2'][:, None, None] * out

    x = layer(x, 'stages.0.down_conv', stride=2, padding=1)
    x = layer(layer(x, 'stages.0.conv1', padding=1), 'stages.0.conv2', padding=1)
    maps = [x]
    for i, depth in enumerate(arch['depths'], start=1):
        x = layer(x, f'stages.{i}.downsample.down_conv', stride=2, padding=1)
        a, b = layer(x, f'stages.{i}.conv1').chunk(2, 1)
        a = a + ffn(a, f'stages.{i}.ffn')
        # Side by side: each block sees the same map.
        b = sum(block(b, f'stages.{i}.blocks.{j}') for j in range(depth))
        x = layer(layer(torch.cat([a, b], 1), f'stages.{i}.conv2'), f'stages.{i}.conv3')
        maps.append(x)
    return maps


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_computes_the_released_network(training):
    model = randomize(PKINet(TINY, out_indices=range(5), **PLAIN)).double().train(training)
    p = {key: value.clone() for key, value in released(model.state_dict()).items()}
    x = torch.randn(2, 3, 71, 45, dtype=torch.float64, requires_grad=True)
    maps, expected = model(x), equations(p, x, TINY, training)
    for a, b in zip(maps, expected, strict=True):
        torch.testing.assert_close(a, b)
    rs = [torch.randn_like(m) for m in maps]
    [grad], [expected_grad] = (
        torch.autograd.grad(sum((m * r).sum() for m, r in zip(ms, rs, strict=True)), x)
        for ms in (maps, expected)
    )
    torch.testing.assert_close(grad, expected_grad)


# Of the released code, without a classifier; published are 4.13 M and 13.69 M for the first two.
@pytest.mark.parametrize(
    ('arch', 'millions', 'giga'),
    [('t', 4.157, 0.999), ('s', 13.740, 3.074), ('b', 25.922, 5.643)],
)
def test_costs(arch, millions, giga):
    with torch.device('meta'):
        model = PKINet(arch)
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert count == pytest.approx(millions, rel=1e-3)
    assert count_multiply_adds(model, (1, 3, 224, 224)) / 1e9 == pytest.approx(giga, rel=0.03)


@pytest.mark.parametrize(
    ('arch', 'message'),
    [
        ('l', "one of t, s, b or .* got 'l'"),
        (dict(embed_dims=(8, 16), depths=(1,)), 'keys embed_dims, depths, .*shortcut_kernel_sizes'),
        ({**TINY, 'depths': (1, 1, 1)}, 'one value per stage'),
        ({**TINY, 'embed_dims': (8, 16, 24, 32)}, 'one more in embed_dims'),
        ({**TINY, 'shortcut_kernel_sizes': (5, 7, 3, 4)}, r"arch\['shortcut_kernel_sizes'\]"),
    ],
    ids=['name', 'keys', 'lengths', 'stem', 'even kernel'],
)
def test_wrong_arch(arch, message):
    with pytest.raises(ValueError, match=message):
        PKINet(arch)


@pytest.mark.parametrize('type_', ['CAA', 'mmattn.CAA', CAA])
def test_strips_grow_from_block_to_block(type_):
    model = PKINet(TINY, attention=dict(type=type_, norm_cfg=None, act_cfg=None))
    widths = [b.block.caa_factor.h_conv.conv.kernel_size[1] for b in model.stage2.blocks]
    assert widths == [11, 13]
    model = PKINet(TINY, attention=dict(type=type_, kernel_size=7))
    widths = [b.block.caa_factor.h_conv.conv.kernel_size[1] for b in model.stage2.blocks]
    assert widths == [7, 7]


def test_other_attention_attends_to_the_sum_of_the_kernels():
    model = randomize(PKINet(TINY, attention=dict(type='SE', reduction=4), **PLAIN)).eval()
    module = model.stage1.blocks[0].block
    assert isinstance(module.caa_factor, SE)
    seen = {}
    module.caa_factor.register_forward_hook(lambda m, args, out: seen.update(out=out, args=args))
    module.pw_conv.register_forward_hook(lambda m, args, out: seen.update(total=out))
    module.post_conv.register_forward_hook(lambda m, args, out: seen.update(after=args[0]))
    model(torch.rand(1, 3, 64, 64))
    [total] = seen['args']
    assert torch.equal(total, seen['total'])
    assert torch.equal(seen['after'], total + seen['out'])


def test_an_identity_start_is_folded_away():
    model = randomize(PKINet(TINY, attention=dict(type='CAA', start='identity'), **PLAIN)).double()
    for module in model.modules():
        if isinstance(module, CAA):
            nn.init.zeros_(module.blend)
    folded = fold(model)
    assert not any(isinstance(module, CAA) for module in folded.modules())
    x = torch.rand(2, 3, 45, 67, dtype=torch.float64)
    for a, b in zip(folded(x), model.eval()(x), strict=True):
        torch.testing.assert_close(a, b)


@torch.no_grad()
def test_its_gates_are_seen():
    model = randomize(PKINet(TINY)).eval()
    sites = attention_sites(model)
    with watching(model, sites) as seen:
        model(torch.rand(1, 3, 64, 64))
    assert [one.site for one in seen] == list(sites) and len(sites) == 5
    assert [list(one.gates) for one in seen] == [['spatial']] * 5
    # What the gate is made of, and what it multiplies.
    assert {len(one.before) for one in seen} == {2}


def test_drop_path_rises_linearly():
    model = PKINet(TINY, drop_path_rate=0.4)
    rates = [
        getattr(block.drop_path, 'drop_prob', 0.0)
        for [stage] in model.stages()[1:]
        for block in stage.blocks
    ]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_dropout_is_in_the_blocks_alone():
    model = PKINet(TINY, drop_rate=0.25)
    for [stage] in model.stages()[1:]:
        assert stage.ffn.drop.p == 0
        assert {block.ffn.drop.p for block in stage.blocks} == {0.25}


def test_norms_and_start_of_the_release():
    torch.manual_seed(0)
    model = PKINet('t', out_indices=(1,))
    model.init_weights()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.03)}
    # Uniform within 1 / sqrt(fan_in).
    block = model.stage1.blocks[1]
    for conv, fan_in in (
        (model.stage1.conv2.conv, 32),
        (block.block.dw_conv4.conv, 121),
        (block.block.caa_factor.h_conv.conv, 13),
        (block.ffn.fc2, 64),
    ):
        assert 0.9 < conv.weight.abs().max().item() * fan_in**0.5 <= 1
        assert conv.bias is None or not conv.bias.any()
    # As mmcv draws it, of N(0, sqrt(2 / fan_out)).
    std = model.stem.conv1.conv.weight.std().item()
    assert std == pytest.approx((2 / 144) ** 0.5, rel=0.1)
    assert torch.equal(block.gamma1, torch.ones(16)) and torch.equal(block.gamma2, torch.ones(16))


def test_pretrained_takes_the_released_file(tmp_path):
    source = randomize(PKINet(TINY))
    path = tmp_path / 'pkinet.pth'
    save_checkpoint({'state_dict': released(source.state_dict())}, str(path))
    model = PKINet(TINY, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    model.init_weights()
    for (key, a), b in zip(model.state_dict().items(), source.state_dict().values(), strict=True):
        assert torch.equal(a, b), key


def test_the_released_weights_load_strictly():
    source = randomize(PKINet(TINY))
    p = released(source.state_dict())
    assert {'stem.conv1.conv.weight', 'stages.0.conv1.conv.weight'} < p.keys()
    model = PKINet(TINY)
    model.load_state_dict(p, strict=True)
    assert torch.equal(model.stem.conv1.conv.weight, source.stem.conv1.conv.weight)
    with pytest.raises(RuntimeError, match='Unexpected key.*neck'):
        model.load_state_dict({**p, 'neck.weight': torch.rand(1)}, strict=True)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(dtype):
    model = PKINet(TINY).eval()
    x = torch.rand(2, 3, 64, 96)
    expected = model(x)
    with torch.autocast('cpu', dtype):
        under_autocast = model(x)
    for maps in (under_autocast, model.to(dtype)(x.to(dtype))):
        for a, b in zip(maps, expected, strict=True):
            off = (a.float() - b).abs().max() / b.abs().max()
            assert off < 30 * torch.finfo(dtype).eps


def test_trains_on_one_image_of_one_pixel_a_map():
    model = PKINet(TINY).train()
    assert model.train() is model
    maps = model(torch.rand(1, 3, 32, 32))
    assert maps[-1].shape == (1, 48, 1, 1)
    sum(m.sum() for m in maps).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_norms_fold_away_but_those_ahead_of_layer_norms():
    model = randomize(PKINet(TINY)).double()
    folded = fold(model)
    left = [name for name, m in folded.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(left) == 5 and all(name.endswith('.norm2') for name in left)
    x = torch.rand(2, 3, 45, 67, dtype=torch.float64)
    for a, b in zip(folded(x), model.eval()(x), strict=True):
        torch.testing.assert_close(a, b)
