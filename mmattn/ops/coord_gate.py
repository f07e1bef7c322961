"""Coordinate gate: one gate per row and one per column of a feature map."""

from torch import Tensor

from mmattn.ops.precision import gated, wide_sigmoid


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
    # Only the gates, which are one row and one column, are widened; never the map.
    return gated(gated(x, wide_sigmoid(a_h)), wide_sigmoid(a_w))
