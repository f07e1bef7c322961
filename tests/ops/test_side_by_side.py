import copy

import pytest
import torch
from torch import nn

from mmattn.ops.side_by_side import side_by_side

LARGEST = torch.finfo(torch.float16).max


def draw(*widths, **options):
    return nn.ModuleList(nn.Conv2d(5, width, 1, **options) for width in widths)


def operations(function):
    """Name the convolutions that a function runs."""
    with torch.profiler.profile() as profile:
        function()
    return sum(e.count for e in profile.key_averages() if e.key == 'aten::convolution')


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=str)
def test_values_and_gradients(layout, bias):
    layers = draw(2, 3, 3, bias=bias).double()
    x = torch.randn(2, 5, 7, 3, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    inputs = [x, *layers.parameters()]
    found = []
    for maps in (side_by_side(list(layers), x), [layer(x) for layer in layers]):
        loss = sum((y * y.detach().flip(0)).sum() for y in maps)
        found.append([*maps, *torch.autograd.grad(loss, inputs)])
    torch.testing.assert_close(*found)


def test_is_one_convolution_in_training_alone():
    layers, x = list(draw(2, 3)), torch.randn(1, 5, 4, 4)
    assert operations(lambda: side_by_side(layers, x)) == 1
    with torch.no_grad():
        assert operations(lambda: side_by_side(layers, x)) == 2


def hooked(layers):
    layers[1].register_forward_hook(lambda *call: None)


def of_another_kind(layers):
    layers[1] = nn.Conv2d(5, 3, 3, padding=1)


def with_an_adapter(layers):
    class Adapted(nn.Conv2d):
        def forward(self, x):
            return 2 * super().forward(x)

    layers[1] = Adapted(5, 3, 1)


def without_a_bias(layers):
    layers[1] = nn.Conv2d(5, 3, 1, bias=False)


@pytest.mark.parametrize('change', [hooked, of_another_kind, with_an_adapter, without_a_bias])
def test_calls_layers_that_are_more(change):
    layers, x = list(draw(2, 3)), torch.randn(1, 5, 4, 4)
    change(layers)
    assert operations(lambda: side_by_side(layers, x)) == 2
    torch.testing.assert_close(side_by_side(layers, x), [layer(x) for layer in layers])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('how', ['cast', 'autocast', 'autocast of float32', 'float32 into cast'])
def test_type(dtype, how):
    layers, x = draw(2, 3), torch.randn(1, 5, 4, 4)
    expected = [layer(x) for layer in layers]
    if 'cast' in how.split():
        layers = copy.deepcopy(layers).to(dtype)
    if 'float32' not in how:
        x = x.to(dtype)
    with torch.autocast('cpu', dtype, enabled='autocast' in how):
        maps = side_by_side(list(layers), x)
    for got, wide in zip(maps, expected, strict=True):
        assert got.dtype == dtype
        torch.testing.assert_close(got.float(), wide, rtol=0.02, atol=0.02)


def test_what_overflows_is_the_largest_value():
    layers = list(draw(1, 1).half())
    for layer, value in zip(layers, (1.0, -1.0), strict=True):
        nn.init.constant_(layer.weight, value)
    one, other = side_by_side(layers, torch.full((1, 5, 2, 2), 6e4).half())
    assert (one == LARGEST).all() and (other == -LARGEST).all()
