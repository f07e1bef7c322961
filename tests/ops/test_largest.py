import pytest
import torch

from mmattn.ops.largest import largest


@pytest.mark.parametrize('dim', [0, 1, 2, 3])
@pytest.mark.parametrize('keepdim', [True, False])
@pytest.mark.parametrize('order', [(0, 1, 2, 3), (0, 3, 1, 2), (3, 1, 0, 2)], ids=str)
def test_as_the_maximum_of_pytorch(dim, keepdim, order):
    """With its gradient, which the first of equal values gets: here there are many."""
    x = torch.randn(3, 5, 7, 4, dtype=torch.float64).round().permute(order).requires_grad_()
    expected = x.max(dim, keepdim=keepdim).values
    out = largest(x, dim, keepdim)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    assert torch.equal(out, expected)
    assert torch.equal(grad, expected_grad)
    with torch.no_grad():
        assert torch.equal(largest(x, dim, keepdim), expected)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_keeps_the_type_and_no_index(dtype):
    x = torch.randn(2, 3, 5).to(dtype).requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
        out = largest(x, 2)
    assert out.dtype == dtype
    assert [t.data_ptr() for t in kept] == [x.data_ptr()]


def test_second_derivative():
    x = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: largest(x, 1).square(), (x,))


def test_one_of_equal_values_in_a_program():
    compiled = torch.compile(largest, backend='eager', fullgraph=True)
    x = torch.zeros(2, 3, requires_grad=True)
    compiled(x, 1).sum().backward()
    assert x.grad.tolist() == [[1, 0, 0]] * 2
    torch._dynamo.reset()
