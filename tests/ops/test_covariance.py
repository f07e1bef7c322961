import pytest
import torch

from mmattn.ops.covariance import covariance


def equation(x):
    x = x - x.sum(2, keepdim=True) / x.shape[2]
    return torch.einsum('nil,njl->nij', x, x) / x.shape[2]


def outcome(function, x):
    out = function(x)
    r = torch.linspace(-1, 1, out.numel()).view_as(out).to(out.dtype)
    return out, *torch.autograd.grad((out * r).sum(), x)


@pytest.mark.parametrize('shape', [(2, 3, 7), (1, 1, 5), (3, 4, 1)], ids=str)
def test_values_and_gradients(shape):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(outcome(covariance, x), outcome(equation, x))


@pytest.mark.parametrize('scale', [1e-3, 1.0, 1e4])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(dtype, scale):
    x = (torch.rand(2, 5, 99).mul(scale) + scale).to(dtype).requires_grad_()
    wide = x.detach().double().requires_grad_()
    [out, grad], [expected, expected_grad] = outcome(covariance, x), outcome(equation, wide)
    assert (out.dtype, grad.dtype) == (torch.float32, dtype)
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-5 * scale**2)
    slack = 8 * torch.finfo(dtype).eps * expected_grad.abs().max().item()
    torch.testing.assert_close(grad.double(), expected_grad, rtol=0, atol=slack + 6e-8)


@pytest.mark.parametrize('size', [1e-20, 1e-8, 1.0])
def test_gradients_out_of_the_range_of_float16(size):
    """What is small in between is not lost where the gradient itself is in range."""
    x = torch.randn(1, 3, 9).mul(1e-4 if size == 1.0 else 1e4).half().requires_grad_()
    covariance(x).backward(torch.full((1, 3, 3), size))
    wide = x.detach().double().requires_grad_()
    equation(wide).backward(torch.full((1, 3, 3), size, dtype=torch.float64))
    slack = 0.01 * wide.grad.abs().max().item() + 6e-8
    torch.testing.assert_close(x.grad.double(), wide.grad, rtol=0, atol=slack)


def test_no_gradient_is_none():
    x = torch.randn(1, 3, 9).half().requires_grad_()
    covariance(x).backward(torch.zeros(1, 3, 3))
    assert not x.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_keeps_the_map_alone(dtype):
    x = torch.randn(1, 3, 9).to(dtype).requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
        covariance(x)
    assert [t.data_ptr() for t in kept] == [x.data_ptr()]


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16], ids=str)
def test_is_mapped_by_vmap(dtype):
    x = torch.randn(4, 2, 3, 9).to(dtype)
    looped = torch.stack([covariance(each) for each in x])
    torch.testing.assert_close(torch.func.vmap(covariance)(x), looped)


def test_autocast_leaves_it_alone():
    x = torch.randn(1, 3, 9)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(covariance(x), covariance(x.clone()))
        out = covariance(x)
    assert torch.equal(out, covariance(x))
