import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmattn.attention.caa import CAA
from mmattn.deploy import fold
from tests.helpers import randomize

FORMS = {'default': {}, 'of PKINet': dict(norm_cfg=None, act_cfg=None)}
SHAPES = [(2, 5, 13, 9), (1, 3, 1, 4), (3, 4, 2, 2)]


def strip(x, weight, bias, dim):
    """Convolve each channel along one axis by its weights (C, K), as a sum of shifted maps."""
    half = weight.shape[1] // 2
    out = bias[:, None, None].expand_as(x)
    for shift in range(-half, half + 1):
        index = torch.arange(x.shape[dim]) + shift
        inside = ((index >= 0) & (index < x.shape[dim])).to(x)
        moved = x.index_select(dim, index.clamp(0, x.shape[dim] - 1))
        inside = inside[:, None] if dim == 2 else inside
        out = out + weight[:, shift + half, None, None] * moved * inside
    return out


def gate(x, p, training):
    """The release's formula, on a dict of released keys."""

    def pointwise(x, name):
        y = torch.einsum('oc,nchw->nohw', p[f'{name}.conv.weight'][..., 0, 0], x)
        if f'{name}.conv.bias' in p:
            return y + p[f'{name}.conv.bias'][:, None, None]
        mean, var = p[f'{name}.bn.running_mean'], p[f'{name}.bn.running_var']
        if training:
            mean, var = y.mean((0, 2, 3)), y.var((0, 2, 3), unbiased=False)
        y = (y - mean[:, None, None]) / (var[:, None, None] + 1e-3).sqrt()
        y = y * p[f'{name}.bn.weight'][:, None, None] + p[f'{name}.bn.bias'][:, None, None]
        return y / (1 + torch.exp(-y))

    # Zeros around the map count: each sum is divided by 49.
    means = F.pad(x, [3] * 4).unfold(2, 7, 1).unfold(3, 7, 1).sum((-1, -2)) / 49
    y = pointwise(means, 'conv1')
    y = strip(y, p['h_conv.conv.weight'][:, 0, 0], p['h_conv.conv.bias'], 3)
    y = strip(y, p['v_conv.conv.weight'][:, 0, :, 0], p['v_conv.conv.bias'], 2)
    return 1 / (1 + torch.exp(-pointwise(y, 'conv2')))


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('kernel_size', [11, 3])
@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equations(shape, form, kernel_size, training):
    module = randomize(CAA(shape[1], kernel_size=kernel_size, **FORMS[form]))
    module = module.double().train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected, out = x * gate(x, p, training), module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize('start', ['paper', 'identity'])
def test_gates_another_map(start):
    module = randomize(CAA(4, start=start)).double().eval()
    x, onto = torch.randn(2, 2, 4, 6, 5, dtype=torch.float64)
    product = onto * gate(x, module.state_dict(), False)
    blend = 1 if module.blend is None else module.blend
    torch.testing.assert_close(module(x, onto), onto + blend * (product - onto))


def test_an_identity_start_leaves_another_map_alone():
    x, onto = torch.randn(2, 2, 4, 6, 5)
    assert torch.equal(CAA(4, start='identity')(x, onto), onto)


@pytest.mark.parametrize('wrong', ['x', 'onto'])
def test_refuses_another_map_of_other_channels(wrong):
    maps = dict(x=torch.rand(2, 4, 6, 5), onto=torch.rand(2, 4, 6, 5))
    maps[wrong] = torch.rand(2, 3, 6, 5)
    with pytest.raises(ValueError, match=rf'^CAA expected {wrong} of shape \(N, 4, H, W\), .*3, 6'):
        CAA(4)(**maps)


def test_tells_its_gate():
    module = randomize(CAA(5)).double().eval()
    x = torch.randn(2, 5, 13, 9, dtype=torch.float64)
    [(name, told)] = module.gates(x).items()
    assert name == 'spatial'
    torch.testing.assert_close(told, gate(x, module.state_dict(), False))
    assert torch.equal(module.gates(x, torch.randn_like(x))['spatial'], told)


def test_key_names_and_shapes():
    shapes = {key: tuple(value.shape) for key, value in CAA(4).state_dict().items()}
    bn = dict.fromkeys(('weight', 'bias', 'running_mean', 'running_var'), (4,))
    bn['num_batches_tracked'] = ()
    expected = {}
    for name in ('conv1', 'conv2'):
        expected[f'{name}.conv.weight'] = (4, 4, 1, 1)
        expected |= {f'{name}.bn.{key}': shape for key, shape in bn.items()}
    for name, kernel in (('h_conv', (1, 11)), ('v_conv', (11, 1))):
        expected |= {f'{name}.conv.weight': (4, 1, *kernel), f'{name}.conv.bias': (4,)}
    assert shapes == expected
    keys = CAA(4, **FORMS['of PKINet']).state_dict()
    names = ('conv1', 'h_conv', 'v_conv', 'conv2')
    assert list(keys) == [f'{name}.conv.{kind}' for name in names for kind in ('weight', 'bias')]


@pytest.mark.parametrize(('form', 'count'), [('default', 138_240), ('of PKINet', 137_728)])
def test_parameters(form, count):
    assert sum(p.numel() for p in CAA(256, **FORMS[form]).parameters()) == count


def test_norms_of_the_release():
    norms = [m for m in CAA(4).modules() if isinstance(m, nn.BatchNorm2d)]
    assert [(norm.eps, norm.momentum) for norm in norms] == [(1e-3, 0.03)] * 2


def test_starts_as_the_release_does():
    torch.manual_seed(0)
    module = CAA(64)
    # Square roots of 2 / (weights of the kernel times all channels), as mmcv draws them.
    for name, fan_out in (('conv1', 64), ('h_conv', 64 * 11), ('v_conv', 64 * 11), ('conv2', 64)):
        conv = getattr(module, name).conv
        off = 5 / (2 * conv.weight.numel()) ** 0.5
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=off)
        assert conv.bias is None or not conv.bias.any()


def test_norms_fold_away():
    module = randomize(CAA(4)).double()
    folded = fold(module, (4, 9, 8))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64)
    torch.testing.assert_close(folded(x), module.eval()(x))


def test_strips_that_overflow_half_precision():
    module = CAA(4, norm_cfg=None, act_cfg=None)
    for parameter in module.parameters():
        nn.init.constant_(parameter, 3e2)
    x = torch.tensor([6e4, -6e4]).half()[:, None, None, None].expand(2, 4, 9, 7)
    out = module.half()(x)
    assert torch.equal(out[0], x[0]) and not out[1].any()
