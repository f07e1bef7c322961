"""Large kernel attention."""

import math
from collections.abc import Sequence
from typing import Literal

from mmcv.cnn import build_activation_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import ActCfg
from mmattn.layers.init import init_by_fan_out
from mmattn.ops.gating import multiplied
from mmattn.ops.precision import in_float32, on_map, saturate_, widened

# Dilation of each kernel of the paper's ablation.
DILATIONS = {7: 2, 14: 3, 21: 3, 28: 4}


@MODELS.register_module()
class LKA(Attention):
    """Large kernel attention: a 21x21 convolution in three cheap steps, used as a gate.

    A 5x5 depthwise convolution sees the neighbourhood, a 7x7 depthwise one with dilation 3 the
    long range, and a 1x1 convolution mixes the channels; the input is multiplied by the result.

    Paper: `Visual Attention Network <https://arxiv.org/abs/2202.09741>`_ (CVMJ 2023). Weights of
    the authors' release load as they are; without them it starts as the release does.

    The options are the variants of the paper's ablation.

    Args:
        in_channels: Channels of the input and of the output.
        kernel_size: Size K in pixels of the square kernel that is taken apart: 7, 14, 21 or 28,
            with dilation d of 2, 3, 3 or 4. The local convolution has ``2 * d - 1`` taps per axis
            and the dilated one ``ceil(K / d)``.
        with_local: Whether to have the depthwise convolution of the neighbourhood.
        with_dilated: Whether to have the dilated depthwise convolution.
        with_pointwise: Whether to have the 1x1 convolution.
        combine: How the attention map meets the input: ``'multiply'``, ``'add'``, or ``'none'``
            to return the map itself.
        act_cfg: Activation of the attention map, such as ``dict(type='Sigmoid')``; none if None.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive, the paper has no such ``kernel_size``, no
            convolution is left, or ``combine`` is none of its words.

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
        kernel_size: Literal[7, 14, 21, 28] = 21,
        with_local: bool = True,
        with_dilated: bool = True,
        with_pointwise: bool = True,
        combine: Literal['multiply', 'add', 'none'] = 'multiply',
        act_cfg: ActCfg | None = None,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        if not (with_local or with_dilated or with_pointwise):
            raise ValueError(
                'expected with_local, with_dilated or with_pointwise to be True, got none of them'
            )
        self.combine = combine
        dilation = DILATIONS[kernel_size]
        local, dilated = 2 * dilation - 1, math.ceil(kernel_size / dilation)

        def depthwise(taps: int, dilation: int) -> nn.Conv2d:
            # An even number of taps has an even dilation here, so the margins are equal.
            return nn.Conv2d(
                in_channels,
                in_channels,
                taps,
                padding=(taps - 1) * dilation // 2,
                dilation=dilation,
                groups=in_channels,
            )

        self.conv0 = depthwise(local, 1) if with_local else None
        self.conv_spatial = depthwise(dilated, dilation) if with_dilated else None
        self.conv1 = nn.Conv2d(in_channels, in_channels, 1) if with_pointwise else None
        init_by_fan_out(self)
        self.act = None if act_cfg is None else build_activation_layer(act_cfg)

    def attend(self, x: Tensor) -> Tensor:
        """Combine ``x`` with its large-kernel attention map."""
        attention = self._map(x)
        if self.combine == 'multiply':
            return multiplied(x, attention)
        return saturate_(x + attention) if self.combine == 'add' else attention

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the map ``'spatial'`` (N, C, H, W); none where it does not multiply the input."""
        return {'spatial': widened(self._map(x))} if self.combine == 'multiply' else {}

    def chain(self) -> Sequence[nn.Conv2d]:
        """List the convolutions that make the attention map, in their order."""
        convs = [self.conv0, self.conv_spatial, self.conv1]
        return [conv for conv in convs if conv is not None]

    def _map(self, x: Tensor) -> Tensor:
        attention = on_map([*self.chain()], x)  # (N, C, H, W)
        return attention if self.act is None else in_float32(self.act, attention)
