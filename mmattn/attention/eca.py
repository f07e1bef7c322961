"""Efficient channel attention."""

import math

from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import Odd
from mmattn.ops.precision import gated, in_float32, wide_mean


@MODELS.register_module()
class ECA(Attention):
    """Efficient channel attention: one gate per channel, from the means of its neighbours.

    The map is averaged over its positions; one short convolution along the channels turns the
    means into the gates. It has ``kernel_size`` parameters.

    Paper: `ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks
    <https://arxiv.org/abs/1910.03151>`_ (CVPR 2020). Weights of the authors' release load as they
    are.

    Note:
        The default kernel size is the paper's equation 12. The authors' release defaults to 3 and
        sets the sizes of its networks by hand: give ``kernel_size`` to load its weights.

    Args:
        in_channels: Channels of the input and of the output.
        kernel_size: Channels that one gate sees, odd; None for the odd number next to
            ``log2(in_channels) / 2 + 1 / 2``.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive or ``kernel_size`` not odd and positive.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> ECA(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'eca'

    def __init__(
        self,
        in_channels: int,
        *,
        kernel_size: Odd | None = None,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        if kernel_size is None:
            # Of two odd numbers equally near, the release takes the larger one.
            kernel_size = int(math.log2(in_channels) / 2 + 0.5) // 2 * 2 + 1
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def attend(self, x: Tensor) -> Tensor:
        """Gate the channels of ``x``."""
        return gated(x, self._gate(x))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the gate ``'channel'`` (N, C, 1, 1)."""
        return {'channel': self._gate(x)}

    def _gate(self, x: Tensor) -> Tensor:
        means = wide_mean(x, (2, 3))  # (N, C)
        return in_float32(self.conv, means[:, None])[:, 0].sigmoid()[..., None, None]
