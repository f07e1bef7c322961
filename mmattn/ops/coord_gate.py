"""Coordinate gate: one gate per row and one per column of a feature map."""

import torch
from torch import Tensor

from mmattn.ops.dispatch import Impl, check_impl
from mmattn.ops.precision import gated


def coord_gate(x: Tensor, a_h: Tensor, a_w: Tensor, *, impl: Impl = 'auto') -> Tensor:
    """Scale ``x`` by ``sigmoid(a_h) * sigmoid(a_w)``.

    Args:
        x: Feature map of shape (N, C, H, W).
        a_h: Row logits of shape (N, C, H, 1).
        a_w: Column logits of shape (N, C, 1, W).
        impl: Kernel choice, see :func:`mmattn.ops.dispatch.check_impl`.

    Returns:
        Gated feature map of shape (N, C, H, W) in ``x.dtype``.

    Raises:
        ValueError: If the three shapes do not agree.
        RuntimeError: If ``impl='fused'`` cannot run here.
    """
    n, c, h, w = x.shape
    if a_h.shape != (n, c, h, 1) or a_w.shape != (n, c, 1, w):
        raise ValueError(
            f'expected a_h {(n, c, h, 1)} and a_w {(n, c, 1, w)} for x {tuple(x.shape)}, '
            f'got {tuple(a_h.shape)} and {tuple(a_w.shape)}'
        )
    check_impl('coord_gate', impl)
    return coord_gate_reference(x, a_h, a_w)


def coord_gate_reference(x: Tensor, a_h: Tensor, a_w: Tensor) -> Tensor:
    """Specify :func:`coord_gate` in plain PyTorch, with the gates computed in float32 or wider."""
    # Only the gates, which are one row and one column, are widened; never the map.
    dtype = torch.promote_types(x.dtype, torch.float32)
    return gated(gated(x, a_h.to(dtype).sigmoid()), a_w.to(dtype).sigmoid())
