"""Coordinate pooling: the mean of every row and of every column of a feature map."""

from torch import Tensor

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
    # Means, not AdaptiveAvgPool2d((None, 1)): the same numbers, and they export to ONNX.
    rows = wide_mean(x, 3, keepdim=True)  # (N, C, H, 1)
    columns = wide_mean(x, 2, keepdim=True)  # (N, C, 1, W)
    return rows.to(x.dtype), columns.to(x.dtype)
