"""Coordinate attention."""

from typing import ClassVar, Literal

import torch
from mmcv.cnn import build_activation_layer, build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import ActCfg, NormCfg, Positive
from mmattn.ops.coord_gate import coord_gate
from mmattn.ops.coord_pool import coord_pool
from mmattn.ops.precision import gated, in_float32, wide_mean


@MODELS.register_module()
class CoordAtt(Attention):
    """Coordinate attention: channel attention that keeps the row and the column.

    The map is averaged along each axis; both profiles share one squeezing convolution, and two
    more turn them into one gate per row and one per column.

    Paper: `Coordinate Attention for Efficient Mobile Network Design
    <https://arxiv.org/abs/2103.02907>`_ (CVPR 2021). Weights of the authors' release load as they
    are, under both of its spellings (``conv_h, conv_w`` and ``conv2, conv3``).

    Note:
        One direction alone is the paper's ablation. In training, a batch norm that
        sees a single value, one image with one row or column, uses its running statistics.

    Args:
        in_channels: Channels of the input and of the output.
        reduction: Squeeze ratio; the bottleneck has ``max(8, in_channels // reduction)`` channels.
        norm_cfg: Norm layer of the bottleneck.
        act_cfg: Activation of the bottleneck; the paper's h-swish.
        direction: ``'both'``, or ``'h'`` for one gate per row and ``'w'`` for one per column only.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` or ``reduction`` is not positive or ``direction`` none of
            the three words.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> CoordAtt(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'coord_att'
    released_names: ClassVar[dict[str, str]] = {'conv2.': 'conv_h.', 'conv3.': 'conv_w.'}

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: Positive = 32,
        norm_cfg: NormCfg = dict(type='BN'),
        act_cfg: ActCfg = dict(type='HSwish'),
        direction: Literal['both', 'h', 'w'] = 'both',
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.direction = direction
        bottleneck = max(8, in_channels // reduction)
        self.conv1 = nn.Conv2d(in_channels, bottleneck, 1)
        self.bn1 = build_norm_layer(norm_cfg, bottleneck)[1]
        self.act = build_activation_layer(act_cfg)
        if direction != 'w':
            self.conv_h = nn.Conv2d(bottleneck, in_channels, 1)
        if direction != 'h':
            self.conv_w = nn.Conv2d(bottleneck, in_channels, 1)

    def attend(self, x: Tensor) -> Tensor:
        """Gate the rows and the columns of ``x``."""
        logits = self._logits(x)
        if self.direction == 'both':
            return coord_gate(x, logits['rows'], logits['columns'])
        [a] = logits.values()
        return gated(x, a.sigmoid())

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the gates ``'rows'`` (N, C, H, 1) and ``'columns'`` (N, C, 1, W)."""
        return {name: a.sigmoid() for name, a in self._logits(x).items()}

    def _logits(self, x: Tensor) -> dict[str, Tensor]:
        if self.direction == 'h':
            return {'rows': self._logits_of_one(x, 3, self.conv_h)}
        if self.direction == 'w':
            return {'columns': self._logits_of_one(x, 2, self.conv_w)}
        h, w = x.shape[2:]
        rows, columns = coord_pool(x)  # (N, C, H, 1), (N, C, 1, W)
        profile = torch.cat([rows, columns.transpose(2, 3)], dim=2)  # (N, C, H + W, 1)
        profile = self.act(in_float32([self.conv1, self.bn1], profile))
        rows, columns = profile.split([h, w], dim=2)
        a_h = in_float32(self.conv_h, rows)  # (N, C, H, 1)
        a_w = in_float32(self.conv_w, columns.transpose(2, 3))  # (N, C, 1, W)
        return {'rows': a_h, 'columns': a_w}

    def _logits_of_one(self, x: Tensor, pooled: int, conv: nn.Module) -> Tensor:
        profile = wide_mean(x, pooled, keepdim=True)  # (N, C, H, 1) or (N, C, 1, W)
        profile = self.act(in_float32([self.conv1, self.bn1], profile))
        return in_float32(conv, profile)
