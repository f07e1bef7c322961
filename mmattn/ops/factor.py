"""Factors that are computed in float32 and multiply a map in its own type."""

from typing import Any

import torch
from torch import Tensor

from mmattn.compat import is_compiling
from mmattn.ops.precision import HALVES, narrowed, saturate


def as_factor(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Bring weights of a softmax, or few gates or logits, into the type of the map they meet.

    Their gradient adds up products of maps in that type. Where it overflows float16 it becomes the
    largest value: infinity times the zero slope of what they come from is NaN.

    Args:
        x: Factors in float32 or float64.
        dtype: Type of the map.

    Returns:
        The factors in ``dtype``; what overflows float16 becomes its largest value.
    """
    return _Factor.apply(x, dtype) if dtype in HALVES and x.dtype != dtype else x.to(dtype)


def softmax_factor(logits: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    """Take a softmax whose weights multiply a map, in the type of the map.

    Exponentials and their sums are in float32. The weights are kept as they are given, and in no
    other form.

    Args:
        logits: What the softmax is taken of, in any type.
        dim: Axis along which the weights sum to one.
        dtype: Type of the map.

    Returns:
        The weights in ``dtype``.
    """
    if dtype not in HALVES:
        return logits.softmax(dim, dtype=dtype)
    return _SoftmaxFactor.apply(logits, dim, dtype)


def tells_shares_apart(dtype: torch.dtype, count: int) -> bool:
    """Tell whether the weights of a mean over so many values have all of their digits in a type.

    From 2 ** -14 on, float16 has fewer for what is smaller. What is compiled does not ask for the
    size of its maps.
    """
    return dtype != torch.float16 or (not is_compiling() and count <= 2**14)


class _Factor(torch.autograd.Function):
    """Numbers in a half type, whose gradient is finite."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, dtype: torch.dtype) -> Tensor:
        return narrowed(x, dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.dtype = inputs[0].dtype

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        # Not in place, as the gradient may be that of others too.
        return saturate(grad).to(ctx.dtype), None


class _SoftmaxFactor(torch.autograd.Function):
    """Weights in a half type, with the gradient of their logits."""

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
        return logits.softmax(dim).to(dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        logits, ctx.dim, _ = inputs
        ctx.dtype = logits.dtype
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        [weights] = ctx.saved_tensors
        backward = torch.ops.aten._softmax_backward_data
        of_logits = backward(saturate(grad), weights, ctx.dim, weights.dtype)
        return of_logits.to(ctx.dtype), None, None
