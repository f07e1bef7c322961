"""Upsampling by points: a larger map, each of whose pixels is read at a point of the smaller."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmattn.compat import is_compiling
from mmattn.ops.layout import laid_out_as
from mmattn.ops.pixel_shuffle import pixel_shuffle
from mmattn.ops.precision import narrowed, widened
from mmattn.ops.transformed import is_transformed


def initial_offset(groups: int, scale_factor: int) -> Tensor:
    """Give the offsets with which :func:`point_sampled` is bilinear interpolation.

    Args:
        groups: Number of channel groups, g.
        scale_factor: How much larger the output is, s.

    Returns:
        Offsets of shape (1, 2 * g * s * s, 1, 1): the same for each pixel and each group.

    Example:
        >>> initial_offset(1, 2).flatten().tolist()
        [-0.25, 0.25, -0.25, 0.25, -0.25, -0.25, 0.25, 0.25]
    """
    s = scale_factor
    steps = (torch.arange(s) - (s - 1) / 2) / s
    x, y = steps.expand(s, s), steps[:, None].expand(s, s)
    offset = torch.stack([x, y])[:, None].expand(2, groups, s, s)
    return offset.reshape(1, 2 * groups * s * s, 1, 1)


def point_sampled(x: Tensor, offset: Tensor, scale_factor: int) -> Tensor:
    """Enlarge a map by reading it, bilinearly, at one point for each pixel of the output.

    Points and samples are computed in float32, or in float64 if ``x`` is: at a width of 200,
    bfloat16 would miss a point by more than a pixel.

    Args:
        x: Feature map of shape (N, C, H, W).
        offset: How far each point lies from the centre of its pixel of ``x``, in pixels: (N, 2 * g
            * s * s, H, W), best in float32. Channel ((axis * g + group) * s + i) * s + j is for
            pixel (i, j) of the s x s that come from one, along the width for axis 0 and the height
            for axis 1; each group is for a run of C / g channels. What lies outside ``x`` is read
            at its border.
        scale_factor: How much larger the output is, s.

    Returns:
        Map (N, C, H * s, W * s) in ``x.dtype``, channels-last if ``x`` is.

    Raises:
        ValueError: If the offsets are not for such a map.

    Example:
        >>> import torch
        >>> offset = initial_offset(4, 2).expand(1, -1, 2, 3)
        >>> point_sampled(torch.rand(1, 8, 2, 3), offset, 2).shape
        torch.Size([1, 8, 4, 6])
    """
    (n, c, h, w), s = x.shape, scale_factor
    groups = offset.shape[1] // (2 * s * s)
    fits = groups > 0 and c % groups == 0 and offset.shape[1] == 2 * groups * s * s
    if not fits or (offset.shape[0], *offset.shape[2:]) != (n, h, w):
        raise ValueError(
            f'expected offset of shape ({n}, groups * {2 * s * s}, {h}, {w}), where groups divide '
            f'{c} channels, for x {tuple(x.shape)}, got {tuple(offset.shape)}'
        )
    wide = widened(x)
    if not is_compiling() and is_transformed(wide):
        # Of vmap(grad(...)) PyTorch has the gradient of the points with that of the map alone.
        wide = wide + 0 * offset[:, :1, :1, :1].to(wide.dtype)
    along_x, along_y = offset.to(wide.dtype).chunk(2, 1)
    columns = torch.arange(w, dtype=wide.dtype, device=x.device) + 0.5
    rows = torch.arange(h, dtype=wide.dtype, device=x.device)[:, None] + 0.5
    # From -1 to 1 between the outer edges of the map.
    points = [2 * (columns + along_x) / w - 1, 2 * (rows + along_y) / h - 1]
    grid = torch.stack([pixel_shuffle(each, s) for each in points], 4)
    out = F.grid_sample(
        wide.reshape(n * groups, c // groups, h, w),
        grid.reshape(n * groups, h * s, w * s, 2),
        mode='bilinear',
        padding_mode='border',
        align_corners=False,
    )
    return laid_out_as(narrowed(out.reshape(n, c, h * s, w * s), x.dtype), x)
