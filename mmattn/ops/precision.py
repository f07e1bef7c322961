"""Keep half precision from overflowing where float32 does not."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


def in_float32(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer in float32, whatever the type of its weights and of ``x``.

    Meant for what is small, such as pooled profiles: a mean of 6e4 over 64 channels overflows
    float16 in the first product.

    Args:
        layer: Layer of one input and one output.
        x: Its input.

    Returns:
        Its output in float32, or in float64 if ``x`` is.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    with without_autocast(x):
        narrow = {
            name: tensor.to(dtype)
            for name, tensor in (*layer.named_parameters(), *layer.named_buffers())
            if tensor.is_floating_point() and tensor.dtype != dtype
        }
        x = x.to(dtype)
        return torch.func.functional_call(layer, narrow, x) if narrow else layer(x)


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Give the context in which autocast leaves the device of ``x`` alone."""
    # Autocast does not know the device without data on which models are counted.
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def layer_dtype(x: Tensor) -> torch.dtype:
    """Tell the type that the next convolution computes in: autocast's, or that of ``x``."""
    if not x.is_meta and torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype


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
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor]:
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
