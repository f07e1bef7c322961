"""Large strip convolutions."""

from collections.abc import Sequence
from typing import ClassVar

from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import Odd
from mmattn.layers.init import init_by_fan_out
from mmattn.ops.gating import multiplied
from mmattn.ops.precision import on_map, widened


@MODELS.register_module()
class StripModule(Attention):
    """Strip module: a long row and a long column of weights, one behind the other, make a gate.

    A 5x5 depthwise convolution gathers the neighbourhood, a row of weights and then a column look
    along both axes, and a 1x1 convolution mixes the channels; the input is multiplied by the
    result. Objects that are long and thin fill such a strip.

    Paper: `Strip R-CNN: Large Strip Convolution for Remote Sensing Object Detection
    <https://arxiv.org/abs/2501.03775>`_ (AAAI 2026). Weights of the authors' release load as they
    are, those of the backbone and those of the strip head; without them it starts as their
    backbone does.

    Args:
        in_channels: Channels of the input and of the output.
        kernel_size: Length of the strips in pixels, odd.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive or ``kernel_size`` not odd and positive.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> StripModule(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'strip_module'
    released_names: ClassVar[dict[str, str]] = {
        'strip_conv1.': 'conv_spatial1.',
        'strip_conv2.': 'conv_spatial2.',
    }

    def __init__(
        self,
        in_channels: int,
        *,
        kernel_size: Odd = 19,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        c, k = in_channels, kernel_size
        self.conv0 = nn.Conv2d(c, c, 5, padding=2, groups=c)
        self.conv_spatial1 = nn.Conv2d(c, c, (1, k), padding=(0, k // 2), groups=c)
        self.conv_spatial2 = nn.Conv2d(c, c, (k, 1), padding=(k // 2, 0), groups=c)
        self.conv1 = nn.Conv2d(c, c, 1)
        init_by_fan_out(self)

    def attend(self, x: Tensor) -> Tensor:
        """Multiply ``x`` by what its strips hold."""
        return multiplied(x, self._map(x))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the map ``'spatial'`` (N, C, H, W)."""
        return {'spatial': widened(self._map(x))}

    def chain(self) -> Sequence[nn.Conv2d]:
        """List the convolutions that make the attention map, in their order."""
        return [self.conv0, self.conv_spatial1, self.conv_spatial2, self.conv1]

    def _map(self, x: Tensor) -> Tensor:
        return on_map([*self.chain()], x)
