"""The convolution of a node of BiFPN."""

from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from mmattn.ops.activation import activated
from mmattn.ops.precision import convolved, on_map


class SeparableConv(nn.Module):
    """Swish, a depthwise 3x3 convolution, a 1x1 convolution with bias, and a norm, in this order.

    Args:
        channels: Channels of the input and of the output.
        norm_cfg: Norm layer.
    """

    def __init__(self, channels: int, norm_cfg: dict) -> None:
        super().__init__()
        self.act = nn.SiLU()
        self.depthwise_conv = nn.Conv2d(
            channels, channels, 3, padding=1, groups=channels, bias=False
        )
        self.pointwise_conv = nn.Conv2d(channels, channels, 1)
        self.bn = build_norm_layer(norm_cfg, channels)[1]

    def forward(self, x: Tensor) -> Tensor:
        """Apply them to ``x`` of shape (N, C, H, W)."""
        x = convolved(self.depthwise_conv, activated(self.act, x))
        return on_map([self.pointwise_conv, self.bn], x)
