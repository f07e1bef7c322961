"""Coordinate pooling: the mean of every row and of every column of a feature map."""

import torch
from torch import Tensor

from mmattn.ops.dispatch import Impl, check_impl


def coord_pool(x: Tensor, *, impl: Impl = 'auto') -> tuple[Tensor, Tensor]:
    """Average ``x`` over its columns and over its rows.

    Args:
        x: Feature map of shape (N, C, H, W).
        impl: Kernel choice, see :func:`mmattn.ops.dispatch.check_impl`.

    Returns:
        The row means of shape (N, C, H, 1) and the column means of shape (N, C, 1, W), in
        ``x.dtype``.

    Raises:
        ValueError: If ``x`` does not have four dimensions.
        RuntimeError: If ``impl='fused'`` cannot run here.
    """
    if x.dim() != 4:
        raise ValueError(f'expected x of shape (N, C, H, W), got {tuple(x.shape)}')
    check_impl('coord_pool', impl)
    return coord_pool_reference(x)


def coord_pool_reference(x: Tensor) -> tuple[Tensor, Tensor]:
    """Specify :func:`coord_pool` in plain PyTorch, with the sums taken in float32 or wider."""
    # A mean, not AdaptiveAvgPool2d((None, 1)): the same numbers, and it exports to ONNX.
    dtype = torch.promote_types(x.dtype, torch.float32)
    rows = x.mean(dim=3, keepdim=True, dtype=dtype)  # (N, C, H, 1)
    columns = x.mean(dim=2, keepdim=True, dtype=dtype)  # (N, C, 1, W)
    return rows.to(x.dtype), columns.to(x.dtype)
