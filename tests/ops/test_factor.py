import pytest
import torch

from mmattn.ops.factor import as_factor, softmax_factor

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


@pytest.mark.parametrize('dim', [0, 1])
@pytest.mark.parametrize('of', [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_softmax_factor(dtype, of, dim):
    logits = torch.randn(5, 7).to(of).requires_grad_()
    wide = logits.detach().double().requires_grad_()
    r = torch.randn(5, 7).to(dtype)
    out = softmax_factor(logits, dim, dtype)
    expected = wide.softmax(dim)
    eps = max(torch.finfo(dtype).eps, torch.finfo(of).eps)
    torch.testing.assert_close(out.double(), expected, rtol=2 * eps, atol=eps)
    out.backward(r)
    expected.backward(r.double())
    assert logits.grad.dtype == of
    torch.testing.assert_close(logits.grad.double(), wide.grad, rtol=0, atol=8 * eps)


def test_softmax_factor_keeps_what_it_gives():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
        out = softmax_factor(torch.randn(5, requires_grad=True), 0, torch.float16)
    assert [t.data_ptr() for t in kept] == [out.data_ptr()]


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64], ids=str)
def test_softmax_factor_of_wide_maps(dtype):
    logits = torch.randn(5, 7).half()
    assert torch.equal(softmax_factor(logits, 1, dtype), logits.to(dtype).softmax(1))


def test_softmax_factor_has_finite_gradients():
    logits = torch.tensor([0.0, 0.0, -1e5]).requires_grad_()
    out = softmax_factor(logits, 0, torch.float16)
    out.backward(torch.tensor([float('inf'), -float('inf'), float('inf')]).half())
    assert logits.grad.tolist() == [LARGEST / 2, -LARGEST / 2, 0.0]
