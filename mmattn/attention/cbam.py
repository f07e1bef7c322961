"""Convolutional block attention."""

from collections import OrderedDict

import torch
from mmcv.cnn import build_norm_layer
from mmengine.model import constant_init
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NormCfg, Odd, Positive
from mmattn.layers.sequential import SafeSequential, squeezed_channels
from mmattn.ops.gating import sigmoid_gated
from mmattn.ops.largest import largest
from mmattn.ops.precision import gated, in_float32, wide_mean, wide_sigmoid


class ChannelGate(nn.Module):
    """Gate the channels by a perceptron that sees their means, and by the same on their maxima.

    Args:
        in_channels: Channels of the input and of the output.
        reduction: Squeeze ratio of the perceptron.
    """

    def __init__(self, in_channels: int, reduction: int) -> None:
        super().__init__()
        bottleneck = squeezed_channels(in_channels, reduction)
        self.mlp = nn.Sequential(
            nn.Identity(),  # Released weights count a flattening layer here.
            nn.Linear(in_channels, bottleneck),
            nn.ReLU(inplace=True),
            nn.Linear(bottleneck, in_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Gate ``x`` of shape (N, C, H, W)."""
        return gated(x, self.gate(x))

    def gate(self, x: Tensor) -> Tensor:
        """Give the gate of ``x``: (N, C, 1, 1)."""
        mean = wide_mean(x, (2, 3))  # (N, C)
        peak = largest(x.flatten(2), 2)  # (N, C)
        gate = in_float32(self.mlp, torch.stack([mean, peak])).sum(0).sigmoid()
        return gate[..., None, None]


class SpatialGate(nn.Module):
    """Gate the positions by one convolution over the mean and the maximum of the channels.

    Args:
        kernel_size: Kernel size of the convolution.
        norm_cfg: Norm layer behind it.
    """

    def __init__(self, kernel_size: int, norm_cfg: dict) -> None:
        super().__init__()
        conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.spatial = SafeSequential(
            OrderedDict(conv=conv, bn=build_norm_layer(norm_cfg, 1)[1]),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Gate ``x`` of shape (N, C, H, W)."""
        return sigmoid_gated(x, self._logits(x))

    def gate(self, x: Tensor) -> Tensor:
        """Give the gate of ``x``: (N, 1, H, W)."""
        return wide_sigmoid(self._logits(x))

    def _logits(self, x: Tensor) -> Tensor:
        peak = largest(x, 1, keepdim=True)  # (N, 1, H, W)
        mean = wide_mean(x, 1, keepdim=True)  # (N, 1, H, W)
        return self.spatial(torch.cat([peak, mean.to(x.dtype)], dim=1))


@MODELS.register_module()
class CBAM(Attention):
    """Convolutional block attention: a gate per channel, then a gate per position.

    Both gates see means and maxima: over the positions for the channels, over the channels for
    the positions.

    Paper: `CBAM: Convolutional Block Attention Module <https://arxiv.org/abs/1807.06521>`_
    (ECCV 2018). Weights of the authors' release load as they are.

    Note:
        The norm of the spatial gate is in the release, not in the paper; its weight starts at
        zero there and here, so that all positions start with the gate 1/2. At batch 1 on a map of
        one pixel it has nothing to train on and uses its running statistics.

    Args:
        in_channels: Channels of the input and of the output.
        reduction: Squeeze ratio of the channel gate; its bottleneck has
            ``in_channels // reduction`` channels.
        kernel_size: Kernel size of the spatial gate, odd.
        norm_cfg: Norm layer of the spatial gate.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive, ``reduction`` not within 1 and
            ``in_channels``, or ``kernel_size`` not odd and positive.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> CBAM(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'cbam'

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: Positive = 16,
        kernel_size: Odd = 7,
        norm_cfg: NormCfg = dict(type='BN', momentum=0.01),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.ChannelGate = ChannelGate(in_channels, reduction)
        self.SpatialGate = SpatialGate(kernel_size, norm_cfg)
        self._close_norm()

    def attend(self, x: Tensor) -> Tensor:
        """Gate the channels of ``x``, then its positions."""
        return self.SpatialGate(self.ChannelGate(x))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell ``'channel'`` (N, C, 1, 1), and ``'spatial'`` (N, 1, H, W) of the gated map."""
        return {
            'channel': self.ChannelGate.gate(x),
            'spatial': self.SpatialGate.gate(self.ChannelGate(x)),
        }

    def init_weights(self) -> None:
        """Initialize as ``init_cfg`` says; without it the spatial gate starts even."""
        super().init_weights()
        if not self.init_cfg:
            self._close_norm()

    def _close_norm(self) -> None:
        constant_init(self.SpatialGate.spatial.bn, 0)
