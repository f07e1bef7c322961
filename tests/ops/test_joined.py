"""A convolution of two maps side by side is that of their concatenation, forwards and backwards."""

import pytest
import torch
from torch import nn

from mmattn.ops.joined import joined

LAYOUTS = {
    'contiguous': lambda x: x,
    'channels last': lambda x: x.contiguous(memory_format=torch.channels_last),
    'strided': lambda x: torch.stack([x, x], -1)[..., 0],
}


def plain(conv, x, y):
    return conv(torch.cat([x, y], 1))


def graded(function, conv, maps, autocast=None):
    conv.zero_grad()
    leaves = [x.detach().requires_grad_() for x in maps]
    with torch.autocast('cpu', autocast, enabled=autocast is not None):
        out = function(conv, *leaves)
    out.backward(torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out))
    return [out, *(x.grad for x in (*leaves, *conv.parameters()))]


def assert_close(got, expected, slack):
    largest = expected.abs().max().item()
    torch.testing.assert_close(got, expected, rtol=slack, atol=slack * largest)


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_equals_the_convolution_with_its_gradients(dtype, bias, layout):
    conv = nn.Conv2d(10, 3, 1, bias=bias).to(dtype)
    maps = [LAYOUTS[layout](x) for x in torch.randn(2, 2, 5, 7, 3, dtype=dtype)]
    slack = 4 * torch.finfo(dtype).eps
    for got, expected in zip(graded(joined, conv, maps), graded(plain, conv, maps), strict=True):
        assert_close(got, expected, slack)


@pytest.mark.parametrize('types', [('float32', 'float32'), ('bfloat16', 'float32')], ids=str)
def test_autocast_casts_what_it_casts_of_the_convolution(types):
    conv = nn.Conv2d(10, 5, 1)
    maps = [torch.randn(2, 5, 7, 3).to(getattr(torch, name)) for name in types]
    both = [graded(each, conv, maps, torch.bfloat16) for each in (joined, plain)]
    for got, expected in zip(*both, strict=True):
        assert got.dtype == expected.dtype
        assert_close(got, expected, 0.02)


def test_weights_have_a_gradient_where_autocast_has_cast_them_before_and_after():
    conv, x = nn.Conv2d(10, 5, 1), torch.randn(2, 5, 7, 3)
    with torch.autocast('cpu', torch.bfloat16):
        first = joined(conv, x, x)
        loss = plain(conv, x, first.detach()).sum()
    [grad] = torch.autograd.grad(loss, conv.weight)
    assert grad.any()


def test_gradients_are_exact():
    conv = nn.Conv2d(4, 3, 1).double()
    maps = torch.randn(2, 2, 2, 3, 1, dtype=torch.float64, requires_grad=True).unbind()

    def apply(weight, bias, *maps):
        state = dict(weight=weight, bias=bias)
        return torch.func.functional_call(Pair(conv), {f'conv.{k}': state[k] for k in state}, maps)

    assert torch.autograd.gradcheck(apply, (conv.weight, conv.bias, *maps))
    assert torch.autograd.gradgradcheck(apply, (conv.weight, conv.bias, *maps))


class Pair(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x, y):
        return joined(self.conv, x, y)


@pytest.mark.parametrize('frozen', ['conv', 'x', 'y'])
def test_what_is_frozen_gets_no_gradient(frozen):
    conv = nn.Conv2d(10, 5, 1).requires_grad_(frozen != 'conv')
    x, y = (torch.randn(2, 5, 7, 3, requires_grad=frozen != name) for name in 'xy')
    joined(conv, x, y).sum().backward()
    given = [tensor.grad is not None for tensor in (conv.weight, x, y)]
    assert given == [frozen != name for name in ('conv', 'x', 'y')]


def test_keeps_the_maps_themselves():
    conv, maps = nn.Conv2d(10, 5, 1), torch.randn(2, 2, 5, 7, 3)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
        joined(conv, *maps)
    assert {x.data_ptr() for x in kept} <= {x.data_ptr() for x in (*maps, conv.weight)}


def test_is_finite_where_the_convolution_overflows():
    conv = nn.Conv2d(4, 2, 1, bias=False).half()
    nn.init.ones_(conv.weight)
    x = torch.full((1, 2, 3, 3), 6e4).half().requires_grad_()
    out = joined(conv, x, x)
    assert (out == torch.finfo(torch.float16).max).all()
    out.sum().backward()
    assert (x.grad == 4).all()
    # Both maps are in range together though each of the two alone is not.
    assert (joined(conv, x, -x) == 0).all()


def test_hooks_see_the_call():
    conv, x = nn.Conv2d(10, 5, 1), torch.randn(2, 5, 7, 3)
    seen = []
    conv.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape))
    joined(conv, x, x)
    assert seen == [(2, 10, 7, 3)]


@pytest.mark.parametrize('options', [dict(kernel_size=3, padding=1), dict(kernel_size=1, groups=2)])
def test_other_convolutions_are_called(options):
    conv, maps = nn.Conv2d(10, 4, **options), torch.randn(2, 2, 5, 7, 3)
    assert torch.equal(joined(conv, *maps), plain(conv, *maps))


def test_half_maps_ask_for_half_weights():
    x = torch.randn(2, 5, 7, 3).half()
    with pytest.raises(RuntimeError, match='type'):
        joined(nn.Conv2d(10, 5, 1), x, x)
