"""Large selective kernel."""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.init import init_by_fan_out
from mmattn.ops.gating import multiplied, sigmoid_gated
from mmattn.ops.largest import largest
from mmattn.ops.precision import convolved, in_float32, saturate_, wide_mean, widened


@MODELS.register_module()
class LSK(Attention):
    """Large selective kernel: each position weighs what it sees nearby and far away.

    A 5x5 depthwise convolution sees the neighbourhood, and a 7x7 one with dilation 3 behind it the
    long range. Both are brought to half of the channels; their mean and their maximum over all of
    these say, by one 7x7 convolution, how much each of the two counts at a position. The input is
    multiplied by a 1x1 convolution of their weighted sum.

    Paper: `Large Selective Kernel Network for Remote Sensing Object Detection
    <https://arxiv.org/abs/2303.09030>`_ (ICCV 2023). Weights of the authors' ``LSKblock`` load as
    they are; without them it starts as their network does.

    Args:
        in_channels: Channels of the input and of the output.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is less than 2.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> LSK(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'lsk'

    def __init__(
        self,
        in_channels: int,
        *,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        c, half = in_channels, in_channels // 2
        if half == 0:
            raise ValueError(f'expected in_channels of 2 or more, got {in_channels}')
        self.conv0 = nn.Conv2d(c, c, 5, padding=2, groups=c)
        self.conv_spatial = nn.Conv2d(c, c, 7, padding=9, dilation=3, groups=c)
        self.conv1 = nn.Conv2d(c, half, 1)
        self.conv2 = nn.Conv2d(c, half, 1)
        self.conv_squeeze = nn.Conv2d(2, 2, 7, padding=3)
        self.conv = nn.Conv2d(half, c, 1)
        init_by_fan_out(self)

    def attend(self, x: Tensor) -> Tensor:
        """Multiply ``x`` by what it selects of near and far."""
        return multiplied(x, self._map(x))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the map ``'spatial'`` (N, C, H, W)."""
        return {'spatial': widened(self._map(x))}

    def _map(self, x: Tensor) -> Tensor:
        near = convolved(self.conv0, x)  # (N, C, H, W)
        far = convolved(self.conv_spatial, near)  # (N, C, H, W)
        near, far = convolved(self.conv1, near), convolved(self.conv2, far)  # (N, C // 2, H, W)
        mean = (wide_mean(near, 1, keepdim=True) + wide_mean(far, 1, keepdim=True)) / 2
        peak_near, peak_far = largest(near, 1, keepdim=True), largest(far, 1, keepdim=True)
        peak = torch.where(peak_near >= peak_far, peak_near, peak_far)  # (N, 1, H, W)
        logits = in_float32(self.conv_squeeze, torch.cat([mean, widened(peak)], 1))  # (N, 2, H, W)
        near = sigmoid_gated(near, logits[:, :1])
        far = sigmoid_gated(far, logits[:, 1:])
        return convolved(self.conv, saturate_(near + far))
