"""Words for what is computed in float32 and for what stays in the type of its map.

An ``attend`` that is written in them reads as its paper and is finite in float16 where it is in
float32: means by :func:`wide_mean`, gates by :func:`wide_sigmoid` and :func:`gated`, what else is
small by :func:`in_float32`, convolutions of whole maps by :func:`convolved` and :func:`on_map`.
Gates of the size of the map are in :mod:`mmattn.ops.gating`.

What overflowed float16 becomes its largest value, and its gradient passes as if it had not: it is
that of the same numbers in float32. So nothing has to be kept for it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmattn.compat import at_least_float32, autocast_dtype, is_compiling
from mmattn.ops.depthwise import depthwise
from mmattn.ops.norm import of_one_value

HALVES = (torch.float16, torch.bfloat16)
LARGEST = torch.finfo(torch.float16).max


class _WideMean(torch.autograd.Function):
    """Means of a half map in float32, whose gradient spreads in the type of the map."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, dim: int | tuple[int, ...]) -> Tensor:
        return x.mean(dim, keepdim=True, dtype=torch.float32)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor):
        x, _ = inputs
        ctx.shape, ctx.dtype = x.shape, x.dtype

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        count = 1
        for whole, left in zip(ctx.shape, grad.shape, strict=True):
            if left == 1:
                count = count * whole
        return narrowed(grad / count, ctx.dtype).expand(ctx.shape), None


def wide_mean(x: Tensor, dim: int | tuple[int, ...], keepdim: bool = False) -> Tensor:
    """Average a map over some of its axes.

    No map in float32 is made of a half one, in the backward pass either: each value gets the same
    share of a gradient, which is rounded first and spread then.

    Args:
        x: Feature map.
        dim: Axes.
        keepdim: Whether they stay, with a length of one.

    Returns:
        The means, with sums and result in float32, or in float64 if ``x`` is.
    """
    if x.dtype not in HALVES:
        return x.mean(dim, keepdim=keepdim, dtype=at_least_float32(x.dtype))
    means = _WideMean.apply(x, dim)
    return means if keepdim else means.squeeze(dim)


def widened(x: Tensor) -> Tensor:
    """Bring a tensor into float32, or leave it in float64."""
    return narrowed(x, at_least_float32(x.dtype))


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
        Its output in float32, or in float64 if the first input is. A gradient of half weights that
        overflows float16 becomes its largest value.
    """
    if isinstance(layer, list):
        [x] = inputs
        for each in layer:
            x = in_float32(each, x)
        return x
    x = inputs[0]
    if x.dtype not in HALVES and _computes_in(x.dtype, layer, inputs):
        return layer(*inputs)
    dtype = at_least_float32(x.dtype)
    with without_autocast(x):
        wide = [x.to(dtype) for x in inputs]
        if not isinstance(layer, nn.Module):
            return layer(*wide)
        [x] = wide
        out = of_one_value(layer, x)
        if out is not None:
            return out
        narrow = {
            name: _Wide.apply(tensor, dtype)
            for name, tensor in (*layer.named_parameters(), *layer.named_buffers())
            if tensor.is_floating_point() and tensor.dtype != dtype
        }
        return torch.func.functional_call(layer, narrow, x) if narrow else layer(x)


class _Wide(torch.autograd.Function):
    """A weight in a wider type, whose gradient stays in the range of its own."""

    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor, dtype: torch.dtype) -> Tensor:
        return weight.to(dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor):
        weight, _ = inputs
        ctx.dtype = weight.dtype

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return narrowed(grad, ctx.dtype), None


def _computes_in(dtype: torch.dtype, layer: Layer, inputs: tuple[Tensor, ...]) -> bool:
    """Tell whether a layer as it is computes in a type; no where that is not known at a glance.

    This is asked at each call, of maps so small that the question costs as much as the layer.
    """
    x = inputs[0]
    if x.is_meta or is_compiling() or autocast_dtype(x.device.type) is not None:
        return False
    if not isinstance(layer, nn.Module):
        return all(other.dtype == dtype for other in inputs)
    return _is_of(dtype, layer) and of_one_value(layer, x) is None


def _is_of(dtype: torch.dtype, layer: nn.Module) -> bool:
    """Tell whether all parameters and buffers of a layer that are real numbers have a type."""
    # The dicts themselves: parameters() and buffers() take longer than a small convolution.
    for tensors in (layer._parameters, layer._buffers):
        for tensor in tensors.values():
            if tensor is not None and tensor.dtype != dtype and tensor.is_floating_point():
                return False
    for child in layer._modules.values():
        if child is not None and not _is_of(dtype, child):
            return False
    return True


# Their backward passes need their inputs, not their results, which may so be changed in place.
# Classes exactly: what is derived from them may do more.
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_LIKE_CONVOLUTIONS = (nn.modules.conv._ConvNd, nn.Linear)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_NORMS = (*_BATCH_NORMS, nn.GroupNorm)
# What is finite for all that is finite.
_FINITE = (nn.Identity, nn.ReLU, nn.Sigmoid, nn.Flatten, nn.Unflatten)


def on_map(layer: nn.Module | list[nn.Module], x: Tensor) -> Tensor:
    """Apply layers to a map in their own type, without infinities.

    What a convolution or a norm lets overflow float16 becomes its largest value: infinity times
    zero, or less infinity, would be NaN in the next layer. A batch norm that trains
    needs no look: of n values, none is further from their mean than sqrt(n) standard deviations,
    362 of a batch of 8 maps of 128 x 128, times the weight. A map in float32, such as a sum, comes
    into the type in which a convolution computes in the same way.
    Norm layers also serve a single value per channel, see :func:`mmattn.ops.norm.norm_any_batch`.

    Args:
        layer: Layer, or a list of layers in a row.
        x: Feature map.

    Returns:
        The output of the last layer.
    """
    for each in layer if isinstance(layer, list) else [layer]:
        kind = each.__class__
        if kind in _FINITE:
            x = each(x)
        elif isinstance(each, _LIKE_CONVOLUTIONS):
            x = convolved(each, x)
        else:
            of_one = of_one_value(each, x)
            is_of_batch = of_one is None and each.training and kind in _BATCH_NORMS
            x = each(x) if of_one is None else of_one
            if not is_of_batch:
                x = saturate_(x) if kind in _NORMS else saturate(x)
    return x


def convolved(layer: nn.modules.conv._ConvNd | nn.Linear, x: Tensor) -> Tensor:
    """Convolve a whole map in the type of the layer, without infinities.

    Args:
        layer: Convolution, or linear layer.
        x: Feature map. One in float32 comes into the type in which the layer computes first.

    Returns:
        Its output; what overflowed float16 has become its largest value.
    """
    if x.dtype == torch.float32:
        x = narrowed(x, layer_dtype(layer, x))
    out = depthwise(layer, x)
    return saturate_(out) if layer.__class__ in _CONVOLUTIONS else saturate(out)


class _Gated(torch.autograd.Function):
    """``x * gate`` in the type of ``x``, whose gradient for the gate is summed in float32."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, gate: Tensor) -> Tensor:
        return x * gate.to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, gate = ctx.saved_tensors
        of_x, of_gate = ctx.needs_input_grad
        return (
            grad * gate.to(x.dtype) if of_x else None,
            summed_product(grad, x, gate.shape, gate.dtype) if of_gate else None,
        )


def summed_to(x: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Sum a map to a shape that broadcasts to its own, in float32, and bring it into a type.

    A sum that overflows float16 becomes its largest value.
    """
    lead = x.dim() - len(shape)
    axes = [*range(lead), *(lead + i for i, length in enumerate(shape) if length == 1)]
    axes = [axis for axis in axes if x.shape[axis] != 1]
    # Over no axis at all, sum() adds up everything.
    if not axes:
        return x.reshape(shape).to(dtype)
    # In a half type it adds up in float32, too, and rounds once.
    total = x.sum(axes, keepdim=True, dtype=dtype if dtype == x.dtype else torch.float32)
    return narrowed(saturate_(total).reshape(shape), dtype)


def summed_product(x: Tensor, y: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Sum the product of two half maps, in float32.

    Args:
        x: Feature map.
        y: Feature map of the same shape.
        shape: What to sum to; it broadcasts to that of the maps.
        dtype: Type of the result.
    """
    if not is_by_channel(x, y, shape):
        return summed_to(saturate_(x * y), shape, dtype)
    # The gradient of a batch norm's weight is such a sum, without a map of products. Each channel
    # of each map is one of its own here, with a mean of zero and a variance of one, in evaluation:
    # in training, a second derivative would go back through statistics of the map.
    n, c, h, w = x.shape
    zeros = torch.zeros(n * c, dtype=torch.float32, device=x.device)
    ones = torch.ones_like(zeros)
    maps = x.reshape(1, n * c, h, w), y.reshape(1, n * c, h, w)
    _, sums, _ = torch.ops.aten.native_batch_norm_backward(
        *maps, ones, zeros, ones, zeros, ones, False, 0.0, [False, True, False]
    )
    return sums.reshape(shape).to(dtype)


def is_by_channel(x: Tensor, y: Tensor, shape: torch.Size) -> bool:
    """Tell whether a sum is one for each channel of each map, which lie one behind the other."""
    if x.dim() != 4 or tuple(shape) != (*x.shape[:2], 1, 1) or x.numel() == 0:
        return False
    return x.is_contiguous() and y.is_contiguous()


def gated(x: Tensor, gate: Tensor) -> Tensor:
    """Multiply a map by a gate, in the type of the map.

    The gradient of a gate is a sum over products of values and gradients, and overflows float16
    long before the values and the gradients do. Infinity times the zero slope of a sigmoid is NaN.

    Args:
        x: Feature map.
        gate: Its factors, of a shape that broadcasts to that of ``x``, best in float32 if they are
            few. For a sigmoid of the size of the map see :func:`mmattn.ops.gating.sigmoid_gated`.

    Returns:
        The product in ``x.dtype``.
    """
    return _Gated.apply(x, gate) if x.dtype in HALVES else x * narrowed(gate, x.dtype)


class _Saturated(torch.autograd.Function):
    """A map in the range of float16, with the gradient of the map as it came."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp(-LARGEST, LARGEST)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor):
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def saturate(x: Tensor) -> Tensor:
    """Replace what overflowed float16 by its largest value; other types pass through untouched.

    Meant for whole maps, which stay in float16: infinity in, infinity times zero out is NaN.
    """
    return _Saturated.apply(x) if x.dtype == torch.float16 else x


def saturate_(x: Tensor) -> Tensor:
    """Do what :func:`saturate` does in place, in half the time and without a map more.

    Args:
        x: What has just been computed, by an operation whose backward pass does not need its
            result: a convolution, a sum, a product, or a norm. PyTorch refuses to go back through
            another one.

    Returns:
        ``x``.
    """
    if x.dtype == torch.float16:
        with torch.no_grad():
            # What clamp_() does, which torch.func.vmap takes row by row.
            F.hardtanh_(x, -LARGEST, LARGEST)
    return x


class _Rectified(torch.autograd.Function):
    """ReLU of a map in float16, within its range."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp(0.0, LARGEST)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        [x] = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(grad, x, 0.0)


def rectified(x: Tensor) -> Tensor:
    """Apply a ReLU; what overflowed float16 becomes its largest value in the same pass.

    It goes back from ``x``, not from its result as other ReLUs do: a network may add to that in
    place.
    """
    return _Rectified.apply(x) if x.dtype == torch.float16 else F.threshold(x, 0.0, 0.0)


def narrowed(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Bring a map into a type; what overflows float16 becomes its largest value."""
    return x if x.dtype == dtype else saturate_(x.to(dtype))


def layer_dtype(layer: nn.modules.conv._ConvNd | nn.Linear, x: Tensor) -> torch.dtype:
    """Tell the type in which a convolution of ``x`` computes: autocast's, or half its weights'."""
    weights = layer.weight.dtype
    own = weights if weights in HALVES else x.dtype
    return own if x.is_meta else autocast_dtype(x.device.type) or own


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Give the context in which autocast leaves the device of ``x`` alone."""
    # Autocast does not know the device without data on which models are counted.
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)
