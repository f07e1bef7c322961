import pytest
import torch
import torch.nn.functional as F

from mmattn.attention.lsk import LSK
from mmattn.probe.count import count_multiply_adds, count_parameters
from tests.helpers import randomize


def equations(x, p):
    """What the paper computes: near, far, how much of each, channels, product."""

    def conv(x, name, **options):
        return F.conv2d(x, p[f'{name}.weight'], p[f'{name}.bias'], **options)

    near = conv(x, 'conv0', padding=2, groups=x.shape[1])
    far = conv(near, 'conv_spatial', padding=9, dilation=3, groups=x.shape[1])
    near, far = conv(near, 'conv1'), conv(far, 'conv2')
    both = torch.cat([near, far], 1)
    pooled = torch.stack([both.mean(1), both.amax(1)], 1)
    shares = 1 / (1 + torch.exp(-conv(pooled, 'conv_squeeze', padding=3)))
    return x * conv(near * shares[:, [0]] + far * shares[:, [1]], 'conv')


@pytest.mark.parametrize('shape', [(2, 6, 13, 24), (2, 7, 9, 5), (1, 2, 1, 4)], ids=str)
def test_computes_the_equations(shape):
    module = randomize(LSK(shape[1])).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out, expected = module(x), equations(x, module.state_dict())
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_gradients():
    module = randomize(LSK(3)).double()
    x = torch.randn(1, 3, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, x)


def test_tells_its_gate():
    module = randomize(LSK(6)).double().eval()
    x = torch.randn(2, 6, 13, 24, dtype=torch.float64)
    [(name, gate)] = module.gates(x).items()
    assert (name, gate.shape) == ('spatial', (2, 6, 13, 24))
    torch.testing.assert_close(gate.expand_as(x), equations(x, module.state_dict()) / x)


def test_key_names():
    state_dict = LSK(6).state_dict()
    assert {key: tuple(v.shape) for key, v in state_dict.items() if key.endswith('weight')} == {
        'conv0.weight': (6, 1, 5, 5),
        'conv_spatial.weight': (6, 1, 7, 7),
        'conv1.weight': (3, 6, 1, 1),
        'conv2.weight': (3, 6, 1, 1),
        'conv_squeeze.weight': (2, 2, 7, 7),
        'conv.weight': (6, 3, 1, 1),
    }


def test_counts():
    """Those of the released code; 1024 positions have 49 products each in two times two planes."""
    module = LSK(256)
    assert count_parameters(module) == 118_470
    assert count_multiply_adds(module, (1, 256, 32, 32)) / 1e6 == pytest.approx(120.3, abs=0.05)


def test_starts_as_the_release_does():
    torch.manual_seed(0)
    module = LSK(64)
    # Square roots of 2 / (weights of one output channel's kernel times output channels per group).
    for name, fan_out in (('conv0', 25), ('conv_spatial', 49), ('conv1', 32), ('conv', 64)):
        conv = module.get_submodule(name)
        slack = 5 / (2 * conv.weight.numel()) ** 0.5
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=slack)
        assert not conv.bias.any()


@pytest.mark.parametrize('large', [6e4, -6e4])
def test_the_largest_inputs_stay_finite(large):
    module = LSK(32).half().eval()
    out = module(torch.full((1, 32, 9, 7), large).half())
    assert out.isfinite().all()


def test_one_channel_has_no_half():
    with pytest.raises(ValueError, match='LSK: expected in_channels of 2 or more, got 1'):
        LSK(1)
