"""Words for what is computed in float32 and for what stays in the type of its map.

An ``attend`` that is written in them reads as its paper and is finite in float16 where it is in
float32: means by :func:`wide_mean`, gates by :func:`wide_sigmoid` and :func:`gated`, what else is
small by :func:`in_float32`, convolutions of whole maps by :func:`on_map`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from mmattn.compat import at_least_float32, autocast_dtype
from mmattn.ops.norm import norm_any_batch, of_one_value


def wide_mean(x: Tensor, dim: int | tuple[int, ...], keepdim: bool = False) -> Tensor:
    """Average a map over some of its axes.

    Args:
        x: Feature map.
        dim: Axes.
        keepdim: Whether they stay, with a length of one.

    Returns:
        The means, with sums and result in float32, or in float64 if ``x`` is.
    """
    return x.mean(dim, keepdim=keepdim, dtype=at_least_float32(x.dtype))


def widened(x: Tensor) -> Tensor:
    """Bring a tensor into float32, or leave it in float64."""
    return x.to(at_least_float32(x.dtype))


def wide_sigmoid(x: Tensor) -> Tensor:
    """Take the sigmoid in float32, or in float64 if ``x`` is, and leave it so."""
    return widened(x).sigmoid()


Layer = Callable[..., Tensor]


def in_float32(layer: Layer | list[Layer], *inputs: Tensor) -> Tensor:
    """Compute in float32, whatever the type of the weights and of the inputs.

    Meant for what is small, such as pooled profiles: a mean of 6e4 over 64 channels overflows
    float16 in the first product. Norm layers also serve a single value per channel, see
    :func:`mmattn.ops.norm.norm_any_batch`.

    Args:
        layer: Layer, or function of several inputs, or a list of layers in a row.
        *inputs: What it is applied to.

    Returns:
        Its output in float32, or in float64 if the first input is.
    """
    if isinstance(layer, list):
        [x] = inputs
        for each in layer:
            x = in_float32(each, x)
        return x
    dtype = at_least_float32(inputs[0].dtype)
    with without_autocast(inputs[0]):
        wide = [x.to(dtype) for x in inputs]
        if not isinstance(layer, nn.Module):
            return layer(*wide)
        [x] = wide
        out = of_one_value(layer, x)
        if out is not None:
            return out
        narrow = {
            name: tensor.to(dtype)
            for name, tensor in (*layer.named_parameters(), *layer.named_buffers())
            if tensor.is_floating_point() and tensor.dtype != dtype
        }
        return torch.func.functional_call(layer, narrow, x) if narrow else layer(x)


def on_map(layer: nn.Module | list[nn.Module], x: Tensor) -> Tensor:
    """Apply layers to a map in their own type, without infinities.

    What a convolution or a norm lets overflow float16 becomes its largest value: infinity times
    zero, or less infinity, would be NaN in the next layer. A map in float32, such as a sum, comes
    into the type in which a convolution computes in the same way. Norm layers also serve a single
    value per channel, see :func:`mmattn.ops.norm.norm_any_batch`.

    Args:
        layer: Layer, or a list of layers in a row.
        x: Feature map.

    Returns:
        The output of the last layer.
    """
    for each in layer if isinstance(layer, list) else [layer]:
        if isinstance(each, nn.modules.conv._ConvNd | nn.Linear) and x.dtype == torch.float32:
            x = narrowed(x, layer_dtype(each, x))
        x = saturate(norm_any_batch(each, x))
    return x


class _Gated(torch.autograd.Function):
    """``x * gate`` in the type of ``x``, whose gradient for the gate is summed in float32."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, gate: Tensor) -> Tensor:
        return x * gate.to(x.dtype)

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple, output: Tensor):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, gate = ctx.saved_tensors
        wide = grad.to(torch.float32) * x
        return grad * gate.to(x.dtype), wide.sum_to_size(gate.shape).to(gate.dtype)


def gated(x: Tensor, gate: Tensor) -> Tensor:
    """Multiply a map by a gate, in the type of the map.

    The gradient of a gate is a sum over products of values and gradients, and overflows float16
    long before the values and the gradients do. Infinity times the zero slope of a sigmoid is NaN.

    Args:
        x: Feature map.
        gate: Its factors, of a shape that broadcasts to that of ``x``, best in float32.

    Returns:
        The product in ``x.dtype``.
    """
    return _Gated.apply(x, gate) if x.dtype == torch.float16 else x * gate.to(x.dtype)


def saturate(x: Tensor) -> Tensor:
    """Replace what overflowed float16 by its largest value; other types pass through untouched.

    Meant for whole maps, which stay in float16: infinity in, infinity times zero out is NaN.
    """
    if x.dtype != torch.float16:
        return x
    largest = torch.finfo(torch.float16).max
    return x.clamp(-largest, largest)


def narrowed(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Bring a map into a type; what overflows float16 becomes its largest value."""
    return x if x.dtype == dtype else saturate(x.to(dtype))


def layer_dtype(layer: nn.modules.conv._ConvNd | nn.Linear, x: Tensor) -> torch.dtype:
    """Tell the type in which a convolution of ``x`` computes: autocast's, or half its weights'."""
    half = layer.weight.dtype in (torch.float16, torch.bfloat16)
    own = layer.weight.dtype if half else x.dtype
    return own if x.is_meta else autocast_dtype(x.device.type) or own


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Give the context in which autocast leaves the device of ``x`` alone."""
    # Autocast does not know the device without data on which models are counted.
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)
