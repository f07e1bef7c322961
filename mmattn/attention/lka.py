"""Large kernel attention."""

from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention, Start
from mmattn.ops import lka_gate
from mmattn.ops.dispatch import Impl
from mmattn.ops.precision import saturate


@MODELS.register_module()
class LKA(Attention):
    """Large kernel attention: a 21x21 convolution in three cheap steps, used as a gate.

    A 5x5 depthwise convolution sees the neighbourhood, a 7x7 depthwise one with dilation 3 the
    long range, and a 1x1 convolution mixes the channels; the input is multiplied by the result.

    Paper: `Visual Attention Network <https://arxiv.org/abs/2202.09741>`_ (CVMJ 2023). Weights of
    the authors' release load as they are.

    Args:
        in_channels: Channels of the input and of the output.
        impl: Kernel choice of :func:`mmattn.ops.lka_gate`.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> LKA(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'lka'

    def __init__(
        self,
        in_channels: int,
        *,
        impl: Impl = 'auto',
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.impl = impl
        self.conv0 = nn.Conv2d(in_channels, in_channels, 5, padding=2, groups=in_channels)
        self.conv_spatial = nn.Conv2d(
            in_channels, in_channels, 7, padding=9, dilation=3, groups=in_channels
        )
        self.conv1 = nn.Conv2d(in_channels, in_channels, 1)

    def attend(self, x: Tensor) -> Tensor:
        """Multiply ``x`` by its large-kernel attention map."""
        attention = x
        for conv in (self.conv0, self.conv_spatial, self.conv1):
            attention = saturate(conv(attention))  # (N, C, H, W)
        return saturate(lka_gate(x, attention, impl=self.impl))
