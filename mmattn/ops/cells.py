"""Means of the cells of a grid over a feature map."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmattn.compat import is_compiling
from mmattn.ops.precision import saturate_, without_autocast


def grid_means(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Average ``x`` over the cells of a grid of so many rows and columns.

    Computes what :func:`torch.nn.functional.adaptive_avg_pool2d` does, which ONNX has for fixed
    sizes only and whose backward pass on a GPU is not deterministic.

    Args:
        x: Feature map of shape (N, C, H, W).
        size: Rows and columns of the grid. If there are more than in the map, neighbouring cells
            share pixels.

    Returns:
        The means of shape (N, C, *size), in the type of the map.
    """
    if not (torch.is_grad_enabled() or is_compiling() or torch.jit.is_tracing()):
        return F.adaptive_avg_pool2d(x, size)
    rows, columns = cell_weights(x, x.shape[2], size[0]), cell_weights(x, x.shape[3], size[1])
    # Rounded weights can sum to more than one.
    return saturate_(rows @ x @ columns.T)


def cell_weights(x: Tensor, length: int, count: int) -> Tensor:
    """Weigh each position on an axis in the mean of each cell.

    Args:
        x: Tensor of the type and on the device that the weights are to have.
        length: Positions on the axis.
        count: Cells.

    Returns:
        The weights of shape (count, length); those of a cell sum to one.
    """
    position = torch.arange(length, device=x.device)
    cell = torch.arange(count, device=x.device)[:, None]
    first = cell * length // count
    # Rounded up.
    end = ((cell + 1) * length + count - 1) // count
    inside = (position >= first) & (position < end)
    return inside.to(x.dtype) / (end - first)


def cell_means(x: Tensor, side: int) -> Tensor:
    """Average ``x`` over square cells of so many pixels a side.

    In an export it is a convolution, since ``avg_pool2d`` asks there whether the sizes divide
    evenly.

    Args:
        x: Feature map of shape (N, C, H, W).
        side: Side of a cell. On an axis with fewer pixels the cell has all of them.

    Returns:
        The means, in the type of the map. What is left over of a height or width that is no
        multiple of the side is cut off.
    """
    channels, h, w = x.shape[1:]
    cell = side if h >= side else h, side if w >= side else w
    if not is_compiling():
        return F.avg_pool2d(x, cell)
    mean = 1 / (cell[0] * cell[1])
    kernel = torch.full((channels, 1, *cell), mean, dtype=x.dtype, device=x.device)
    with without_autocast(x):
        return F.conv2d(x, kernel, stride=cell, groups=channels)


def whole_cells(x: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Average ``x`` over the cells that :func:`cell_means` averages it over, and tell which.

    An export takes no number of cells that may be one and may be more. There are spare cells there,
    whose means are zero.

    Args:
        x: Feature map of shape (N, C, H, W).
        side: Side of a cell. On an axis with fewer pixels the cell has all of them.

    Returns:
        The means of shape (N, C, cells), and 1 for each cell that counts, 0 for a spare one, of
        shape (cells,); both in the type of the map.
    """
    if not (is_compiling() or torch.jit.is_tracing()):
        means = cell_means(x, side).flatten(2)
        return means, means.new_ones(means.shape[2])
    rows, columns = [_whole_cell_weights(x, length, side) for length in x.shape[2:]]
    # Rounded weights can sum to more than one.
    means = saturate_(rows @ x @ columns.T).flatten(2)
    return means, (rows.any(1)[:, None] & columns.any(1)).flatten().to(x.dtype)


def _whole_cell_weights(x: Tensor, length: int, side: int) -> Tensor:
    """Weigh the positions on an axis in each cell: (cells, length), zero for a spare cell."""
    position = torch.arange(length, device=x.device)
    cell = torch.arange(length // side + 2, device=x.device)[:, None]
    inside = position // side == cell
    count = inside.sum(1, keepdim=True)
    # Where the first one is not whole, it is the only one.
    counts = inside & ((count == side) | (cell == 0))
    return counts.to(x.dtype) / count.clamp(min=1)
