import pytest
import torch

from mmattn.ops import coord_gate as coord_gate_file
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


def in_memory(x, layout):
    if layout == 'channels last':
        return x.contiguous(memory_format=torch.channels_last)
    return x.transpose(2, 3).contiguous().transpose(2, 3) if layout == 'columns first' else x


@shapes
@pytest.mark.parametrize('layout', ['rows first', 'channels last', 'columns first'])
def test_gradients_in_any_layout(shape, layout):
    n, c, h, w = shape
    maps = [torch.randn(s, dtype=torch.float64) for s in (shape, (n, c, h, 1), (n, c, 1, w))]
    maps[0] = in_memory(maps[0], layout)
    found = []
    for function in (coord_gate, lambda x, a_h, a_w: x * a_h.sigmoid() * a_w.sigmoid()):
        leaves = [x.detach().requires_grad_() for x in maps]
        out = function(*leaves)
        r = torch.linspace(-1, 1, out.numel()).view(shape)
        found.append((out, *torch.autograd.grad((out * r).sum(), leaves)))
    torch.testing.assert_close(*found)
    assert found[0][0].stride() == maps[0].stride()


def test_second_derivative_of_the_gate():
    x, a_h, a_w = (
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in [(1, 2, 3, 2), (1, 2, 3, 1), (1, 2, 1, 2)]
    )
    assert torch.autograd.gradgradcheck(coord_gate, (x, a_h, a_w))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_gate_keeps_its_map_once(dtype):
    x = torch.randn(1, 2, 8, 9).to(dtype).requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
        coord_gate(x, torch.randn(1, 2, 8, 1), torch.randn(1, 2, 1, 9))
    assert sorted(t.numel() for t in kept) == [16, 18, 144]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_gradients_of_the_gate_in_half_precision(dtype):
    maps = [torch.randn(s) for s in [(2, 3, 9, 7), (2, 3, 9, 1), (2, 3, 1, 7)]]
    maps = [maps[0].to(dtype), *maps[1:]]
    found = []
    for wide in (False, True):
        leaves = [(x.double() if wide else x).requires_grad_() for x in maps]
        out = coord_gate(*leaves)
        r = torch.linspace(-1, 1, out.numel()).view_as(out)
        grads = torch.autograd.grad((out * r.to(out.dtype)).sum(), leaves)
        found.append([t.double() for t in (out, *grads)])
    torch.testing.assert_close(*found, rtol=0.02, atol=0.03)


@shapes
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64], ids=str)
@torch.no_grad()
def test_pool_predicts_the_same_from_channels_last(shape, dtype):
    x = torch.randn(shape, dtype=dtype)
    other = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(coord_pool(other), coord_pool(x))


@torch.no_grad()
def test_pool_of_channels_last_is_in_float32_under_autocast():
    x = torch.rand(1, 8, 40, 30).contiguous(memory_format=torch.channels_last)
    expected = coord_pool(x.double())
    with torch.autocast('cpu', torch.bfloat16):
        pooled = coord_pool(x)
    for found, mean in zip(pooled, expected, strict=True):
        torch.testing.assert_close(found, mean.float())


@shapes
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=str)
@torch.no_grad()
def test_gate_of_large_maps(shape, dtype, monkeypatch):
    n, c, h, w = shape
    x = torch.randn(n, c, w, h, dtype=dtype).transpose(2, 3)
    logits = torch.randn(n, c, h, 1), torch.randn(n, c, 1, w)
    maps = x, x.contiguous(), x.contiguous(memory_format=torch.channels_last), x.expand_as(x)
    expected = coord_gate(x, *logits)
    monkeypatch.setattr(coord_gate_file, '_LARGE', 0)
    for each in maps:
        torch.testing.assert_close(coord_gate(each, *logits), expected)
    mapped = torch.func.vmap(coord_gate, in_dims=(None, 0, 0))
    out = mapped(x, *[torch.stack([each, -each]) for each in logits])
    torch.testing.assert_close(out[0], expected)
