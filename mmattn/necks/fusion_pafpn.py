"""Pyramids with a second path, from fine to coarse: path aggregation, and BiFPN."""

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.layers.checks import (
    NOT_EMPTY,
    ActCfg,
    ConvCfg,
    LevelModuleCfg,
    ModuleCfg,
    NormCfg,
    Positive,
    accepts,
    checked,
    within,
)
from mmattn.layers.separable import SeparableConv
from mmattn.necks.aff_fpn import (
    AFFFPN,
    UpsampleCfg,
    build_upsampling,
    check_takes_two,
    check_upsample,
    fused_with_coarser,
)

BIFPN_NORM = dict(type='BN', momentum=0.01, eps=1e-3)


@MODELS.register_module()
class FusionPAFPN(AFFFPN):
    """Feature pyramid whose levels are fused from coarse to fine, and then from fine to coarse.

    With ``topology='pafpn'`` a 3x3 convolution follows each path, and one of stride 2 leads to the
    next level. With ``fusion=dict(type='AddFusion')``, the default, this is mmdet's ``PAFPN``,
    whose arguments and key names it has.

    With ``topology='bifpn'`` both paths are repeated over all levels, the extra ones included. On
    the way up each level but the last fuses three maps: its own, that of the way down, and the
    level below. A swish, a separable 3x3 convolution and a norm follow each fusion; the default is
    ``BiFPNFusion``, which has them. Weights of mmdet's ``projects/EfficientDet`` load.

    Papers: `Path Aggregation Network for Instance Segmentation
    <https://arxiv.org/abs/1803.01534>`_ (CVPR 2018), `EfficientDet: Scalable and Efficient Object
    Detection <https://arxiv.org/abs/1911.09070>`_ (CVPR 2020).

    Note:
        Max pooling in a BiFPN leaves out what lies outside, as the authors' release does. mmdet's
        project takes zeros there, which differs where all values at the border are negative.

        As in both, the levels of a BiFPN but the finest have a second lateral convolution, for the
        first way up. A bias ahead of a batch norm, which mmdet's project has there, becomes part of
        the running mean.

        A fusion of two maps alone, such as ``AFF``, fuses the three maps of a BiFPN two by two.

    Args:
        in_channels: Channels of each input.
        out_channels: Channels of each output.
        num_outs: Number of outputs.
        topology: ``'pafpn'`` or ``'bifpn'``.
        num_repeats: How often the two paths of a BiFPN are repeated; 1 for ``'pafpn'``.
        start_level: Index of the first input in use.
        end_level: Index of the last input in use; -1 is the last there is. Only that one leaves
            room for extra levels.
        add_extra_convs: As in :class:`mmattn.necks.AFFFPN`; False in a BiFPN, whose first extra
            level is a 1x1 convolution of the last input, pooled, and each other one pooled from the
            one before.
        relu_before_extra_convs: Whether a ReLU is ahead of all extra convolutions but the first.
        no_norm_on_lateral: Whether the lateral convolutions go without ``norm_cfg``.
        conv_cfg: Convolution layer.
        norm_cfg: Norm layer; None for none, in a BiFPN for that of the release.
        act_cfg: Activation layer of the convolutions of the neck itself.
        upsample_cfg: Arguments of :func:`torch.nn.functional.interpolate`; nearest is the default.
        fusion: Config of the fusion modules, ``in_channels`` is filled in, and ``num_inputs`` where
            there is such an option; None for ``AddFusion``, in a BiFPN for ``BiFPNFusion``.
        bottom_up_fusion: The same for the way up; None for ``fusion``.
        level_fusion: Config of a module that fuses the outputs, one for each output, such as
            ``dict(type='ASFF')``: ``in_channels`` and ``level`` are filled in. There have to be
            three outputs then.
        upsample: Config of upsampling modules in place of the interpolation, such as
            ``dict(type='DySample')``; ``in_channels`` is filled in.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If the levels do not exist or do not make up ``num_outs``, an option does not
            belong to the topology, ``bottom_up_fusion`` takes a coarser map, or ``level_fusion``
            does not meet three outputs.

    Shape:
        - Input: one (N, C_i, H_i, W_i) per entry of ``in_channels``; each level in use has half the
          size of the one before, rounded up.
        - Output: ``num_outs`` of (N, out_channels, H_i, W_i), from ``start_level`` on; each extra
          level has half the size of the one before, rounded up.

    Example:
        >>> import torch
        >>> neck = FusionPAFPN([8, 16], 16, num_outs=3, topology='bifpn', num_repeats=2)
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
        init_cfg: dict | list[dict] | None = dict(
            type='Xavier', layer='Conv2d', distribution='uniform'
        ),
        *,
        topology: Literal['pafpn', 'bifpn'] = 'pafpn',
        num_repeats: Annotated[int, within(1, 64)] = 1,
        fusion: ModuleCfg | None = None,
        bottom_up_fusion: ModuleCfg | None = None,
        level_fusion: LevelModuleCfg | None = None,
        upsample_cfg: UpsampleCfg | None = None,
        upsample: ModuleCfg | None = None,
    ) -> None:
        if topology == 'pafpn' and num_repeats != 1:
            raise ValueError(f"expected num_repeats=1 with topology='pafpn', got {num_repeats}")
        if topology == 'bifpn' and add_extra_convs:
            raise ValueError(
                f"expected add_extra_convs=False with topology='bifpn', got {add_extra_convs!r}"
            )
        if level_fusion is not None and num_outs != 3:
            raise ValueError(f'expected num_outs=3 with a level_fusion, got {num_outs}')
        if fusion is None:
            fusion = dict(type='AddFusion' if topology == 'pafpn' else 'BiFPNFusion')
        self._topology = topology
        self._num_repeats = num_repeats
        self._bottom_up_fusion = fusion if bottom_up_fusion is None else bottom_up_fusion
        if topology == 'bifpn' and norm_cfg is None:
            norm_cfg = BIFPN_NORM
        super().__init__(
            in_channels,
            out_channels,
            num_outs,
            start_level,
            end_level,
            add_extra_convs,
            relu_before_extra_convs,
            no_norm_on_lateral,
            conv_cfg,
            norm_cfg,
            act_cfg,
            upsample_cfg,
            fusion,
            init_cfg,
            upsample,
        )
        self.level_fusions: ModuleList | None = None
        if level_fusion is not None:
            # The coarsest level, which is the last output, is level 0 there.
            self.level_fusions = ModuleList(
                MODELS.build({**level_fusion, 'in_channels': out_channels, 'level': 2 - i})
                for i in range(3)
            )

    def build_paths(
        self, levels: list[int], norm_cfg: dict | None, fusion: dict, upsample: dict | None
    ) -> None:
        """Build both paths, as the topology has them."""
        if self._topology == 'pafpn':
            super().build_paths(levels, norm_cfg, fusion, upsample)
            self.downsample_convs = nn.ModuleList(
                self.conv3(norm_cfg, stride=2) for _ in levels[1:]
            )
            self.pafpn_convs = nn.ModuleList(self.conv3(norm_cfg) for _ in levels[1:])
            self.bottom_up_fusions = ModuleList(
                self.build_fusion(self._bottom_up_fusion) for _ in levels[1:]
            )
            check_takes_two(self.bottom_up_fusions)
            check_sizes_alike(self.bottom_up_fusions)
            return
        extra = self.num_outs > len(levels)
        widths = [*levels[1:], *(levels[-1:] if extra else [])]
        # What the levels but the finest start from: the extra one, and on the first way up.
        convs = [
            ConvModule(c, self.out_channels, 1, norm_cfg=norm_cfg, **self.conv_cfgs) for c in widths
        ]
        self.extra_conv = convs.pop() if extra else None
        self.connection_convs = nn.ModuleList(convs)
        self.stages = ModuleList(
            BiFPNStage(
                self.out_channels,
                self.num_outs,
                norm_cfg or BIFPN_NORM,
                fusion,
                self._bottom_up_fusion,
                self.upsample_cfg,
                upsample,
            )
            for _ in range(self._num_repeats)
        )

    def fuse_levels(self, maps: list[Tensor], used: Sequence[Tensor]) -> list[Tensor]:
        """Fuse the maps along both paths, and the outputs across levels if that is asked for."""
        outs = self._aggregated(maps, used) if self._topology == 'pafpn' else self._bi(maps, used)
        if self.level_fusions is None:
            return outs
        coarsest_first = outs[::-1]
        return [fusion(*coarsest_first) for fusion in self.level_fusions]

    def _aggregated(self, maps: list[Tensor], used: Sequence[Tensor]) -> list[Tensor]:
        top = maps[-1]
        self.fuse_down(maps)
        outs = [self.fpn_convs[i](x) for i, x in enumerate(maps)]
        for i, fusion in enumerate(self.bottom_up_fusions):
            outs[i + 1] = fusion(outs[i + 1], self.downsample_convs[i](outs[i]))
        outs[1:] = [conv(x) for conv, x in zip(self.pafpn_convs, outs[1:], strict=False)]
        return self.with_extra_levels(outs, used[-1], top)

    def _bi(self, maps: list[Tensor], used: Sequence[Tensor]) -> list[Tensor]:
        again = [maps[0]]
        for i, conv in enumerate(self.connection_convs):
            again.append(conv(used[i + 1]))
        if self.extra_conv is not None:
            extra = [halved(self.extra_conv(used[-1]))]
            while len(maps) + len(extra) < self.num_outs:
                extra.append(halved(extra[-1]))
            maps, again = maps + extra, again + extra
        for stage in self.stages:
            maps = again = stage(maps, again)
        return maps

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        if self._topology == 'bifpn':
            rename_bifpn(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


class BiFPNStage(BaseModule):
    """Both paths of a BiFPN once.

    Args:
        channels: Channels of all maps.
        levels: Number of levels.
        norm_cfg: Norm layer behind the convolution of each node.
        fusion: Config of the fusion modules.
        bottom_up_fusion: Config of those on the way up.
        upsample_cfg: Arguments of the interpolation.
        upsample: Config of upsampling modules in place of it.
    """

    def __init__(
        self,
        channels: int,
        levels: int,
        norm_cfg: dict,
        fusion: dict,
        bottom_up_fusion: dict,
        upsample_cfg: dict,
        upsample: dict | None,
    ) -> None:
        super().__init__()
        self.upsample_cfg = upsample_cfg
        self.top_down = ModuleList(Node(channels, 2, norm_cfg, fusion) for _ in range(levels - 1))
        self.bottom_up = ModuleList(
            Node(channels, 3 if i < levels - 1 else 2, norm_cfg, bottom_up_fusion)
            for i in range(1, levels)
        )
        check_sizes_alike(module for node in self.bottom_up for module in node.fusions)
        self.upsamplings: ModuleList | None = None
        if upsample is not None:
            check_upsample((node.fusions[0] for node in self.top_down), upsample)
            self.upsamplings = ModuleList(
                build_upsampling(upsample, channels) for _ in range(levels - 1)
            )

    def forward(self, maps: list[Tensor], again: list[Tensor]) -> list[Tensor]:
        """Fuse maps of all levels, the finest first.

        Args:
            maps: What the way down starts from.
            again: The same levels for the way up.
        """
        down = list(maps)
        for i in reversed(range(len(self.top_down))):
            node, upsampling = self.top_down[i], self.upsamplings and self.upsamplings[i]
            down[i] = node.convolved(
                fused_with_coarser(
                    node.fusions[0], maps[i], down[i + 1], upsampling, self.upsample_cfg
                )
            )
        outs = [down[0]]
        for i, node in enumerate(self.bottom_up, 1):
            own = [again[i], down[i]] if i < len(maps) - 1 else [again[i]]
            outs.append(node(*own, halved(outs[-1])))
        return outs


class Node(BaseModule):
    """Fusion of maps of one size, by one module or two by two, and a separable convolution.

    Args:
        channels: Channels of all maps.
        num_inputs: Number of maps.
        norm_cfg: Norm layer.
        fusion: Config of the fusion.
    """

    def __init__(self, channels: int, num_inputs: int, norm_cfg: dict, fusion: dict) -> None:
        super().__init__()
        cfg = {**fusion, 'in_channels': channels}
        cfgs = [cfg] * (num_inputs - 1)
        if accepts(fusion, 'num_inputs'):
            cfgs = [{**cfg, 'num_inputs': num_inputs}]
        self.fusions = ModuleList(map(MODELS.build, cfgs))
        if len(cfgs) == num_inputs - 1:
            check_takes_two(self.fusions)
        has_own = getattr(self.fusions[-1], 'convolves', False)
        self.conv = None if has_own else SeparableConv(channels, norm_cfg)

    def forward(self, *maps: Tensor) -> Tensor:
        """Fuse maps of shape (N, C, H, W)."""
        if len(self.fusions) == 1:
            return self.convolved(self.fusions[0](*maps))
        x = maps[0]
        for i, fusion in enumerate(self.fusions):
            x = fusion(x, maps[i + 1])
        return self.convolved(x)

    def convolved(self, x: Tensor) -> Tensor:
        """Convolve what has been fused."""
        return x if self.conv is None else self.conv(x)


def halved(x: Tensor) -> Tensor:
    """Pool a map to half its size, rounded up; windows of 3 begin outside where a side is odd."""
    h, w = x.shape[2:]
    return F.max_pool2d(F.pad(x, [w % 2, 1, h % 2, 1], value=float('-inf')), 3, stride=2)


def check_sizes_alike(fusions: Iterable[nn.Module]) -> None:
    """Refuse a fusion that takes a coarser map where the other map is of the same size."""
    for fusion in fusions:
        if getattr(fusion, 'enlarges', False):
            raise ValueError(
                'expected a bottom_up_fusion of maps of one size, got '
                f'{type(fusion).__name__}, which takes a coarser map'
            )


_BIFPN_KEYS = (
    (r'0\.p(\d)_down_channel\.down_conv', 'lateral_convs.{}.conv', 3),
    (r'0\.p(\d)_down_channel\.bn', 'lateral_convs.{}.bn', 3),
    (r'0\.p(\d)_level_connection\.down_conv', 'connection_convs.{}.conv', 4),
    (r'0\.p(\d)_level_connection\.bn', 'connection_convs.{}.bn', 4),
    (r'0\.p5_to_p(6)\.0\.down_conv', 'extra_conv.conv', 6),
    (r'0\.p5_to_p(6)\.0\.bn', 'extra_conv.bn', 6),
)
_STAGE_KEYS = (
    (r'p(\d)_w1', 'top_down.{}.fusions.0.weights', 3),
    (r'conv(\d)_up', 'top_down.{}.fusions.0.conv', 3),
    (r'p(\d)_w2', 'bottom_up.{}.fusions.0.weights', 4),
    (r'conv(\d)_down', 'bottom_up.{}.fusions.0.conv', 4),
)


def rename_bifpn(state_dict: dict, prefix: str) -> None:
    """Give the tensors of mmdet's BiFPN the names that they have here.

    Args:
        state_dict: The weights; changed in place.
        prefix: What stands before the keys of the neck.
    """
    for key in [key for key in state_dict if key.startswith(f'{prefix}bifpn.')]:
        name = _bifpn_name(key.removeprefix(f'{prefix}bifpn.'))
        if name is not None:
            state_dict[prefix + name] = state_dict.pop(key)
    # Of a convolution and a batch norm behind it, the bias is part of the mean here.
    for key in [key for key in state_dict if key.startswith(prefix)]:
        found = re.fullmatch(
            r'(.*(?:(?:lateral|connection)_convs\.\d+|extra_conv))\.conv\.bias', key
        )
        mean = f'{found[1]}.bn.running_mean' if found else ''
        if mean in state_dict:
            state_dict[mean] = state_dict[mean] - state_dict.pop(key)


def _bifpn_name(key: str) -> str | None:
    for theirs, ours, first in _BIFPN_KEYS:
        found = re.match(theirs + r'(?=\.|$)', key)
        if found:
            return ours.format(int(found[1]) - first) + key[found.end() :]
    for theirs, ours, first in _STAGE_KEYS:
        found = re.match(rf'(\d+)\.{theirs}(?=\.|$)', key)
        if found:
            return f'stages.{found[1]}.' + ours.format(int(found[2]) - first) + key[found.end() :]
    return None
