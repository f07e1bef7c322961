import pytest
import torch
import torch.nn.functional as F
from timm.layers import SplitAttn

from mmattn.attention.split_attention import SplitAttention
from tests.helpers import randomize

SplitAttentionConv2d = pytest.importorskip(
    'mmpretrain.models.backbones.resnest'
).SplitAttentionConv2d


def batch_norm(x, p, name, training):
    n, _, h, w = x.shape
    if training and n * h * w > 1:
        mean = torch.einsum('nchw->c', x) / (n * h * w)
        var = torch.einsum('nchw->c', (x - mean[:, None, None]) ** 2) / (n * h * w)
    else:
        mean, var = p[f'{name}.running_mean'], p[f'{name}.running_var']
    scale = p[f'{name}.weight'] / torch.sqrt(var + 1e-5)
    return x * scale[:, None, None] + (p[f'{name}.bias'] - mean * scale)[:, None, None]


def grouped(x, weight, groups):
    """A grouped convolution with a square odd kernel as a sum of shifted maps."""
    n, c, h, w = x.shape
    k = weight.shape[-1]
    padded = F.pad(x, [k // 2] * 4).reshape(n, groups, c // groups, h + k - 1, w + k - 1)
    weight = weight.reshape(groups, -1, c // groups, k, k)
    out = sum(
        torch.einsum('goi,ngihw->ngohw', weight[..., i, j], padded[..., i : i + h, j : j + w])
        for i in range(k)
        for j in range(k)
    )
    return out.reshape(n, -1, h, w)


def split(x, p, radix, groups, training):
    """Give the versions (N, radix, C, H, W) and their weights, one cardinal group at a time."""
    n, c, h, w = x.shape
    u = grouped(x, p['conv.weight'], groups * radix)
    u = batch_norm(u, p, 'bn0', training).clamp(min=0).reshape(n, radix, c, h, w)
    gap = torch.einsum('nrchw->nc', u)[..., None, None] / (h * w)
    z = grouped(gap, p['fc1.weight'], groups) + p['fc1.bias'][:, None, None]
    z = batch_norm(z, p, 'bn1', training).clamp(min=0)
    logits = grouped(z, p['fc2.weight'], groups) + p['fc2.bias'][:, None, None]
    per_group = c // groups
    weights = torch.zeros(n, radix, c, 1, 1, dtype=x.dtype)
    for k in range(groups):
        own = slice(k * per_group, (k + 1) * per_group)
        first = k * radix * per_group
        rows = [logits[:, first + r * per_group :][:, :per_group] for r in range(radix)]
        exp = [torch.exp(row) for row in rows]
        total = sum(exp) if radix > 1 else exp[0] + 1
        weights[:, :, own] = torch.stack([e / total for e in exp], 1)
    return u, weights


def equations(x, p, radix, groups, training):
    """What the paper computes."""
    versions, weights = split(x, p, radix, groups, training)
    return (versions * weights).sum(1)


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize(
    ('shape', 'radix', 'groups'),
    [((2, 8, 7, 5), 2, 1), ((3, 12, 4, 1), 3, 2), ((2, 8, 3, 6), 1, 2), ((1, 8, 1, 1), 2, 2)],
    ids=str,
)
def test_computes_the_equations(shape, radix, groups, training):
    module = randomize(SplitAttention(shape[1], radix=radix, groups=groups))
    module = module.double().train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out, expected = module(x), equations(x, p, radix, groups, training)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize(('radix', 'groups'), [(1, 2), (3, 2)])
def test_tells_the_weights_of_its_versions(radix, groups):
    module = randomize(SplitAttention(12, radix=radix, groups=groups)).double().eval()
    x = torch.randn(2, 12, 7, 5, dtype=torch.float64)
    _, weights = split(x, module.state_dict(), radix, groups, False)
    got = module.gates(x)
    assert list(got) == [f'branch_{i}' for i in range(1, radix + 1)]
    torch.testing.assert_close(torch.stack(list(got.values()), 1), weights)


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize(('radix', 'groups'), [(2, 1), (4, 1), (2, 2), (1, 1)])
def test_agrees_with_timm_and_mmpretrain(radix, groups, training):
    c = 128
    module = randomize(SplitAttention(c, radix=radix, groups=groups)).double().train(training)
    timm = SplitAttn(c, radix=radix, groups=groups, norm_layer=torch.nn.BatchNorm2d)
    mmpretrain = SplitAttentionConv2d(c, c, 3, padding=1, radix=radix, groups=groups)
    x = torch.randn(3, c, 6, 5, dtype=torch.float64)
    state_dict = {key: value.clone() for key, value in module.state_dict().items()}
    out = module(x)
    for other in (timm, mmpretrain):
        other.load_state_dict(state_dict, strict=True)
        torch.testing.assert_close(out, other.double().train(training)(x))


@pytest.mark.parametrize(
    ('in_channels', 'radix', 'reduction_factor', 'middle'),
    [(64, 2, 4, 32), (128, 2, 4, 64), (128, 1, 4, 32), (128, 4, 2, 256), (16, 2, 4, 32)],
)
def test_bottleneck(in_channels, radix, reduction_factor, middle):
    module = SplitAttention(in_channels, radix=radix, reduction_factor=reduction_factor)
    c = in_channels
    expected = 9 * c * c + 2 * c * radix  # conv, bn0
    expected += c * middle + 3 * middle + middle * c * radix + c * radix  # fc1, bn1, fc2
    assert sum(p.numel() for p in module.parameters()) == expected


def test_key_names():
    keys = [key for key in SplitAttention(8).state_dict() if not key.endswith('batches_tracked')]
    norm = ['weight', 'bias', 'running_mean', 'running_var']
    assert keys == [
        'conv.weight',
        *(f'bn0.{name}' for name in norm),
        'fc1.weight',
        'fc1.bias',
        *(f'bn1.{name}' for name in norm),
        'fc2.weight',
        'fc2.bias',
    ]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(radix=5), 'radix that divides in_channels=12, got 5; the nearest is 4'),
        (
            dict(groups=3),
            'in_channels / radix = 6 and the bottleneck of 32, got 3; the nearest is 2',
        ),
    ],
    ids=str,
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        SplitAttention(12, **options)


def test_norm_cfg():
    norm_cfg = dict(type='GN', num_groups=2)
    module = SplitAttention(4, norm_cfg=norm_cfg)
    assert norm_cfg == dict(type='GN', num_groups=2)
    assert module.bn0.num_groups == module.bn1.num_groups == 2
