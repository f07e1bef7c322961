"""Adaptively spatial feature fusion."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.fusion.base import LevelFusion
from mmattn.layers.checks import Must, Positive, check_map
from mmattn.ops.activation import activated
from mmattn.ops.factor import softmax_factor
from mmattn.ops.gating import weighted_sum
from mmattn.ops.precision import convolved, on_map

ThreeWidths = Annotated[Sequence[Positive], Must(' of three', lambda widths: len(widths) == 3)]


class ConvBlock(nn.Module):
    """Convolution, batch norm and leaky ReLU, under the names of the release.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the kernel.
        stride: Stride.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False
        )
        self.batch_norm = nn.BatchNorm2d(out_channels)
        self.act = nn.LeakyReLU(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply them to ``x`` of shape (N, C, H, W)."""
        return activated(self.act, on_map([self.conv, self.batch_norm], x))


@MODELS.register_module()
class ASFF(LevelFusion):
    """Weighted mean of three levels of a pyramid at the size of one, the weights of each pixel.

    Paper: `Learning Spatial Fusion for Single-Shot Object Detection
    <https://arxiv.org/abs/1911.09516>`_ (arXiv 2019). Weights of the authors' release load as they
    are.

    The two other levels are brought to the size and width of this one: a coarser one by a 1x1
    convolution where its width differs, and by repeating its pixels; a finer one by a convolution
    of stride 2, ahead of which max pooling halves one that is two levels finer. A softmax over the
    three weighs them, and a 3x3 convolution follows.

    Args:
        in_channels: Channels of the three levels, the coarsest first, or one number for all.
        level: Index of the level whose size and width the mean has, 0 for the coarsest.
        out_channels: Channels of the output; None for those of the level.
        weight_channels: Channels to which each level is compressed for the weights; the release
            with RFB has 8.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If the widths are not three, or there is no such level.

    Shape:
        - Inputs: three of (N, C_i, H_i, W_i), the coarsest first, each level of half the size of
          the next, rounded up.
        - Output: (N, out_channels, H, W), of the size of the level.

    Example:
        >>> import torch
        >>> maps = [torch.rand(2, c, s, s) for c, s in ((32, 4), (16, 7), (8, 13))]
        >>> ASFF([32, 16, 8], level=1)(*maps).shape
        torch.Size([2, 16, 7, 7])
    """

    num_inputs = 3

    def __init__(
        self,
        in_channels: Positive | ThreeWidths,
        *,
        level: Literal[0, 1, 2] = 0,
        out_channels: Positive | None = None,
        weight_channels: Positive = 16,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = (
            list(in_channels) if isinstance(in_channels, Sequence) else [in_channels] * 3
        )
        self.level = level
        width = self.in_channels[level]
        self.out_channels = width if out_channels is None else out_channels
        for i, channels in enumerate(self.in_channels):
            if i > level:
                setattr(self, f'stride_level_{i}', ConvBlock(channels, width, 3, stride=2))
            elif channels != width:
                setattr(self, f'compress_level_{i}', ConvBlock(channels, width, 1))
            setattr(self, f'weight_level_{i}', ConvBlock(width, weight_channels, 1))
        self.weight_levels = nn.Conv2d(3 * weight_channels, 3, 1)
        self.expand = ConvBlock(width, self.out_channels, 3)

    def map_shapes(self, h: int, w: int) -> list[tuple[int, int, int]]:
        """Tell the shapes of the three levels."""
        sizes: dict[int, tuple[int, int]] = {self.level: (h, w)}
        for i in range(self.level - 1, -1, -1):
            sizes[i] = (sizes[i + 1][0] + 1) // 2, (sizes[i + 1][1] + 1) // 2
        for i in range(self.level + 1, 3):
            sizes[i] = sizes[i - 1][0] * 2, sizes[i - 1][1] * 2
        return [(c, *sizes[i]) for i, c in enumerate(self.in_channels)]

    def forward(self, x0: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
        """Fuse three levels, the coarsest first.

        Raises:
            ValueError: If one is not of its shape (N, C_i, H_i, W_i), or not of half the size of
                the next, rounded up.
        """
        maps = [x0, x1, x2]
        for i, x in enumerate(maps):
            check_map(self, x, self.in_channels[i], f'x{i}')
        self._check_sizes(maps)
        alike = [self._resized(i, x, _size(maps[self.level])) for i, x in enumerate(maps)]
        seen = [getattr(self, f'weight_level_{i}')(x) for i, x in enumerate(alike)]
        logits = convolved(self.weight_levels, torch.cat(seen, 1))
        weights = softmax_factor(logits, 1, alike[0].dtype)
        return self.expand(weighted_sum(alike, weights.split(1, 1)))

    def _check_sizes(self, maps: list[Tensor]) -> None:
        for i in (1, 2):
            coarse, (h, w) = _size(maps[i - 1]), _size(maps[i])
            if coarse != ((h + 1) // 2, (w + 1) // 2) or maps[i].shape[0] != maps[0].shape[0]:
                raise ValueError(
                    'ASFF expected levels of one batch, each of half the size of the next, rounded '
                    f'up, got {", ".join(str(tuple(x.shape)) for x in maps)}'
                )

    def _resized(self, i: int, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Bring level ``i`` to a size, and to the width of that level."""
        if i == self.level + 2:
            x = F.max_pool2d(x, 3, stride=2, padding=1)
        if i > self.level:
            return getattr(self, f'stride_level_{i}')(x)
        if hasattr(self, f'compress_level_{i}'):
            x = getattr(self, f'compress_level_{i}')(x)
        return x if i == self.level else F.interpolate(x, size)


def _size(x: Tensor) -> tuple[int, int]:
    """Give height and width of a map."""
    return x.shape[2], x.shape[3]
