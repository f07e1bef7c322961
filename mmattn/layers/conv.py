"""Convolution, norm and activation: with little to keep, and on maps of any size."""

from mmcv.cnn import ConvModule
from torch import Tensor

from mmattn.ops.activation import activated
from mmattn.ops.norm import norm_any_batch


class ThriftyConvModule(ConvModule):
    """mmcv's ``ConvModule``, whose activation is that of :func:`mmattn.ops.activation.activated`.

    Key names and values are those of mmcv.
    """

    def forward(self, x: Tensor, activate: bool = True, norm: bool = True) -> Tensor:
        """Apply convolution, norm and activation to ``x`` of shape (N, C, H, W)."""
        if not (activate and self.with_activation and self.order[-1] == 'act'):
            return super().forward(x, activate, norm)
        return activated(self.activate, super().forward(x, False, norm))


class AnySizeConvModule(ConvModule):
    """mmcv's ``ConvModule``, which also trains where a map has one value per channel.

    A batch norm refuses that; here it uses its running statistics then, see
    :func:`mmattn.ops.norm.norm_any_batch`. The key names are those of mmcv. The order is always
    convolution, norm, activation, and the padding that of the convolution.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply convolution, norm and activation to ``x`` of shape (N, C, H, W)."""
        x = self.conv(x)
        if self.with_norm:
            x = norm_any_batch(self.norm, x)
        return activated(self.activate, x) if self.with_activation else x
