import pytest
import torch

from mmattn.ops.precision import in_float32
from mmattn.ops.received import received

SHAPE = (2, 3, 4, 5)


def attend(query, key, value):
    """Attention of all positions to all, as a matrix."""
    weights = (query.flatten(2).transpose(1, 2) @ key.flatten(2)).softmax(2)
    return value.flatten(2) @ weights.transpose(1, 2)


def columns_of_the_matrix(query, key):
    """The mean of each column of that matrix, written out."""
    n, _, h, w = query.shape
    expected = torch.zeros(n, 1, h, w, dtype=query.dtype)
    for i in range(h * w):
        logits = torch.einsum('nc,nchw->nhw', query.flatten(2)[..., i], key)
        expected[:, 0] += logits.exp() / logits.exp().sum((1, 2), keepdim=True) / (h * w)
    return expected


@pytest.mark.parametrize('look', [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_is_the_mean_of_the_columns(look):
    with look():
        query, key = (torch.randn(SHAPE, dtype=torch.float64) for _ in range(2))
        value = torch.randn(2, 7, 4, 5, dtype=torch.float64)
        got = received(attend, [query, key, value], values=2)
        torch.testing.assert_close(got, columns_of_the_matrix(query, key))
        torch.testing.assert_close(got.sum((1, 2, 3)), torch.ones(2, dtype=torch.float64))
        assert not got.requires_grad


def test_the_values_may_come_first():
    query, key, value = (torch.randn(SHAPE) for _ in range(3))
    got = received(lambda v, q, k: attend(q, k, v), [value, query, key], values=0)
    assert torch.equal(got, received(attend, [query, key, value], values=2))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_left_for_float32(dtype):
    """The shares of a large map are below what float16 can tell from zero."""
    maps = [torch.zeros(1, 1, 300, 300, dtype=dtype) for _ in range(2)]
    got = received(lambda x, y: in_float32(torch.mul, x, y + 1), maps, values=0)
    torch.testing.assert_close(got, torch.full((1, 1, 300, 300), 1 / 90000))


def test_leaves_its_maps_alone():
    maps = [torch.randn(SHAPE) for _ in range(3)]
    before = [x.clone() for x in maps]
    received(attend, maps, values=2)
    assert all(torch.equal(x, old) for x, old in zip(maps, before, strict=True))
    assert not any(x.requires_grad or x.grad is not None for x in maps)
