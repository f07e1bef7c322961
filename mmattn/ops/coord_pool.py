"""Coordinate pooling: the mean of every row and of every column of a feature map."""

import torch
from torch import Tensor

from mmattn.compat import autocast_dtype, is_compiling
from mmattn.ops.precision import wide_mean


def coord_pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Average ``x`` over its columns and over its rows.

    Args:
        x: Feature map of shape (N, C, H, W).

    Returns:
        The row means of shape (N, C, H, 1) and the column means of shape (N, C, 1, W), in
        ``x.dtype``.

    Raises:
        ValueError: If ``x`` does not have four dimensions.
    """
    if x.dim() != 4:
        raise ValueError(f'expected x of shape (N, C, H, W), got {tuple(x.shape)}')
    if _is_faster_by_products(x):
        return _means_by_products(x)
    # Means, not AdaptiveAvgPool2d((None, 1)): the same numbers, and they export to ONNX.
    rows = wide_mean(x, 3, keepdim=True)  # (N, C, H, 1)
    columns = wide_mean(x, 2, keepdim=True)  # (N, C, 1, W)
    return rows.to(x.dtype), columns.to(x.dtype)


def _is_faster_by_products(x: Tensor) -> bool:
    """Tell whether to predict from a map in channels_last on a CPU.

    PyTorch sums such a map over one of its sides by single numbers, which takes four times as long.
    In half precision a product would round its sums, and in training its gradient is a map more.
    """
    return (
        x.device.type == 'cpu'
        and x.dtype in (torch.float32, torch.float64)
        and not torch.is_grad_enabled()
        and not is_compiling()
        and not torch.jit.is_tracing()
        and autocast_dtype('cpu') is None
        and x.stride(1) == 1
        and x.stride(3) == x.shape[1]
        and x.stride(2) == x.shape[1] * x.shape[3]
        and x.shape[1] > 1
    )


def _means_by_products(x: Tensor) -> tuple[Tensor, Tensor]:
    n, c, h, w = x.shape
    lines = x.permute(0, 2, 3, 1)  # (N, H, W, C)
    rows = x.new_full((1, w), 1 / w) @ lines  # (N, H, 1, C)
    columns = x.new_full((1, h), 1 / h) @ lines.reshape(n, h, w * c)  # (N, 1, W * C)
    return rows.permute(0, 3, 1, 2), columns.view(n, 1, w, c).permute(0, 3, 1, 2)
