"""The largest value along an axis, without its index."""

from typing import Any

import torch
from torch import Tensor

from mmattn.compat import is_compiling


def largest(x: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """Take the largest values along an axis.

    Of equal ones the first gets the gradient, as in max pooling; :func:`torch.amax` shares it out.
    Which one that is, the backward pass finds out: an index would take eight bytes, and the search
    for it much of the time of a forward pass.

    Args:
        x: Map.
        dim: Axis.
        keepdim: Whether it stays, with a length of one.

    Returns:
        The values, in ``x.dtype``.

    Example:
        >>> import torch
        >>> largest(torch.tensor([[1.0, 3.0, 3.0]]), 1)
        tensor([3.])
    """
    if is_compiling() or torch.jit.is_tracing():
        # A program has the operation of PyTorch.
        return x.max(dim, keepdim=keepdim).values
    if not torch.is_grad_enabled():
        return x.amax(dim, keepdim=keepdim)
    peak = _Largest.apply(x, dim)
    return peak if keepdim else peak.squeeze(dim)


class _Largest(torch.autograd.Function):
    """The largest values along an axis, which stays, whose gradient goes to the first of them."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, dim: int) -> Tensor:
        return x.amax(dim, keepdim=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        x, ctx.dim = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        [x] = ctx.saved_tensors
        first = x.argmax(ctx.dim, keepdim=True)
        backward = torch.ops.aten.value_selecting_reduction_backward
        return backward(grad, ctx.dim, first, x.shape, True), None
