import math

import pytest
import torch

from mmattn.attention.simam import SimAM

SHAPES = [(2, 6, 7, 5), (1, 3, 9, 1), (3, 4, 1, 2)]


def equations(x, e_lambda):
    """Equation 5 of the paper, one channel at a time, its inverse under the sigmoid."""
    out = []
    for channel in x.flatten(0, 1):
        pixels = channel.flatten()
        mean = sum(pixels) / len(pixels)
        variance = sum((t - mean) ** 2 for t in pixels) / (len(pixels) - 1)
        inverse = [
            ((t - mean) ** 2 + 2 * variance + 2 * e_lambda) / (4 * (variance + e_lambda))
            for t in pixels
        ]
        gated = [t / (1 + torch.exp(-e)) for t, e in zip(pixels, inverse, strict=True)]
        out.append(torch.stack(gated).view_as(channel))
    return torch.stack(out).view_as(x)


@pytest.mark.parametrize('e_lambda', [1e-4, 0.5])
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equation(shape, e_lambda):
    module = SimAM(shape[1], e_lambda=e_lambda)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out, expected = module(x), equations(x, e_lambda)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gate():
    x = torch.randn(2, 6, 7, 5, dtype=torch.float64)
    [(name, gate)] = SimAM(6).gates(x).items()
    assert (name, gate.shape) == ('spatial', (2, 6, 7, 5))
    torch.testing.assert_close(gate, equations(x, 1e-4) / x)


def test_default_regularizer_is_the_papers():
    assert SimAM(4).e_lambda == 1e-4


@pytest.mark.parametrize('size', [(1, 1), (4, 3)], ids=lambda s: 'x'.join(map(str, s)))
def test_nothing_stands_out(size):
    """A single pixel and a constant channel have the gate of no deviation."""
    x = torch.full((1, 2, *size), 3.0, requires_grad=True)
    out = SimAM(2)(x)
    gate = 1 / (1 + math.exp(-0.5))
    torch.testing.assert_close(out, torch.full_like(x, 3 * gate))
    out.sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, gate))


def test_has_no_parameters():
    assert not SimAM(4).state_dict()
