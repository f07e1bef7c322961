"""Large separable kernel attention."""

from typing import Literal

from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.init import init_by_fan_out
from mmattn.ops.gating import multiplied
from mmattn.ops.precision import on_map, widened

# Whole kernel: (taps of the near strips, taps of the far strips, dilation of the far strips).
STRIPS = {
    7: (3, 3, 2),
    11: (3, 5, 2),
    23: (5, 7, 3),
    35: (5, 11, 3),
    41: (5, 13, 3),
    53: (5, 17, 3),
}


@MODELS.register_module()
class LSKA(Attention):
    """Large separable kernel attention: LKA with every depthwise kernel cut in two strips.

    A row and a column of weights see the neighbourhood, a dilated row and column the long range,
    and a 1x1 convolution mixes the channels; the input is multiplied by the result. The cost
    grows with the length of the kernel, not with its area.

    Paper: `Large Separable Kernel Attention: Rethinking the Large Kernel Attention Design in CNN
    <https://arxiv.org/abs/2309.01439>`_ (Expert Systems with Applications 2024). Weights of the
    authors' release load as they are; without them it starts as the release does.

    Args:
        in_channels: Channels of the input and of the output.
        kernel_size: Extent of the whole kernel in pixels: 7, 11, 23, 35, 41 or 53.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive or the paper has no such ``kernel_size``.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> LSKA(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'lska'

    def __init__(
        self,
        in_channels: int,
        *,
        kernel_size: Literal[7, 11, 23, 35, 41, 53] = 23,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        near, far, dilation = STRIPS[kernel_size]

        def strip(taps: int, dilation: int, horizontal: bool) -> nn.Conv2d:
            margin = taps // 2 * dilation
            return nn.Conv2d(
                in_channels,
                in_channels,
                (1, taps) if horizontal else (taps, 1),
                padding=(0, margin) if horizontal else (margin, 0),
                dilation=dilation,
                groups=in_channels,
            )

        self.conv0h = strip(near, 1, horizontal=True)
        self.conv0v = strip(near, 1, horizontal=False)
        self.conv_spatial_h = strip(far, dilation, horizontal=True)
        self.conv_spatial_v = strip(far, dilation, horizontal=False)
        self.conv1 = nn.Conv2d(in_channels, in_channels, 1)
        init_by_fan_out(self)

    def attend(self, x: Tensor) -> Tensor:
        """Multiply ``x`` by its large-kernel attention map."""
        return multiplied(x, self._map(x))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the map ``'spatial'`` (N, C, H, W)."""
        return {'spatial': widened(self._map(x))}

    def _map(self, x: Tensor) -> Tensor:
        near, far = [self.conv0h, self.conv0v], [self.conv_spatial_h, self.conv_spatial_v]
        return on_map([*near, *far, self.conv1], x)
