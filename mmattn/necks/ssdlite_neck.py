"""The extra levels of SSDLite."""

from collections.abc import Sequence
from typing import Annotated, Literal

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.layers.checks import (
    NOT_EMPTY,
    ActCfg,
    Factor,
    NormCfg,
    Positive,
    checked,
)
from mmattn.layers.conv import AnySizeConvModule


def inverted_residual(in_channels: int, hidden: int, out_channels: int, **cfgs) -> nn.Sequential:
    """Halve a map: 1x1 to ``hidden`` channels, depthwise 3x3 of stride 2, linear 1x1."""
    act_cfg = cfgs.pop('act_cfg')
    return nn.Sequential(
        AnySizeConvModule(in_channels, hidden, 1, act_cfg=act_cfg, **cfgs),
        _halve(hidden, act_cfg=act_cfg, **cfgs),
        AnySizeConvModule(hidden, out_channels, 1, act_cfg=None, **cfgs),
    )


def sandglass(in_channels: int, hidden: int, out_channels: int, **cfgs) -> nn.Sequential:
    """Halve a map: depthwise 3x3 of stride 2, linear 1x1 to ``hidden`` channels, 1x1."""
    act_cfg = cfgs.pop('act_cfg')
    return nn.Sequential(
        _halve(in_channels, act_cfg=act_cfg, **cfgs),
        AnySizeConvModule(in_channels, hidden, 1, act_cfg=None, **cfgs),
        AnySizeConvModule(hidden, out_channels, 1, act_cfg=act_cfg, **cfgs),
    )


def _halve(channels: int, **cfgs) -> AnySizeConvModule:
    return AnySizeConvModule(channels, channels, 3, stride=2, padding=1, groups=channels, **cfgs)


BLOCKS = dict(inverted_residual=inverted_residual, sandglass=sandglass)


@MODELS.register_module()
class SSDLiteNeck(BaseModule):
    """Extra levels of SSDLite: each a mobile block that halves the map before it.

    At 320 pixels the two maps of the backbone, of stride 16 and 32, have sizes 20 and 10; the four
    extra ones have 5, 3, 2 and 1. With the last batch norms down to one value per channel, batch 1
    trains: they use their running statistics then.

    Papers: `MobileNetV2: Inverted Residuals and Linear Bottlenecks
    <https://arxiv.org/abs/1801.04381>`_ (CVPR 2018), `Rethinking Bottleneck Structure for Efficient
    Mobile Network Design <https://arxiv.org/abs/2007.02269>`_ (ECCV 2020).

    The layout is that of `the release <https://github.com/Andrew-Qibin/ssdlite-pytorch-mobilenext>`_
    behind the detection tables of coordinate attention and MobileNeXt. The defaults are for
    MobileNetV2. For MobileNeXt it is ``SSDLiteNeck((576, 1280, 1280), (512, 256, 256, 128),
    num_levels=2, ratios=(0.2, 0.25, 0.5, 0.5), block='sandglass')``: two levels from inside blocks,
    ahead of the last depthwise convolution, and extra ones that follow from the output of the last
    block.

    Args:
        in_channels: Channels of each input; the extra levels follow from the last one.
        extra_channels: Channels of each extra level.
        num_levels: Number of inputs, from the first on, that are levels; None for all of them.
        ratios: Channels inside each block, as a share of those of its input.
        block: ``'inverted_residual'``, the block of MobileNetV2, or ``'sandglass'``, the first half
            of MobileNeXt's.
        norm_cfg: Norm layer.
        act_cfg: Activation layer.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If there is not one ratio per extra level, ``num_levels`` is more than there are
            inputs, or ``block`` is unknown.

    Shape:
        - Input: one (N, C_i, H_i, W_i) per entry of ``in_channels``.
        - Output: the first ``num_levels`` of them, then one map per extra level, each half the size
          of the one before, rounded up.

    Example:
        >>> import torch
        >>> neck = SSDLiteNeck(in_channels=(8, 16), extra_channels=(12, 8), ratios=(0.5, 0.5))
        >>> maps = neck([torch.rand(2, 8, 20, 20), torch.rand(2, 16, 10, 10)])
        >>> [tuple(x.shape) for x in maps[2:]]
        [(2, 12, 5, 5), (2, 8, 3, 3)]
    """

    @checked
    def __init__(
        self,
        in_channels: Annotated[Sequence[Positive], NOT_EMPTY] = (96, 1280),
        extra_channels: Sequence[Positive] = (512, 256, 256, 64),
        *,
        num_levels: Positive | None = None,
        ratios: Sequence[Factor] = (0.2, 0.5, 0.5, 0.5),
        block: Literal['inverted_residual', 'sandglass'] = 'inverted_residual',
        norm_cfg: NormCfg = dict(type='BN'),
        act_cfg: ActCfg = dict(type='ReLU6'),
        init_cfg: dict | list[dict] | None = dict(type='Kaiming', layer='Conv2d'),
    ) -> None:
        super().__init__(init_cfg)
        if len(ratios) != len(extra_channels):
            raise ValueError(
                f'expected {len(extra_channels)} ratios, one per entry of extra_channels, '
                f'got {tuple(ratios)}'
            )
        self.in_channels = tuple(in_channels)
        self.num_levels = len(in_channels) if num_levels is None else num_levels
        if self.num_levels > len(in_channels):
            raise ValueError(
                f'expected num_levels of at most {len(in_channels)}, the entries of in_channels, '
                f'got {num_levels}'
            )
        self.out_channels = (*self.in_channels[: self.num_levels], *extra_channels)
        self.extras = nn.ModuleList(
            BLOCKS[block](
                below, max(round(ratio * below), 1), channels, norm_cfg=norm_cfg, act_cfg=act_cfg
            )
            for below, ratio, channels in zip(
                (in_channels[-1], *extra_channels), ratios, extra_channels, strict=False
            )
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Append the extra levels to the maps of the backbone.

        Raises:
            ValueError: If there are not as many maps as ``in_channels``.
        """
        if len(inputs) != len(self.in_channels):
            raise ValueError(
                f'expected {len(self.in_channels)} maps, one per entry of in_channels, '
                f'got {len(inputs)}'
            )
        maps, x = list(inputs[: self.num_levels]), inputs[-1]
        for extra in self.extras:
            x = extra(x)
            maps.append(x)
        return tuple(maps)
