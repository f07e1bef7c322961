import pytest
import torch
import torch.nn.functional as F
from timm.layers import SelectiveKernel

from mmattn.attention.sk_conv import SKConv
from tests.helpers import randomize


def batch_norm(x, p, name, training):
    n, _, h, w = x.shape
    if training and n * h * w > 1:
        mean = torch.einsum('nchw->c', x) / (n * h * w)
        var = torch.einsum('nchw->c', (x - mean[:, None, None]) ** 2) / (n * h * w)
    else:
        mean, var = p[f'{name}.running_mean'], p[f'{name}.running_var']
    scale = p[f'{name}.weight'] / torch.sqrt(var + 1e-5)
    return x * scale[:, None, None] + (p[f'{name}.bias'] - mean * scale)[:, None, None]


def grouped_conv(x, weight, dilation, groups):
    """A grouped, dilated 3x3 convolution as a sum of shifted maps."""
    n, c, h, w = x.shape
    padded = F.pad(x, [dilation] * 4).reshape(n, groups, c // groups, h + 2 * dilation, -1)
    weight = weight.reshape(groups, -1, c // groups, 3, 3)
    out = 0
    for i in range(3):
        for j in range(3):
            shifted = padded[..., i * dilation :, j * dilation :][..., :h, :w]
            out = out + torch.einsum('goi,ngihw->ngohw', weight[..., i, j], shifted)
    return out.reshape(n, -1, h, w)


def split_and_fuse(x, p, branches, groups, training):
    """Give the map of each branch, and its weights (N, C, 1, 1)."""
    _, c, h, w = x.shape
    maps = []
    for m in range(branches):
        y = grouped_conv(x, p[f'paths.{m}.conv.weight'], m + 1, groups)
        maps.append(batch_norm(y, p, f'paths.{m}.bn', training).clamp(min=0))
    s = sum(torch.einsum('nchw->nc', y) for y in maps) / (h * w)
    z = torch.einsum('oc,nc->no', p['attn.fc_reduce.weight'][..., 0, 0], s)[..., None, None]
    z = batch_norm(z, p, 'attn.bn', training).clamp(min=0)[..., 0, 0]
    rows = p['attn.fc_select.weight'][..., 0, 0].reshape(branches, c, -1)
    exp = torch.exp(torch.einsum('mco,no->mnc', rows, z))
    return maps, (exp / sum(exp))[..., None, None].unbind()


def equations(x, p, branches, groups, training):
    """Split, fuse and select of the paper."""
    maps, weights = split_and_fuse(x, p, branches, groups, training)
    return sum(weights[m] * maps[m] for m in range(branches))


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize(
    ('shape', 'options', 'groups'),
    [
        ((2, 16, 7, 5), {}, 16),
        ((1, 64, 3, 4), {}, 32),
        ((2, 6, 9, 1), dict(branches=3, groups=2, reduction=2, min_channels=4), 2),
        ((1, 6, 1, 1), dict(groups=1), 1),
    ],
    ids=['plain', 'grouped', 'options', 'pixel'],
)
def test_computes_the_equations(shape, options, groups, training):
    module = randomize(SKConv(shape[1], **options)).double().train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out = module(x)
    expected = equations(x, p, options.get('branches', 2), groups, training)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_the_weights_of_its_branches():
    module = randomize(SKConv(6, branches=3, groups=2)).double().eval()
    x = torch.randn(2, 6, 7, 5, dtype=torch.float64)
    _, expected = split_and_fuse(x, module.state_dict(), 3, 2, False)
    got = module.gates(x)
    assert list(got) == ['branch_1', 'branch_2', 'branch_3']
    torch.testing.assert_close(tuple(got.values()), expected)


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_agrees_with_timm(training):
    module = randomize(SKConv(64)).double().train(training)
    other = SelectiveKernel(64, split_input=False, groups=32, rd_channels=32).double()
    x = torch.randn(3, 64, 6, 5, dtype=torch.float64)
    state_dict = {key: value.clone() for key, value in module.state_dict().items()}
    other.load_state_dict(state_dict, strict=True)
    torch.testing.assert_close(module(x), other.train(training)(x))


@pytest.mark.parametrize(
    ('in_channels', 'options', 'middle'),
    [
        (64, {}, 32),
        (512, {}, 32),
        (1024, {}, 64),
        (1024, dict(reduction=32, min_channels=16), 32),
        (8, dict(min_channels=2), 2),
    ],
)
def test_parameters(in_channels, options, middle):
    module = SKConv(in_channels, **options)
    c, g = in_channels, min(32, in_channels)
    convs = 2 * (9 * c * c // g + 2 * c)
    expected = convs + c * middle + 2 * middle + 2 * c * middle
    assert sum(p.numel() for p in module.parameters()) == expected


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(groups=5), 'groups that divide in_channels=12, got 5; the nearest is 4'),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else '',
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        SKConv(12, **options)


def test_norm_cfg():
    norm_cfg = dict(type='GN', num_groups=2)
    module = SKConv(4, norm_cfg=norm_cfg)
    assert norm_cfg == dict(type='GN', num_groups=2)
    assert [m.num_groups for m in module.modules() if isinstance(m, torch.nn.GroupNorm)] == [2] * 3


def test_starts_as_the_release_does():
    torch.manual_seed(0)
    module = SKConv(256)
    for layer in (module.attn.fc_reduce, module.attn.fc_select):
        # Within five standard errors of a sample of this size.
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.04)
    norms = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert [norm.momentum for norm in norms] == [0.05] * 3
