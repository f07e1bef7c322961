import pytest
import torch

from mmattn.ops.factor import as_factor

LARGEST = torch.finfo(torch.float16).max


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_rounds_and_passes_gradients(dtype):
    x = torch.rand(3, 4).t().requires_grad_()
    r = torch.randn(4, 3).to(dtype)
    out = as_factor(x, dtype)
    assert out.dtype == dtype
    assert torch.equal(out, x.to(dtype))
    out.backward(r)
    assert x.grad.dtype == torch.float32
    assert torch.equal(x.grad, r.float())


def test_what_overflows_is_the_largest_value():
    x = torch.tensor([1e6, -1e6, 1.0]).requires_grad_()
    out = as_factor(x, torch.float16)
    assert out.tolist() == [LARGEST, -LARGEST, 1.0]
    grad = torch.tensor([float('inf'), 2.0, -float('inf')]).half()
    out.backward(grad)
    assert x.grad.tolist() == [LARGEST, 2.0, -LARGEST]
    assert grad.isinf().sum() == 2


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32, torch.float64], ids=str)
def test_leaves_what_is_of_the_type(dtype):
    x = torch.rand(3).to(dtype)
    assert as_factor(x, dtype) is x
