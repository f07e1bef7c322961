import pytest
import torch

from mmattn.ops.coord_gate import coord_gate
from mmattn.ops.coord_pool import coord_pool

# H != W, an odd channel count, a single row, a single pixel.
SHAPES = [(1, 3, 7, 5), (2, 16, 32, 24), (1, 8, 1, 33), (2, 5, 1, 1)]
shapes = pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))


@shapes
def test_pool_averages_rows_and_columns(shape):
    x = torch.randn(shape, dtype=torch.float64)
    h, w = shape[2:]
    rows, columns = coord_pool(x)
    torch.testing.assert_close(rows, sum(x[..., j : j + 1] for j in range(w)) / w)
    torch.testing.assert_close(columns, sum(x[..., i : i + 1, :] for i in range(h)) / h)


@shapes
def test_gate_is_a_product_of_two_sigmoids(shape):
    n, c, h, w = shape
    x, a_h, a_w = torch.randn(shape), torch.randn(n, c, h, 1), torch.randn(n, c, 1, w)
    gate_h = 1 / (1 + torch.exp(-a_h[..., 0]))
    gate_w = 1 / (1 + torch.exp(-a_w[..., 0, :]))
    expected = torch.einsum('nchw,nch,ncw->nchw', x, gate_h, gate_w)
    torch.testing.assert_close(coord_gate(x, a_h, a_w), expected)


def test_gradients():
    x, a_h, a_w = (
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in [(2, 3, 4, 5), (2, 3, 4, 1), (2, 3, 1, 5)]
    )
    assert torch.autograd.gradcheck(coord_gate, (x, a_h, a_w))
    assert torch.autograd.gradcheck(coord_pool, (x,))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_does_not_overflow(dtype):
    x = torch.full((1, 2, 50, 40), 6e4, dtype=dtype)
    rows, columns = coord_pool(x)
    assert rows.dtype == columns.dtype == dtype
    assert torch.equal(rows, x[..., :1]) and torch.equal(columns, x[..., :1, :])
    gated = coord_gate(x, -x[..., :1], x[..., :1, :])
    assert gated.dtype == dtype and torch.equal(gated, torch.zeros_like(x))


def test_wrong_shapes():
    x = torch.rand(1, 2, 3, 4)
    with pytest.raises(ValueError, match=r'expected a_h \(1, 2, 3, 1\) and a_w \(1, 2, 1, 4\)'):
        coord_gate(x, x[..., :1], x[..., :1])
    with pytest.raises(ValueError, match=r'expected x of shape \(N, C, H, W\), got \(2, 3, 4\)'):
        coord_pool(x[0])
