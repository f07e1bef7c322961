"""Mixed pooling."""

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NormCfg, Side
from mmattn.layers.sequential import SafeSequential
from mmattn.ops.cells import grid_means
from mmattn.ops.precision import (
    in_float32,
    narrowed,
    rectified,
    saturate_,
    wide_mean,
)


@MODELS.register_module()
class MixedPooling(Attention):
    """Mixed pooling: context from square pools and from strips, added to the input.

    At a quarter of the channels, one branch adds two grids of means to the map, the other one adds
    the means of its rows to those of its columns. A 1x1 convolution of both joins the input.

    Paper: `Strip Pooling: Rethinking Spatial Pooling for Scene Parsing
    <https://arxiv.org/abs/2003.13328>`_ (CVPR 2020), section 3.2. Weights of ``StripPooling`` in
    the authors' release load as they are.

    Note:
        The default grids suit maps of about 60x60, as the paper has them. On a map with fewer
        rows or columns than the grid, neighbouring cells share pixels. In training, a batch norm
        that sees a single value, such as one image of one pixel, uses its running statistics. It
        adds to the map and multiplies it by nothing, so it has no gates.

    Args:
        in_channels: Channels of the input and of the output, a multiple of 4.
        pool_size: Rows and columns of the two square grids.
        norm_cfg: Norm layers.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not a positive multiple of 4 or ``pool_size`` not two
            positive numbers.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> MixedPooling(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'mixed_pooling'

    def __init__(
        self,
        in_channels: int,
        *,
        pool_size: tuple[Side, Side] = (20, 12),
        norm_cfg: NormCfg = dict(type='BN'),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        if in_channels % 4:
            raise ValueError(
                f'expected in_channels divisible by 4, got {in_channels}; '
                f'{max(4, (in_channels + 2) // 4 * 4)} works'
            )
        self.pool_size = tuple(pool_size)
        c, m = in_channels, in_channels // 4

        def conv_norm(in_channels: int, out_channels: int, height: int, width: int) -> nn.Module:
            size, padding = (height, width), (height // 2, width // 2)
            conv = nn.Conv2d(in_channels, out_channels, size, padding=padding, bias=False)
            return SafeSequential(conv, build_norm_layer(norm_cfg, out_channels)[1])

        self.conv1_1 = conv_norm(c, m, 1, 1)
        self.conv1_2 = conv_norm(c, m, 1, 1)
        self.conv2_0 = conv_norm(m, m, 3, 3)
        self.conv2_1 = conv_norm(m, m, 3, 3)
        self.conv2_2 = conv_norm(m, m, 3, 3)
        self.conv2_3 = conv_norm(m, m, 1, 3)
        self.conv2_4 = conv_norm(m, m, 3, 1)
        self.conv2_5 = conv_norm(m, m, 3, 3)
        self.conv2_6 = conv_norm(m, m, 3, 3)
        self.conv3 = conv_norm(2 * m, c, 1, 1)

    def attend(self, x: Tensor) -> Tensor:
        """Add the context of both branches to ``x``."""
        square = self._squares(self.conv1_1(x).relu())
        strips = self._strips(self.conv1_2(x).relu())
        # A ReLU keeps its result, which the convolution keeps as well.
        context = self.conv3(torch.cat([square, strips], 1).relu())  # (N, C, H, W)
        return rectified(x + context)

    def _squares(self, x: Tensor) -> Tensor:
        out = self.conv2_0(x)
        for i, layer in enumerate((self.conv2_1, self.conv2_2)):
            size = self.pool_size[i]
            grid = layer(grid_means(x, (size, size)))  # (N, C / 4, size, size)
            out = out + F.interpolate(grid, x.shape[2:], mode='bilinear', align_corners=True)
        return self.conv2_5(saturate_(out).relu())

    def _strips(self, x: Tensor) -> Tensor:
        columns = in_float32(self.conv2_3, wide_mean(x, 2, keepdim=True))  # (N, C / 4, 1, W)
        rows = in_float32(self.conv2_4, wide_mean(x, 3, keepdim=True))  # (N, C / 4, H, 1)
        strips = saturate_(narrowed(rows, x.dtype) + narrowed(columns, x.dtype))
        return self.conv2_6(strips.relu())
