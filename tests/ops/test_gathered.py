import pytest
import torch

from mmattn.ops.gathered import gathered

LARGEST = torch.finfo(torch.float16).max


def draw(dtype, memory_format=torch.contiguous_format):
    x = torch.randn(2, 3, 7, 5, dtype=torch.float64).to(dtype, memory_format=memory_format)
    weights = torch.randn(2, 1, 7, 5, dtype=torch.float64).flatten(2).softmax(2).view(2, 1, 7, 5)
    return x.requires_grad_(), weights.to(dtype).requires_grad_()


def outcome(x, weights, wide=False):
    """Give both results, and the gradients of a use of both."""
    if wide:
        x, weights = (t.detach().double().requires_grad_() for t in (x, weights))
        out, mean = x, torch.einsum('nchw,nihw->nci', x, weights)[..., None]
    else:
        out, mean = gathered(x, weights)
    r = torch.linspace(-1, 1, mean.numel()).view_as(mean).to(mean.dtype)
    return mean, *torch.autograd.grad((out.square() + mean * r).sum(), (x, weights))


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_values_and_gradients(dtype, layout):
    maps = draw(dtype, layout)
    off = 1e-9 if dtype == torch.float64 else 8 * torch.finfo(dtype).eps
    for got, expected in zip(outcome(*maps), outcome(*maps, wide=True), strict=True):
        assert got.dtype == dtype
        torch.testing.assert_close(got.double(), expected, rtol=off, atol=3 * off)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_one_gradient_of_a_half_map(dtype):
    """Not that of the mean, and a sum of both."""
    x, weights = draw(dtype)
    out, mean = gathered(x, weights)
    assert out.data_ptr() == x.data_ptr()
    assert out.grad_fn is mean.grad_fn


@pytest.mark.parametrize('used', ['map', 'mean'])
def test_use_of_one_result(used):
    x, weights = draw(torch.bfloat16)
    out, mean = gathered(x, weights)
    (out if used == 'map' else mean).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x) if used == 'map' else weights.expand_as(x))
    assert weights.grad.any() == (used == 'mean')


def test_is_finite_at_the_ends_of_float16():
    x, weights = draw(torch.float16)
    x = torch.full_like(x, LARGEST).requires_grad_()
    weights = torch.full_like(weights, 1 / 34).requires_grad_()
    _, mean = gathered(x, weights)
    assert (mean == LARGEST).all()
    mean.sum().backward()
    assert (weights.grad == LARGEST).all()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16], ids=str)
def test_is_mapped_by_vmap(dtype):
    x, weights = (t.detach()[:, None] for t in draw(dtype))
    looped = [gathered(*maps) for maps in zip(x, weights, strict=True)]
    outs, means = torch.func.vmap(gathered)(x, weights)
    torch.testing.assert_close(outs, torch.stack([out for out, _ in looped]))
    torch.testing.assert_close(means, torch.stack([mean for _, mean in looped]))
