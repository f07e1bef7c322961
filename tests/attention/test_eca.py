import pytest
import torch
from timm.layers import EcaModule

from mmattn.attention.eca import ECA
from tests.helpers import randomize

SHAPES = [(2, 16, 7, 5), (1, 64, 9, 13), (3, 3, 1, 4), (1, 1, 1, 1)]


def equations(x, weight):
    """Equation 9 of the paper: gate i sees the means of channels i - k // 2 to i + k // 2."""
    _, c, h, w = x.shape
    y = torch.einsum('nchw->cn', x) / (h * w)
    k = len(weight)
    rows = []
    for i in range(c):
        seen = [(i + j - k // 2, j) for j in range(k) if 0 <= i + j - k // 2 < c]
        rows.append(1 / (1 + torch.exp(-sum(weight[j] * y[channel] for channel, j in seen))))
    return torch.einsum('nchw,cn->nchw', x, torch.stack(rows))


@pytest.mark.parametrize('kernel_size', [None, 1, 5])
@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equation(shape, training, kernel_size):
    module = randomize(ECA(shape[1], kernel_size=kernel_size)).double().train(training)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected, out = equations(x, module.conv.weight.detach()[0, 0]), module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gate():
    module = randomize(ECA(16, kernel_size=5)).double().eval()
    x = torch.randn(2, 16, 7, 5, dtype=torch.float64)
    [(name, gate)] = module.gates(x).items()
    assert (name, gate.shape) == ('channel', (2, 16, 1, 1))
    torch.testing.assert_close(
        gate.expand_as(x), equations(x, module.conv.weight.detach()[0, 0]) / x
    )


@pytest.mark.parametrize(
    ('in_channels', 'kernel_size'),
    [(1, 1), (4, 1), (8, 3), (16, 3), (64, 3), (128, 5), (256, 5), (512, 5), (2048, 7)],
)
def test_kernel_size_of_the_paper(in_channels, kernel_size):
    state_dict = ECA(in_channels).state_dict()
    assert {key: value.shape for key, value in state_dict.items()} == {
        'conv.weight': (1, 1, kernel_size)
    }


@pytest.mark.parametrize('in_channels', [24, 96, 320, 1000])
def test_computes_what_timm_does(in_channels):
    other = randomize(EcaModule(in_channels))
    module = ECA(in_channels)
    module.load_state_dict(other.state_dict(), strict=True)
    x = torch.randn(2, in_channels, 4, 3)
    torch.testing.assert_close(module(x), other(x))
