"""A convolution that multiplies its output by a factor per channel, in its weights."""

from torch import Tensor, nn

from mmattn.ops.precision import widened


class ScaledConv2d(nn.Conv2d):
    """Convolution that can have a layer scale in its weights.

    ``conv(x, scale)`` is ``scale * conv(x)``, with the same gradients; that of the scale comes out
    of the gradient of the weights, and the map that it would need otherwise is not kept. Without a
    scale it is an ordinary convolution.
    """

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """Convolve.

        Args:
            x: Map of shape (N, in_channels, H, W).
            scale: Factors of shape (out_channels,).

        Returns:
            Map with out_channels channels, in the type in which convolutions of ``x`` compute.
        """
        if scale is None:
            return super().forward(x)
        bias = None if self.bias is None else scaled(self.bias, scale)
        return self._conv_forward(x, scaled(self.weight, scale), bias)


def scaled(weight: Tensor, scale: Tensor) -> Tensor:
    """Multiply weights or biases by a factor per output channel; only the result is rounded."""
    factors = widened(scale).reshape(-1, *[1] * (weight.dim() - 1))
    return (widened(weight) * factors).to(weight.dtype)
