import pytest
import torch
import torch.nn.functional as F

from mmattn.ops.pixel_shuffle import pixel_shuffle, pixel_unshuffle


@pytest.mark.parametrize('s', [1, 2, 3])
def test_are_those_of_pytorch(s):
    x = torch.randn(2, 2 * s * s, 4, 5)
    out = pixel_shuffle(x, s)
    assert torch.equal(out, F.pixel_shuffle(x, s))
    assert torch.equal(pixel_unshuffle(out, s), x)


@pytest.mark.parametrize('function', [pixel_shuffle, pixel_unshuffle])
def test_of_an_empty_batch(function):
    x = torch.ones(0, 4, 2, 6, requires_grad=True)
    out = function(x, 2)
    assert out.shape == ((0, 1, 4, 12) if function is pixel_shuffle else (0, 16, 1, 3))
    out.sum().backward()
    assert x.grad.shape == x.shape
