"""Triplet attention."""

from typing import Any, ClassVar

import torch
from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NormCfg, Odd
from mmattn.ops.largest import largest
from mmattn.ops.precision import gated, in_float32, wide_mean


class PlaneGate(nn.Module):
    """Gate of one plane of a feature map, from its maximum and mean along the third axis.

    Args:
        kernel_size: Side of the convolution over the plane.
        norm_cfg: Norm layer behind it.
    """

    def __init__(self, kernel_size: int, norm_cfg: dict) -> None:
        super().__init__()
        self.conv: Any = nn.Module()
        self.conv.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.conv.bn = build_norm_layer(norm_cfg, 1)[1]

    def forward(self, x: Tensor, dim: int) -> Tensor:
        """Pool ``x`` of shape (N, C, H, W) along ``dim``; return logits in (N, 1, plane)."""
        plane = torch.stack([largest(x, dim), wide_mean(x, dim)], 1)  # (N, 2, plane)
        return in_float32([self.conv.conv, self.conv.bn], plane)


@MODELS.register_module()
class TripletAttention(Attention):
    """Triplet attention: one gate per pair of axes, from what the third axis holds.

    The map is pooled along H, W and C in turn, by maximum and mean; a convolution over each
    resulting plane gives a gate. The output is the mean of the three gated maps.

    Paper: `Rotate to Attend: Convolutional Triplet Attention Module
    <https://arxiv.org/abs/2010.03045>`_ (WACV 2021). Weights of the authors' release load as they
    are, under the names of both its modules (``cw, hc, hw``, and ``ChannelGateH, ChannelGateW,
    SpatialGate``, which the released models have).

    Note:
        With one value to normalize, which is a single pixel of a single image, a batch norm
        cannot train and uses its running statistics.

    Args:
        in_channels: Channels of the input and of the output. No parameter depends on it.
        kernel_size: Side of the convolutions, an odd number.
        no_spatial: Whether to leave out the gate of height and width; the output is then the mean
            of two gated maps.
        norm_cfg: Norm layer behind each convolution.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive or ``kernel_size`` not a positive odd
            number.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> TripletAttention(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'triplet_attention'
    gates_are_averaged = True
    released_names: ClassVar[dict[str, str]] = {
        'ChannelGateH.spatial.': 'cw.conv.',
        'ChannelGateW.spatial.': 'hc.conv.',
        'SpatialGate.spatial.': 'hw.conv.',
    }

    def __init__(
        self,
        in_channels: int,
        *,
        kernel_size: Odd = 7,
        no_spatial: bool = False,
        norm_cfg: NormCfg = dict(type='BN', momentum=0.01),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.cw = PlaneGate(kernel_size, norm_cfg)
        self.hc = PlaneGate(kernel_size, norm_cfg)
        self.hw = None if no_spatial else PlaneGate(kernel_size, norm_cfg)

    def attend(self, x: Tensor) -> Tensor:
        """Multiply ``x`` by the mean of its gates."""
        gates = list(self.gates(x).values())
        mean = gates[0] / len(gates)
        for gate in gates[1:]:
            mean = mean + gate / len(gates)
        return gated(x, mean)

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell ``'columns'`` (N, C, 1, W), ``'rows'`` (N, C, H, 1) and ``'spatial'`` (N, 1, H, W).

        The map is multiplied by their mean.
        """
        gate_cw = self.cw(x, 2).transpose(1, 2)  # (N, C, 1, W)
        # Released weights of this plane have H first.
        gate_hc = self.hc(x.transpose(1, 2), 3).permute(0, 3, 2, 1)  # (N, C, H, 1)
        gates = {'columns': gate_cw.sigmoid(), 'rows': gate_hc.sigmoid()}
        if self.hw is not None:
            gates['spatial'] = self.hw(x, 1).sigmoid()  # (N, 1, H, W)
        return gates
