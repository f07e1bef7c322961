"""Coordinate gate: one gate per row and one per column of a feature map."""

from typing import Any

import torch
from torch import Tensor

from mmattn.compat import is_compiling
from mmattn.ops.precision import saturate_, wide_sigmoid
from mmattn.ops.transformed import is_transformed

# Values of an image from which on memory is what its gates wait for: a megabyte in float32.
_LARGE = 2**18


def coord_gate(x: Tensor, a_h: Tensor, a_w: Tensor) -> Tensor:
    """Scale ``x`` by ``sigmoid(a_h) * sigmoid(a_w)``.

    Args:
        x: Feature map of shape (N, C, H, W).
        a_h: Row logits of shape (N, C, H, 1).
        a_w: Column logits of shape (N, C, 1, W).

    Returns:
        Gated feature map of shape (N, C, H, W) in ``x.dtype``.

    Raises:
        ValueError: If the three shapes do not agree.
    """
    n, c, h, w = x.shape
    if a_h.shape != (n, c, h, 1) or a_w.shape != (n, c, 1, w):
        raise ValueError(
            f'expected a_h {(n, c, h, 1)} and a_w {(n, c, 1, w)} for x {tuple(x.shape)}, '
            f'got {tuple(a_h.shape)} and {tuple(a_w.shape)}'
        )
    if torch.is_grad_enabled() and not is_compiling() and not torch.jit.is_tracing():
        return _CoordGate.apply(x, a_h, a_w)
    return _gate(x, a_h, a_w)


def _gate(x: Tensor, a_h: Tensor, a_w: Tensor) -> Tensor:
    # Only the gates, which are one row and one column, are widened; never the map.
    rows, columns = [_laid_out_as(x, wide_sigmoid(a).to(x.dtype)) for a in (a_h, a_w)]
    if is_compiling() or torch.jit.is_tracing() or torch.is_grad_enabled():
        return x * rows * columns
    if x.device.type != 'cpu' or x[:1].numel() < _LARGE or is_transformed(rows):
        return (x * rows).mul_(columns)
    # One image after the other: the second product finds it in the cache.
    out = torch.empty_like(x)
    for image, row, column, gated in zip(x, rows, columns, out, strict=True):
        torch.mul(image, row, out=gated).mul_(column)
    return out


def _laid_out_as(x: Tensor, gate: Tensor) -> Tensor:
    """Bring a gate into the order of its map, where the product is then much faster."""
    if is_compiling() or x.stride(1) != 1:
        return gate
    return gate.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


class _CoordGate(torch.autograd.Function):
    """A map between its two gates, of which nothing but the map and the logits is kept.

    The slope of a sigmoid ``s`` is ``s * (1 - s)``, and the first factor is in the product already:
    the gradient of a logit is ``1 - s`` times what its row of ``grad * output`` adds up to.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, a_h: Tensor, a_w: Tensor) -> Tensor:
        return _gate(x, a_h, a_w)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        x, *logits = ctx.saved_tensors
        of_x = _gate(grad, *logits)
        product = saturate_(of_x * x)
        of_logits = []
        for a, dim in zip(logits, (3, 2), strict=True):
            wide = wide_sigmoid(a)
            total = product.sum(dim, keepdim=True, dtype=wide.dtype)
            of_logits.append((total * (1 - wide)).to(a.dtype))
        return of_x, *of_logits
