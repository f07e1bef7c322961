import itertools

import pytest
import torch

from mmattn.ops.reassembled import reassembled


def draw(groups=1, k=3, s=2, shape=(2, 6, 3, 4), dtype=torch.float64):
    n, _, h, w = shape
    x = torch.randn(shape, dtype=torch.float64)
    logits = torch.randn(n, groups, k * k, h * s, w * s, dtype=torch.float64)
    weights = logits.softmax(2).flatten(1, 2)
    return x.to(dtype).requires_grad_(), weights.to(dtype).requires_grad_()


def by_loops(x, weights, k, s):
    """Add up one number after the other, as the definition says."""
    n, c, h, w = x.shape
    groups = weights.shape[1] // k**2
    out = torch.zeros(n, c, h * s, w * s, dtype=x.dtype)
    sides = (range(n), range(c), range(h * s), range(w * s), range(k), range(k))
    for b, channel, p, q, i, j in itertools.product(*sides):
        row, column = p // s + i - k // 2, q // s + j - k // 2
        if 0 <= row < h and 0 <= column < w:
            group = channel // (c // groups)
            weight = weights[b, (group * k + i) * k + j, p, q]
            out[b, channel, p, q] += weight * x[b, channel, row, column]
    return out


@pytest.mark.parametrize(
    ('groups', 'k', 's'), [(1, 3, 2), (3, 3, 2), (2, 5, 1), (1, 1, 3), (6, 3, 1)]
)
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=str)
def test_is_the_sum_of_its_definition(groups, k, s, layout):
    x, weights = (t.detach() for t in draw(groups, k, s))
    out = reassembled(*(t.to(memory_format=layout) for t in (x, weights)), k, s)
    torch.testing.assert_close(out, by_loops(x, weights, k, s))
    assert out.is_contiguous(memory_format=layout)


@pytest.mark.parametrize(('groups', 'k', 's'), [(3, 3, 2), (1, 5, 1)])
def test_gradients(groups, k, s):
    maps = draw(groups, k, s, (1, 3, 2, 3))
    torch.autograd.gradcheck(lambda *maps: reassembled(*maps, k, s), maps)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(dtype):
    x, weights = draw(2, 5, 2, dtype=dtype)
    wide = [t.detach().double().requires_grad_() for t in (x, weights)]
    results = []
    for maps in ((x, weights), wide):
        out = reassembled(*maps, 5, 2)
        assert out.dtype == maps[0].dtype
        results.append((out, *torch.autograd.grad(out.square().sum(), maps)))
    for got, expected in zip(*results, strict=True):
        slack = 16 * torch.finfo(dtype).eps * expected.abs().max()
        assert (got - expected).abs().max() <= slack


def test_is_finite_at_the_ends_of_float16():
    x = torch.full((1, 64, 3, 3), 65504.0).half().requires_grad_()
    weights = torch.full((1, 9, 6, 6), 1 / 9).requires_grad_()
    out = reassembled(x, weights, 3, 2)
    assert out.max() > 65000 and out.isfinite().all()
    out.backward(torch.ones_like(out))
    assert x.grad.isfinite().all() and weights.grad.isfinite().all()


def test_of_an_empty_batch_and_one_pixel():
    assert reassembled(torch.ones(0, 4, 3, 2), torch.ones(0, 9, 6, 4), 3, 2).shape == (0, 4, 6, 4)
    out = reassembled(torch.ones(1, 4, 1, 1), torch.full((1, 25, 2, 2), 1 / 25), 5, 2)
    torch.testing.assert_close(out, torch.full((1, 4, 2, 2), 1 / 25))


def test_is_mapped_by_vmap():
    x, weights = (t.detach()[:, None] for t in draw(2))
    looped = [reassembled(*maps, 3, 2) for maps in zip(x, weights, strict=True)]
    out = torch.func.vmap(lambda *maps: reassembled(*maps, 3, 2))(x, weights)
    torch.testing.assert_close(out, torch.stack(looped))


@pytest.mark.parametrize('shape', [(2, 8, 6, 8), (2, 9, 6, 4), (1, 9, 6, 8), (2, 45, 6, 8)])
def test_wrong_weights(shape):
    with pytest.raises(ValueError, match=r'expected weights of shape \(2, groups \* 9, 6, 8\)'):
        reassembled(torch.rand(2, 6, 3, 4), torch.rand(shape), 3, 2)


def test_wrong_kernel():
    with pytest.raises(ValueError, match='expected an odd kernel_size, got 2'):
        reassembled(torch.rand(2, 6, 3, 4), torch.rand(2, 4, 3, 4), 2)
