"""Other ways in which attention can start as the identity, for docs/study.md.

All of them leave the host as it is before the first step, bit for bit. They are no part of mmattn.
"""

from typing import ClassVar

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn import CBAM, ECA, LKA, SE, CoordAtt, TripletAttention
from mmattn.attention.base import Attention


class PerChannel(Attention):
    """A blend of one factor for each channel, where it was one for all."""

    def __init__(self, in_channels: int, **options) -> None:
        super().__init__(in_channels, **options)
        if self.blend is not None:
            self.blend = nn.Parameter(torch.zeros(in_channels, 1, 1))


class UnitGates(Attention):
    """Gates that are 1 at the start, because the last layer ahead of each is zero; no blend.

    The sigmoid of zero is 1/2, so that the map is multiplied by 2 for each gate that it meets.
    Whoever inserts it says ``start='paper'``, which adds no factor.
    """

    last: ClassVar[tuple[str, ...]]
    """The layers that are zero at the start."""

    scale: ClassVar[float] = 2.0
    """What makes up for the gates of 1/2."""

    def __init__(self, in_channels: int, **options) -> None:
        super().__init__(in_channels, **options)
        self._open()

    def init_weights(self) -> None:
        """Initialize as ever, but for the last layers."""
        super().init_weights()
        self._open()

    def attend(self, x: Tensor) -> Tensor:
        """Gate ``x``, by 1 at the start."""
        return super().attend(x) * self.scale

    def _open(self) -> None:
        for name in self.last:
            for parameter in self.get_submodule(name).parameters():
                nn.init.zeros_(parameter)


@MODELS.register_module()
class CoordAttPerChannel(PerChannel, CoordAtt):
    """Coordinate attention."""


@MODELS.register_module()
class CoordAttUnitGates(UnitGates, CoordAtt):
    """Coordinate attention: a gate for the row, and one for the column."""

    last = ('conv_h', 'conv_w')
    scale = 4.0


@MODELS.register_module()
class SEUnitGates(UnitGates, SE):
    """Squeeze-and-excitation."""

    last = ('fc.2',)


@MODELS.register_module()
class ECAUnitGates(UnitGates, ECA):
    """Efficient channel attention, whose only layer is the last one."""

    last = ('conv',)


@MODELS.register_module()
class CBAMUnitGates(UnitGates, CBAM):
    """CBAM: a gate for the channel, and one for the position, whose norm starts at zero anyway."""

    last = ('ChannelGate.mlp.3', 'SpatialGate.spatial.bn')
    scale = 4.0


@MODELS.register_module()
class TripletUnitGates(UnitGates, TripletAttention):
    """Triplet attention, whose three gates are averaged."""

    last = ('cw.conv.bn', 'hc.conv.bn', 'hw.conv.bn')


@MODELS.register_module()
class LKAUnitGates(UnitGates, LKA):
    """LKA has no sigmoid: its gate is 1 where the last convolution is nothing but a bias of 1."""

    last = ('conv1',)
    scale = 1.0

    def _open(self) -> None:
        super()._open()
        nn.init.ones_(self.conv1.bias)
