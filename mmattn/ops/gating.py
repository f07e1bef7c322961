"""Products and weighted means of maps, where the factors are maps too or come from a sigmoid.

In half precision a map, and a gate of its size, stay in the type of the map; sums of logits and
what is small are in float32. One tensor is kept of each gate, and none of its logits.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from mmattn.compat import is_compiling
from mmattn.ops.precision import (
    HALVES,
    gated,
    is_by_channel,
    narrowed,
    saturate_,
    summed_product,
    summed_to,
    widened,
)


def multiplied(x: Tensor, attention: Tensor) -> Tensor:
    """Multiply a map by another one, in the type of the map.

    Args:
        x: Feature map.
        attention: Its factors, of the same shape.

    Returns:
        The product; what overflows float16 becomes its largest value.
    """
    if x.dtype in HALVES:
        attention = narrowed(attention, x.dtype)
    return saturate_(x * attention)


def sigmoid_gated(x: Tensor, *logits: Tensor, residual: bool = False) -> Tensor:
    """Multiply a map by the sigmoid of a sum of logits, in the type of the map.

    Args:
        x: Feature map.
        *logits: What is added up, in float32, and which the sigmoid is taken of: of shapes that
            broadcast to that of ``x``, each in a type of its own.
        residual: Whether to add ``x`` to the product.

    Returns:
        The product, or the sum; what overflows float16 becomes its largest value.
    """
    if x.dtype not in HALVES:
        gate = _gate(x, logits)
        return torch.addcmul(x, x, gate) if residual else x * gate
    with torch.no_grad():
        gate = _gate(x, logits)
    out = _SigmoidGated.apply(x, gate, residual, *logits)
    return saturate_(out) if residual else out


def mixed(m: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Compute ``m * x + (1 - m) * y`` in the type of the two maps.

    Args:
        m: Weights of ``x``, of a shape that broadcasts to that of the maps.
        x: Feature map.
        y: Feature map of the same shape.

    Returns:
        The weighted mean, in the wider of their types. With weights from 0 to 1 it lies between
        the two, so that nothing overflows.
    """
    x, y = _of_one_type(x, y)
    return _Mixed.apply(m, x, y) if x.dtype in HALVES else torch.lerp(y, x, m.to(x.dtype))


def weighted_sum(maps: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Add up at least two maps, each times its weights, in their type.

    Args:
        maps: Feature maps of one shape.
        weights: Those of each map, which sum to one and broadcast to its shape.

    Returns:
        What lies between the maps.
    """
    if len(maps) == 2:
        return mixed(weights[0], *maps)
    out = gated(maps[0], weights[0])
    for x, weight in zip(maps[1:], weights[1:], strict=True):
        out = out + gated(x, weight)
    # Rounded weights can sum to more than one, which is enough to pass the largest float16.
    return saturate_(out)


def sigmoid_mixed(x: Tensor, y: Tensor, *logits: Tensor) -> Tensor:
    """Compute ``m * x + (1 - m) * y`` where ``m`` is the sigmoid of a sum of logits.

    Args:
        x: Feature map.
        y: Feature map of the same shape.
        *logits: What is added up, as in :func:`sigmoid_gated`.

    Returns:
        What lies between the two, in the wider of their types.
    """
    x, y = _of_one_type(x, y)
    if x.dtype not in HALVES:
        return torch.lerp(y, x, _gate(x, logits))
    with torch.no_grad():
        gate = _gate(x, logits)
    return _SigmoidMixed.apply(x, y, gate, *logits)


def _of_one_type(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    dtype = torch.promote_types(x.dtype, y.dtype) if x.dtype != y.dtype else x.dtype
    return x.to(dtype), y.to(dtype)


def _gate(x: Tensor, logits: tuple[Tensor, ...]) -> Tensor:
    """Take the sigmoid of a sum; what has the size of ``x`` is rounded to its type when done."""
    first, *others = logits
    if not others and first.dtype == x.dtype:
        return first.sigmoid()
    if all(each.dtype in HALVES for each in others):
        first = widened(first)
    total = reduce(torch.add, others, first)
    if total.shape != x.shape or total.dtype == x.dtype:
        return total.sigmoid()
    # A compiler makes one pass of two operations.
    return total.sigmoid().to(x.dtype) if is_compiling() else _RoundedSigmoid.apply(total, x.dtype)


class _RoundedSigmoid(torch.autograd.Function):
    """The sigmoid of a map in float32, rounded to a half type in one pass, without a gradient."""

    @staticmethod
    def forward(x: Tensor, dtype: torch.dtype) -> Tensor:
        return torch.sigmoid(x, out=torch.empty_like(x, dtype=dtype))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor):
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, int]:
        return _RoundedSigmoid.apply(x, dtype), in_dims[0]


def _grads_of_logits(
    grad: Tensor, gate: Tensor, factor: Tensor, logits: list[tuple[torch.Size, torch.dtype]]
) -> list[Tensor]:
    """Compute the gradients of what is added up to a sum whose sigmoid multiplies a factor.

    The slope of the sigmoid comes first: infinity times zero, which is what it is for most values
    that overflow, is NaN.

    Args:
        grad: Gradient of the product.
        gate: The sigmoid.
        factor: What it multiplies.
        logits: Shape and type of each.
    """
    if gate.shape != grad.shape:
        total = summed_product(grad, factor, gate.shape, gate.dtype)
        return _shares(torch.ops.aten.sigmoid_backward(total, gate), logits)
    slope = torch.ops.aten.sigmoid_backward(grad, gate)
    sums = [
        summed_product(slope, factor, *each) if is_by_channel(slope, factor, each[0]) else None
        for each in logits
    ]
    others = [each for each, found in zip(logits, sums, strict=True) if found is None]
    shares = iter(_shares(slope * factor, others))
    return [next(shares) if found is None else found for found in sums]


def _shares(grad: Tensor, logits: list[tuple[torch.Size, torch.dtype]]) -> list[Tensor]:
    """Give each of some logits, told by shape and type, the gradient of their sum."""
    if any(shape != grad.shape for shape, _ in logits):
        # What is to be added up has to be finite.
        saturate_(grad)
    return [summed_to(grad, *each) for each in logits]


class _SigmoidGated(torch.autograd.Function):
    """``x * gate``, or ``x + x * gate``, of a half map, with gradients of the logits."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, gate: Tensor, residual: bool, *logits: Tensor) -> Tensor:
        gate = gate.to(x.dtype)
        return torch.addcmul(x, x, gate) if residual else x * gate

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor):
        x, gate, ctx.residual, *logits = inputs
        ctx.save_for_backward(x, gate)
        ctx.like = [(each.shape, each.dtype) for each in logits]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, gate = ctx.saved_tensors
        factor = gate.to(x.dtype)
        of_x = torch.addcmul(grad, grad, factor) if ctx.residual else grad * factor
        return of_x, None, None, *_grads_of_logits(grad, gate, x, ctx.like)


class _Mixed(torch.autograd.Function):
    """``m * x + (1 - m) * y`` of half maps, whose gradient for ``m`` is summed in float32."""

    generate_vmap_rule = True

    @staticmethod
    def forward(m: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return torch.lerp(y, x, m.to(x.dtype))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        m, x, y = ctx.saved_tensors
        of_x = grad * m.to(x.dtype)
        of_y = grad - of_x if m.shape == grad.shape else grad * (1 - m).to(x.dtype)
        if is_by_channel(x, y, m.shape):
            sums = [summed_product(grad, each, m.shape, torch.float32) for each in (x, y)]
            return (sums[0] - sums[1]).to(m.dtype), of_x, of_y
        return summed_product(grad, saturate_(x - y), m.shape, m.dtype), of_x, of_y


class _SigmoidMixed(torch.autograd.Function):
    """``gate * x + (1 - gate) * y`` of half maps, with gradients of the logits."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor, gate: Tensor, *logits: Tensor) -> Tensor:
        return torch.lerp(y, x, gate.to(x.dtype))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor):
        x, y, gate, *logits = inputs
        ctx.save_for_backward(x, y, gate)
        ctx.like = [(each.shape, each.dtype) for each in logits]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, gate = ctx.saved_tensors
        of_x = grad * gate.to(x.dtype)
        of_logits = _grads_of_logits(grad, gate, saturate_(x - y), ctx.like)
        return of_x, grad - of_x, None, *of_logits
