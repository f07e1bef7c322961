"""Feature pyramid network whose top-down sum is a fusion module."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.layers.checks import (
    NOT_EMPTY,
    ActCfg,
    ConvCfg,
    ModuleCfg,
    Must,
    NormCfg,
    Positive,
    checked,
    within,
)
from mmattn.ops.precision import saturate_
from mmattn.upsampling.base import Upsampling
from mmattn.weights.layouts import rename_published


def interpolated(x: Tensor, size: tuple[int, int], cfg: dict) -> Tensor:
    """Enlarge ``x``, to ``size`` where the arguments of the interpolation name no factor."""
    return F.interpolate(x, **cfg) if 'scale_factor' in cfg else F.interpolate(x, size, **cfg)


def fused_with_coarser(
    fusion: nn.Module, x: Tensor, above: Tensor, upsampling: nn.Module | None, cfg: dict
) -> Tensor:
    """Fuse a map with the coarser one above it.

    Args:
        fusion: Fusion of two maps of one size; or one that enlarges the coarser map itself, and
            whose two results are added.
        x: Map of shape (N, C, H, W).
        above: Coarser map.
        upsampling: Module that enlarges it, or None for an interpolation.
        cfg: Arguments of the interpolation.
    """
    if getattr(fusion, 'enlarges', False):
        fine, coarse = fusion(x, above)
        return saturate_(fine + coarse)
    size = x.shape[2], x.shape[3]
    large = interpolated(above, size, cfg) if upsampling is None else upsampling(above, size)
    return fusion(x, large)


def check_takes_two(fusions: Iterable[nn.Module]) -> None:
    """Refuse a fusion of more than two maps."""
    for fusion in fusions:
        if getattr(fusion, 'num_inputs', 2) != 2:
            raise ValueError(
                f'expected a fusion of two maps, got {type(fusion).__name__} of {fusion.num_inputs}'
            )


def check_upsample(fusions: Iterable[nn.Module], upsample: dict) -> None:
    """Refuse an upsampling that nobody would use."""
    for fusion in fusions:
        if getattr(fusion, 'enlarges', False):
            raise ValueError(
                f'expected upsample=None with {type(fusion).__name__}, which enlarges the coarser '
                f'map itself, got {dict(upsample)}'
            )


def build_upsampling(upsample: dict, channels: int) -> Upsampling:
    """Build an upsampling module of so many channels; refuse a module of another kind."""
    module = MODELS.build({**upsample, 'in_channels': channels})
    if not isinstance(module, Upsampling):
        raise ValueError(
            'expected upsample as the config of an upsampling module, such as DySample, got '
            f'that of {type(module).__name__}'
        )
    return module


def _upsamples(cfg: dict) -> bool:
    out = interpolated(torch.empty(1, 1, 2, 2, device='meta'), (4, 4), cfg)
    return out.shape == (1, 1, 4, 4)


UpsampleCfg = Annotated[dict, Must(' of arguments of interpolate to twice the size', _upsamples)]


@MODELS.register_module()
class AFFFPN(BaseModule):
    """Feature pyramid network that fuses by attention where the plain one adds.

    On its way down, each level fuses its lateral map ``x`` with the upsampled level above, ``y``;
    every such node has a fusion module of its own, and with ``upsample`` an upsampling module. With
    ``fusion=dict(type='AddFusion')`` this is mmdet's ``FPN``, whose arguments and key names it has:
    weights of a plain FPN load with the fusion modules as the only new part.

    Papers: `Attentional Feature Fusion <https://arxiv.org/abs/2009.14082>`_ (WACV 2021), `Feature
    Pyramid Networks for Object Detection <https://arxiv.org/abs/1612.03144>`_ (CVPR 2017).

    Note:
        The paper's own pyramid was never released; it has a reduction of 4 there. A node of 256
        channels costs 67,456 parameters at reduction 4 and 18,016 at 16.

        ``init_cfg`` reaches the convolutions of the fusion modules as well. In AFF and iAFF a norm
        follows each of them, so the scale they start with does not matter; an ``init_cfg`` inside
        ``fusion`` has the last word, and ``start='identity'`` starts as the plain FPN. Upsampling
        modules start as their papers do, or as an ``init_cfg`` inside ``upsample`` says.

        In mmseg's ``FPN``, ``end_level`` is exclusive and ``add_extra_convs=True`` stands for
        ``'on_output'``.

    Args:
        in_channels: Channels of each input.
        out_channels: Channels of each output.
        num_outs: Number of outputs.
        start_level: Index of the first input in use.
        end_level: Index of the last input in use; -1 is the last there is. Only that one leaves
            room for extra levels.
        add_extra_convs: What the convolutions of the extra levels start from: ``'on_input'`` (or
            True) the last input in use, ``'on_lateral'`` its lateral map, ``'on_output'`` the last
            output. With False the extra levels are pooled from the last output.
        relu_before_extra_convs: Whether a ReLU is ahead of all extra convolutions but the first.
        no_norm_on_lateral: Whether the lateral convolutions go without ``norm_cfg``.
        conv_cfg: Convolution layer.
        norm_cfg: Norm layer.
        act_cfg: Activation layer.
        upsample_cfg: Arguments of :func:`torch.nn.functional.interpolate`, ``mode='nearest'`` by
            default. Without a ``scale_factor``, maps take the size of the level below.
        fusion: Config of the fusion modules, ``in_channels`` is filled in.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.
        upsample: Config of upsampling modules in place of the interpolation, such as
            ``dict(type='DySample')``; ``in_channels`` is filled in. Maps take the size of the level
            below.

    Raises:
        ValueError: If the levels do not exist or do not make up ``num_outs``,
            ``add_extra_convs`` is unknown, or both ``upsample`` and ``upsample_cfg`` are given.

    Shape:
        - Input: one (N, C_i, H_i, W_i) per entry of ``in_channels``.
        - Output: ``num_outs`` of (N, out_channels, H_i, W_i), from ``start_level`` on; each extra
          level has half the size of the one before, rounded up.

    Example:
        >>> import torch
        >>> neck = AFFFPN([8, 16], 16, num_outs=3)
        >>> maps = neck([torch.rand(2, 8, 13, 10), torch.rand(2, 16, 7, 5)])
        >>> [tuple(x.shape) for x in maps]
        [(2, 16, 13, 10), (2, 16, 7, 5), (2, 16, 4, 3)]
    """

    @checked
    def __init__(
        self,
        in_channels: Annotated[Sequence[Positive], NOT_EMPTY],
        out_channels: Positive,
        num_outs: Annotated[int, within(1, 64)],
        start_level: int = 0,
        end_level: int = -1,
        add_extra_convs: Literal[False, True, 'on_input', 'on_lateral', 'on_output'] = False,
        relu_before_extra_convs: bool = False,
        no_norm_on_lateral: bool = False,
        conv_cfg: ConvCfg | None = None,
        norm_cfg: NormCfg | None = None,
        act_cfg: ActCfg | None = None,
        upsample_cfg: UpsampleCfg | None = None,
        fusion: ModuleCfg = dict(type='AFF', reduction=4),
        init_cfg: dict | list[dict] | None = dict(
            type='Xavier', layer='Conv2d', distribution='uniform'
        ),
        upsample: ModuleCfg | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if upsample is not None and upsample_cfg is not None:
            raise ValueError(
                'expected one of upsample, the config of a module, and upsample_cfg, the arguments '
                f'of interpolate, got both: {dict(upsample)} and {dict(upsample_cfg)}'
            )
        in_channels = list(in_channels)
        last = len(in_channels) - 1
        if end_level != -1 and not 0 <= end_level <= last:
            raise ValueError(
                f'expected end_level from 0 to {last}, the last of {last + 1} in_channels, '
                f'or -1 for the last, got {end_level}'
            )
        end_level = last if end_level == -1 else end_level
        if not 0 <= start_level <= end_level:
            raise ValueError(
                f'expected start_level from 0 to {end_level}, the last input in use, '
                f'got {start_level}'
            )
        levels = in_channels[start_level : end_level + 1]
        if num_outs < len(levels) or (num_outs > len(levels) and end_level < last):
            bound = 'at least' if end_level == last else 'exactly'
            raise ValueError(
                f'expected num_outs of {bound} {len(levels)}, the number of inputs from '
                f'start_level {start_level} to end_level {end_level}, got {num_outs}'
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_outs = num_outs
        self.start_level = start_level
        self.end_level = end_level
        self.add_extra_convs = 'on_input' if add_extra_convs is True else add_extra_convs
        self.relu_before_extra_convs = relu_before_extra_convs
        self.upsample_cfg = dict(mode='nearest') if upsample_cfg is None else dict(upsample_cfg)

        self.conv_cfgs = dict(conv_cfg=conv_cfg, act_cfg=act_cfg, inplace=False)
        lateral_norm = None if no_norm_on_lateral else norm_cfg
        self.lateral_convs = nn.ModuleList(
            ConvModule(c, out_channels, 1, norm_cfg=lateral_norm, **self.conv_cfgs) for c in levels
        )
        self.build_paths(levels, norm_cfg, fusion, upsample)

    def build_paths(
        self, levels: list[int], norm_cfg: dict | None, fusion: dict, upsample: dict | None
    ) -> None:
        """Build what comes after the lateral convolutions.

        Args:
            levels: Channels of the inputs in use.
            norm_cfg: Norm layer.
            fusion: Config of the fusion modules.
            upsample: Config of the upsampling modules.
        """
        self.fpn_convs = nn.ModuleList(self.conv3(norm_cfg) for _ in levels)
        if self.add_extra_convs:
            first = levels[-1] if self.add_extra_convs == 'on_input' else self.out_channels
            for i in range(self.num_outs - len(levels)):
                self.fpn_convs.append(
                    self.conv3(norm_cfg, first if i == 0 else self.out_channels, stride=2)
                )
        # Not PyTorch's list, through which init_weights would not reach the fusion modules.
        self.fusions = ModuleList(self.build_fusion(fusion) for _ in levels[1:])
        check_takes_two(self.fusions)
        self.upsamplings: ModuleList | None = None
        if upsample is not None:
            check_upsample(self.fusions, upsample)
            self.upsamplings = ModuleList(
                build_upsampling(upsample, self.out_channels) for _ in levels[1:]
            )

    def conv3(
        self, norm_cfg: dict | None, channels: int | None = None, stride: int = 1
    ) -> ConvModule:
        """Build a 3x3 convolution to ``out_channels``, from as many unless told otherwise."""
        channels = self.out_channels if channels is None else channels
        return ConvModule(
            channels,
            self.out_channels,
            3,
            stride=stride,
            padding=1,
            norm_cfg=norm_cfg,
            **self.conv_cfgs,
        )

    def build_fusion(self, cfg: dict) -> nn.Module:
        """Build a fusion of maps of ``out_channels``."""
        return MODELS.build({**cfg, 'in_channels': self.out_channels})

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Turn one map per entry of ``in_channels`` into ``num_outs`` maps of one width.

        Raises:
            ValueError: If there are more or fewer maps.
        """
        if len(inputs) != len(self.in_channels):
            raise ValueError(
                f'expected {len(self.in_channels)} maps, one per entry of in_channels, '
                f'got {len(inputs)}'
            )
        used = inputs[self.start_level : self.end_level + 1]
        maps = [conv(used[i]) for i, conv in enumerate(self.lateral_convs)]
        return tuple(self.fuse_levels(maps, used))

    def fuse_levels(self, maps: list[Tensor], used: Sequence[Tensor]) -> list[Tensor]:
        """Turn the lateral maps, and the inputs that they come from, into the outputs."""
        self.fuse_down(maps)
        # The convolutions of the extra levels come after those of the levels.
        outs = [self.fpn_convs[i](x) for i, x in enumerate(maps)]
        return self.with_extra_levels(outs, used[-1], maps[-1])

    def fuse_down(self, maps: list[Tensor]) -> None:
        """Fuse each map with the one above, from the coarsest on, in place of it in the list."""
        for i in reversed(range(len(self.fusions))):
            upsampling = None if self.upsamplings is None else self.upsamplings[i]
            maps[i] = fused_with_coarser(
                self.fusions[i], maps[i], maps[i + 1], upsampling, self.upsample_cfg
            )

    def with_extra_levels(self, outs: list[Tensor], source: Tensor, top: Tensor) -> list[Tensor]:
        """Add the extra levels to the outputs.

        Args:
            outs: Outputs of the levels.
            source: Last input in use.
            top: Its lateral map.
        """
        levels = len(outs)
        if not self.add_extra_convs:
            while len(outs) < self.num_outs:
                outs.append(F.max_pool2d(outs[-1], 1, stride=2))
            return outs
        x = dict(on_input=source, on_lateral=top, on_output=outs[-1])[self.add_extra_convs]
        for conv in self.fpn_convs[levels:]:
            outs.append(conv(x))
            x = F.relu(outs[-1]) if self.relu_before_extra_convs else outs[-1]
        return outs

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        rename_published(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)
