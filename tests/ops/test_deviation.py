import pytest
import torch

from mmattn.ops.deviation import squared_deviation

SHAPES = [(2, 3, 7, 5), (1, 2, 1, 9), (2, 4, 1, 1)]


def equation(x, regularizer, divisor):
    h, w = x.shape[2:]
    mean = sum(x[:, :, i, j] for i in range(h) for j in range(w)) / (h * w)
    square = (x - mean[..., None, None]) ** 2
    variance = torch.einsum('nchw->nc', square) / max(h * w - 1, 1)
    return square / (divisor * (variance + regularizer))[..., None, None]


@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('layout', ['rows first', 'channels last', 'columns first'])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_values_and_gradients(shape, layout, dtype):
    torch.manual_seed(0)
    # The mean is of no matter, and has to be none of the digits of the difference.
    x = torch.randn(shape).to(dtype) + (30 if dtype == torch.float64 else 0)
    if layout == 'channels last':
        x = x.contiguous(memory_format=torch.channels_last)
    elif layout == 'columns first':
        x = x.transpose(2, 3).contiguous().transpose(2, 3)
    found = []
    for function, leaf in ((squared_deviation, x), (equation, x.double())):
        leaf = leaf.detach().requires_grad_()
        out = function(leaf, 0.1, 4.0)
        r = torch.linspace(-1, 1, out.numel()).view(shape).to(out.dtype)
        found.append([out, *torch.autograd.grad((out * r).sum(), leaf)])
    got, expected = found
    assert {t.dtype for t in got} == {dtype}
    tolerance = {} if dtype == torch.float64 else dict(rtol=0.02, atol=0.02)
    torch.testing.assert_close([t.double() for t in got], expected, **tolerance)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_differences_and_squares_are_in_float32(dtype):
    """Means and squares leave the digits and the range of half precision."""
    x = torch.tensor([1000.0, 1000.0, 1008.0, 1008.0]).to(dtype).view(1, 1, 2, 2)
    assert squared_deviation(x, 0.0).flatten().tolist() == pytest.approx([0.75] * 4, rel=0.01)
    x = torch.tensor([6e4, -6e4, 6e4, -6e4]).to(dtype).view(1, 1, 2, 2)
    assert squared_deviation(x, 0.0).flatten().tolist() == pytest.approx([0.75] * 4, rel=0.01)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_keeps_maps_of_the_type(dtype):
    x = torch.randn(2, 3, 8, 8).to(dtype).requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
        squared_deviation(x, 0.1)
    assert all(t.dtype == dtype or t.numel() <= 6 for t in kept)
