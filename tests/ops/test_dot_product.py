import pytest
import torch

from mmattn.ops.dot_product import dot_product_attention


def equation(query, key, value, scale):
    weights = torch.einsum('nlm,nkm->nlk', query, key) * scale
    return torch.einsum('nlk,nkv->nlv', weights.softmax(2), value)


def draw(widths, size=1.0, dtype=torch.float64):
    """Draw 7 queries, 5 keys and 5 values that lie in memory as those of a map do."""
    found = []
    for length, width in zip((7, 5, 5), widths, strict=True):
        x = torch.randn(2, width, length, dtype=torch.float64) * size
        found.append(x.to(dtype).transpose(1, 2).requires_grad_())
    return found


def outcome(function, maps):
    out = function(*maps)
    r = torch.linspace(-1, 1, out.numel()).view_as(out).to(out.dtype)
    return out, *torch.autograd.grad((out * r).sum(), maps)


@pytest.mark.parametrize('widths', [(3, 3, 3), (3, 3, 4), (3, 3, 2), (1, 1, 1)], ids=str)
@pytest.mark.parametrize('scale', [None, 1.0, 0.3])
@pytest.mark.parametrize('rows', ['as of a map', 'contiguous'])
def test_values_and_gradients(widths, scale, rows):
    maps = draw(widths)
    expected = outcome(lambda *m: equation(*m, widths[0] ** -0.5 if scale is None else scale), maps)
    if rows == 'contiguous':
        maps = [x.detach().contiguous().requires_grad_() for x in maps]
    torch.testing.assert_close(outcome(lambda *m: dot_product_attention(*m, scale), maps), expected)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(dtype):
    maps = draw((8, 8, 8), dtype=dtype)
    wide = [x.detach().double().requires_grad_() for x in maps]
    expected = outcome(lambda *m: equation(*m, 8**-0.5), wide)
    for got, of_wide in zip(outcome(dot_product_attention, maps), expected, strict=True):
        assert got.dtype == dtype
        torch.testing.assert_close(got.double(), of_wide, rtol=0.02, atol=0.02)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_gradients_of_scores_without_digits(dtype):
    """One weight is one, so that nothing changes if a score does."""
    torch.manual_seed(0)
    maps = [torch.randn(2, 256, 32).mul(1.5e4).to(dtype).requires_grad_() for _ in range(2)]
    value = torch.randn(2, 256, 32).to(dtype).requires_grad_()
    out, *grads = outcome(dot_product_attention, [*maps, value])
    assert out.isfinite().all()
    assert all(grad.abs().max() <= 2 for grad in grads[:2])
    assert grads[2].isfinite().all()


@pytest.mark.parametrize('width', [1, 8])
def test_keeps_no_pair_of_positions(width):
    maps = [torch.randn(1, 8, 300).transpose(1, 2).requires_grad_() for _ in range(2)]
    maps.append(torch.randn(1, width, 300).transpose(1, 2).requires_grad_())
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
        dot_product_attention(*maps)
    assert max(x.numel() for x in kept) == 300 * 8


def test_images_do_not_share_a_bound():
    query, key, value = (torch.randn(2, 6, 4, requires_grad=True) for _ in range(3))
    loud = torch.stack([query[0], query[1] * 1e9])
    out = dot_product_attention(loud, key, value)
    torch.testing.assert_close(out[:1], dot_product_attention(query[:1], key[:1], value[:1]))
