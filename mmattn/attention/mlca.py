"""Mixed local channel attention."""

import math

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import Odd, Share, Side
from mmattn.ops.cells import grid_means
from mmattn.ops.precision import gated, in_float32, without_autocast


@MODELS.register_module()
class MLCA(Attention):
    """Mixed local channel attention: one gate per channel for the map and for each of its cells.

    The map is averaged over the cells of a grid. One short convolution along the channels turns the
    means of the cells into gates of the cells, another one the mean of all cells into gates of the
    whole. Their weighted mean is spread to the map, which is multiplied by it.

    Paper: Mixed local channel attention for object detection, `Engineering Applications of
    Artificial Intelligence 123 (2023) 106442 <https://doi.org/10.1016/j.engappai.2023.106442>`_.
    The layers have the names of the authors' release.

    Note:
        As released, the convolution of the cells runs over the channels of one cell and on into
        those of the next, and the mean of the whole is that of the cells, which share pixels where
        the sides are no multiple of the grid. The gates are spread by adaptive average pooling in
        turn: on a large map, those in the middle of a cell are the cell's own.

    Args:
        in_channels: Channels of the input and of the output.
        local_size: Rows and columns of the grid. A map with fewer has cells that share pixels.
        kernel_size: Channels that one gate sees, odd; None for the odd number at or above the whole
            part of ``(log2(in_channels) + 1) / 2``.
        local_weight: Share of the cells' own gates; the rest is that of the whole.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` or ``local_size`` is not positive, ``kernel_size`` not odd
            and positive, or ``local_weight`` not within 0 and 1.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> MLCA(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'mlca'

    def __init__(
        self,
        in_channels: int,
        *,
        local_size: Side = 5,
        kernel_size: Odd | None = None,
        local_weight: Share = 0.5,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        if kernel_size is None:
            kernel_size = int((math.log2(in_channels) + 1) / 2) // 2 * 2 + 1
        self.local_size = local_size
        self.local_weight = local_weight

        def conv() -> nn.Conv1d:
            return nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

        self.conv, self.conv_local = conv(), conv()

    def attend(self, x: Tensor) -> Tensor:
        """Gate each position of ``x``, channel by channel."""
        return gated(x, self._gate(x))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the gate ``'spatial'`` (N, C, H, W)."""
        return {'spatial': self._gate(x)}

    def _gate(self, x: Tensor) -> Tensor:
        cells = grid_means(x, (self.local_size, self.local_size))
        local = in_float32(self._local_logits, cells).sigmoid()  # (N, C, size, size)
        whole = in_float32(self._whole_logits, cells).sigmoid()  # (N, C, 1, 1)
        gate = torch.lerp(whole.expand_as(local), local, self.local_weight)
        h, w = x.shape[2:]
        with without_autocast(gate):
            return grid_means(gate, (h, w))

    def _local_logits(self, cells: Tensor) -> Tensor:
        each = cells.flatten(2).transpose(1, 2)  # (N, cells, C)
        logits = in_float32(self.conv_local, each.flatten(1)[:, None])[:, 0]
        return logits.reshape(each.shape).transpose(1, 2).reshape(cells.shape)

    def _whole_logits(self, cells: Tensor) -> Tensor:
        means = cells.mean((2, 3))  # (N, C)
        return in_float32(self.conv, means[:, None])[:, 0, :, None, None]
