"""Factors that are computed in float32 and multiply a map in its own type."""

from typing import Any

import torch
from torch import Tensor

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
