import math

import pytest
import torch

from mmattn.attention.mlca import MLCA
from tests.helpers import randomize


def adaptive(x, rows, columns):
    """Average (C, H, W) over a grid, the borders of its cells rounded outwards."""
    _, h, w = x.shape
    out = x.new_zeros(len(x), rows, columns)
    for i in range(rows):
        for j in range(columns):
            top, bottom = i * h // rows, math.ceil((i + 1) * h / rows)
            left, right = j * w // columns, math.ceil((j + 1) * w / columns)
            out[:, i, j] = x[:, top:bottom, left:right].mean((1, 2))
    return out


def convolve(sequence, kernel):
    """Convolve (L,) by an odd kernel (k,), with zeros beyond its ends."""
    half = len(kernel) // 2
    padded = torch.cat([sequence.new_zeros(half), sequence, sequence.new_zeros(half)])
    return sum(weight * padded[i : i + len(sequence)] for i, weight in enumerate(kernel))


def gate(x, p, size, share):
    """The factor of one map (C, H, W)."""
    c, h, w = x.shape
    cells = adaptive(x, size, size)
    sequence = torch.cat([cells[:, i, j] for i in range(size) for j in range(size)])
    local = convolve(sequence, p['conv_local.weight'][0, 0]).reshape(size, size, c)
    whole = convolve(cells.mean((1, 2)), p['conv.weight'][0, 0])
    local, whole = 1 / (1 + torch.exp(-local)), 1 / (1 + torch.exp(-whole))
    mixed = share * local + (1 - share) * whole
    return adaptive(mixed.permute(2, 0, 1), h, w)


@pytest.mark.parametrize(
    'options', [{}, dict(local_size=3, kernel_size=5, local_weight=0.3)], ids=['default', 'other']
)
@pytest.mark.parametrize('shape', [(2, 6, 13, 7), (1, 3, 1, 1), (2, 5, 3, 11)], ids=str)
@pytest.mark.parametrize('needs_grad', [False, True])
def test_computes_the_equations(shape, options, needs_grad):
    module = randomize(MLCA(shape[1], **options)).double().requires_grad_(needs_grad)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=needs_grad)
    size, share = options.get('local_size', 5), options.get('local_weight', 0.5)
    expected = x * torch.stack([gate(each, module.state_dict(), size, share) for each in x])
    with torch.set_grad_enabled(needs_grad):
        out = module(x)
    torch.testing.assert_close(out, expected)
    if needs_grad:
        r = torch.randn_like(out)
        [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
        torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gate():
    module = randomize(MLCA(6)).double()
    x = torch.randn(1, 6, 13, 7, dtype=torch.float64)
    [(name, got)] = module.gates(x).items()
    assert name == 'spatial'
    torch.testing.assert_close(got[0], gate(x[0], module.state_dict(), 5, 0.5))


# The whole part of (log2 + 1) / 2, and one more where that is even.
@pytest.mark.parametrize(
    ('channels', 'size'), [(1, 1), (8, 3), (32, 3), (64, 3), (128, 5), (256, 5), (2048, 7)]
)
def test_kernel_grows_with_the_channels(channels, size):
    t = int(abs(math.log2(channels) + 1) / 2)
    assert size == (t if t % 2 else t + 1)
    assert {name: v.shape for name, v in MLCA(channels).state_dict().items()} == {
        'conv.weight': (1, 1, size),
        'conv_local.weight': (1, 1, size),
    }


def test_parameters():
    assert sum(p.numel() for p in MLCA(256).parameters()) == 10
