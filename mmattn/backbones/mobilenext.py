"""MobileNeXt: residual blocks whose shortcuts join the wide maps."""

import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from mmengine.model import BaseModule, ModuleList, Sequential
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.backbones.base import Backbone
from mmattn.layers.channels import make_divisible
from mmattn.layers.checks import (
    ActCfg,
    ConvCfg,
    Factor,
    ModuleCfg,
    Must,
    NormCfg,
    Side,
)
from mmattn.layers.conv import ThriftyConvModule

# Reduction ratio, channels, number of blocks and stride of each stage, as released. The first
# version of the paper lists two blocks of 960 channels; its author confirms that three are meant.
STAGES = (
    (2, 96, 1, 2),
    (6, 144, 1, 1),
    (6, 192, 3, 2),
    (6, 288, 3, 2),
    (6, 384, 4, 1),
    (6, 576, 4, 2),
    (6, 960, 3, 1),
    (6, 1280, 1, 1),
)

# Where a released block, one flat list of layers, has what is named here.
_RELEASED_LAYERS = {
    0: 'bottleneck.dw1.conv',
    1: 'bottleneck.dw1.bn',
    3: 'bottleneck.reduce.conv',
    4: 'bottleneck.reduce.bn',
    5: 'bottleneck.expand.conv',
    6: 'bottleneck.expand.bn',
    8: 'dw2.conv',
    9: 'dw2.bn',
}


class Sandglass(BaseModule):
    """Filter depthwise, reduce by a linear 1x1, expand by 1x1, and filter depthwise again.

    Either depthwise convolution may be absent. The attention stands behind the one that
    ``attention_position`` names, and is absent with it. ``shortcut`` is the number of leading
    channels to which the input is added.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        dilation: int,
        ratio: int,
        has_dw1: bool,
        has_dw2: bool,
        shortcut: int,
        attention: dict | None,
        attention_position: str,
        conv_cfg: dict | None,
        norm_cfg: dict,
        act_cfg: dict,
    ) -> None:
        super().__init__()
        hidden = in_channels // ratio
        if hidden < out_channels / 6:
            hidden = make_divisible(math.ceil(out_channels / 6), 16)
        cfgs = dict(conv_cfg=conv_cfg, norm_cfg=norm_cfg)

        def depthwise(channels: int, stride: int, act_cfg: dict | None) -> ThriftyConvModule:
            return ThriftyConvModule(
                channels,
                channels,
                3,
                stride=stride,
                padding=dilation,
                dilation=dilation,
                groups=channels,
                act_cfg=act_cfg,
                **cfgs,
            )

        layers = OrderedDict()
        if has_dw1:
            layers['dw1'] = depthwise(in_channels, 1, act_cfg)
            if attention is not None and attention_position == 'after_dw1':
                layers['attention'] = MODELS.build({**attention, 'in_channels': in_channels})
        layers['reduce'] = ThriftyConvModule(in_channels, hidden, 1, act_cfg=None, **cfgs)
        layers['expand'] = ThriftyConvModule(hidden, out_channels, 1, act_cfg=act_cfg, **cfgs)
        self.bottleneck = Sequential(layers)
        self.dw2 = depthwise(out_channels, stride, None) if has_dw2 else nn.Identity()
        if has_dw2 and attention is not None and attention_position == 'after_dw2':
            self.attention = MODELS.build({**attention, 'in_channels': out_channels})
        else:
            self.attention = nn.Identity()
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        out = self.attention(self.dw2(self.bottleneck(x)))
        if self.shortcut == 0:
            return out
        if self.shortcut == x.shape[1]:
            return x + out
        n = self.shortcut
        return torch.cat([x[:, :n] + out[:, :n], out[:, n:]], dim=1)


@MODELS.register_module()
class MobileNeXt(Backbone):
    """MobileNeXt: sandglass blocks, wide at both ends and narrow in the middle.

    Paper: `Rethinking Bottleneck Structure for Efficient Mobile Network Design
    <https://arxiv.org/abs/2007.02269>`_ (ECCV 2020). Weights of the authors' release load as they
    are, their classifier set aside.

    Note:
        ``attention=dict(type='CoordAtt', reduction=32)`` makes it the MobileNeXt of `Coordinate
        Attention for Efficient Mobile Network Design <https://arxiv.org/abs/2103.02907>`_, of which
        no code or weights were released. The attention stands where that paper draws it, between
        the first depthwise convolution and the 1x1 that reduces. The first blocks of stages 2 to 6
        have no such convolution, and here no attention. With a classifier of 1000 classes this has
        3.97 M parameters, and the published network 4.09 M. Those are the parameters with
        ``attention_position='after_dw2'``, 4.088 M, which also makes the published 3.89 M with
        squeeze-and-excitation of reduction 32 without biases, 3.888 M.

    Args:
        widen_factor: Factor on the channels of every stage; the last one has at least 1280.
        identity_tensor_multiplier: Share of the channels to which a shortcut adds its input, the
            leading ones. 1 / n is what the release calls a divisor of n.
        attention: Config of the attention module, ``in_channels`` is filled in; None for the plain
            MobileNeXt.
        attention_position: ``'after_dw1'`` or ``'after_dw2'``: behind the first depthwise
            convolution of a block or behind the last one, ahead of the addition; a block that does
            not have it has no attention.
        strides: Stride of each of the eight stages.
        dilations: Dilation of the depthwise convolutions of each stage. Output stride 16 is
            ``strides=(2, 1, 2, 2, 1, 1, 1, 1), dilations=(1, 1, 1, 1, 1, 2, 2, 2)`` and output
            stride 8 ``strides=(2, 1, 2, 1, 1, 1, 1, 1), dilations=(1, 1, 1, 2, 2, 4, 4, 4)``.
        out_indices: Stages whose maps are returned, from 0 to 7.
        expanded: Those of ``out_indices`` whose map is taken inside the first block of the stage:
            expanded, in front of the last depthwise convolution, and so at the stride of the stage
            before. The last of ``out_indices`` then gives two maps, this one and its own, for which
            the rest of the stage trains. The 576 channels at stride 16, the 1280 at stride 32 and
            what becomes of those, which the authors' SSDLite reads, are ``out_indices=(5, 7),
            expanded=(5, 7)``.
        frozen_stages: 0 freezes the stem, n the stem and the stages 0 to n - 1; -1 freezes none.
        conv_cfg: Convolution layer.
        norm_cfg: Norm layer.
        act_cfg: Activation layer.
        norm_eval: Whether batch norm layers keep their running statistics while training.
        with_cp: Whether blocks are recomputed in the backward pass, which saves memory.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`; without one, the
            released initialization.

    Raises:
        ValueError: If there are not eight strides and dilations, a stage without a depthwise
            convolution in its first block is to have a stride, ``identity_tensor_multiplier`` is
            not above 0 and at most 1, or ``out_indices``, ``expanded`` or ``frozen_stages`` name a
            stage that does not exist.

    Shape:
        - Input: (N, 3, H, W) with any H, W >= 1.
        - Output: one (N, C_i, H_i, W_i) per out index, two for the last one if it is expanded.

    Example:
        >>> import torch
        >>> maps = MobileNeXt(out_indices=(1, 2))(torch.rand(1, 3, 32, 64))
        >>> [tuple(x.shape) for x in maps]
        [(1, 144, 8, 16), (1, 192, 4, 8)]
    """

    slot = 'attention'
    layouts: ClassVar[dict[str, str]] = {'released MobileNeXt': r'features\.\d+\.conv\.5\.weight'}

    def __init__(
        self,
        widen_factor: Factor = 1.0,
        *,
        identity_tensor_multiplier: Annotated[
            float, Must(' above 0 and at most 1', lambda value: 0 < value <= 1)
        ] = 1.0,
        attention: ModuleCfg | None = None,
        attention_position: Literal['after_dw1', 'after_dw2'] = 'after_dw1',
        strides: Sequence[Side] = (2, 1, 2, 2, 1, 2, 1, 1),
        dilations: Sequence[Side] = (1, 1, 1, 1, 1, 1, 1, 1),
        out_indices: Sequence[int] = (1, 2, 4, 7),
        expanded: Sequence[int] = (),
        frozen_stages: int = -1,
        conv_cfg: ConvCfg | None = None,
        norm_cfg: NormCfg = dict(type='BN'),
        act_cfg: ActCfg = dict(type='ReLU6'),
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = [
                dict(type='Kaiming', layer='Conv2d'),
                dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
            ]
        super().__init__(
            out_indices=out_indices,
            num_stages=len(STAGES),
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        if len(strides) != len(STAGES) or len(dilations) != len(STAGES):
            raise ValueError(
                f'expected {len(STAGES)} strides and dilations, one per stage, '
                f'got strides={tuple(strides)} and dilations={tuple(dilations)}'
            )
        self.expanded = tuple(expanded)
        if not set(self.expanded) <= set(self.out_indices):
            raise ValueError(
                f'expected expanded of the out_indices, {self.out_indices}, got {self.expanded}'
            )
        cfgs: dict[str, Any] = dict(conv_cfg=conv_cfg, norm_cfg=norm_cfg, act_cfg=act_cfg)
        # The release rounds its narrowest network to multiples of 4.
        divisor = 4 if widen_factor == 0.1 else 8
        widths = [make_divisible(c * widen_factor, divisor) for _, c, _, _ in STAGES]
        widths[-1] = max(widths[-1], STAGES[-1][1])
        in_channels = make_divisible(32 * widen_factor, divisor)
        self.conv1 = ThriftyConvModule(3, in_channels, 3, stride=2, padding=1, **cfgs)
        for i, (ratio, _, num_blocks, released_stride) in enumerate(
            STAGES[: self.out_indices[-1] + 1]
        ):
            blocks = []
            for j in range(num_blocks):
                # The first block of several drops what is not needed to change stride and width.
                has_dw1 = j > 0 or num_blocks == 1
                has_dw2 = has_dw1 or released_stride == 2
                stride = strides[i] if j == 0 else 1
                if stride != 1 and not has_dw2:
                    raise ValueError(
                        f'expected stride 1 of stage {i}, whose first block has no depthwise '
                        f'convolution, got strides={tuple(strides)}'
                    )
                shortcut = int(widths[i] * identity_tensor_multiplier) if j > 0 else 0
                blocks.append(
                    Sandglass(
                        in_channels,
                        widths[i],
                        stride,
                        dilations[i],
                        ratio,
                        has_dw1,
                        has_dw2,
                        shortcut,
                        attention,
                        attention_position,
                        **cfgs,
                    )
                )
                in_channels = widths[i]
            self.add_module(f'layer{i + 1}', ModuleList(blocks))
        self.out_channels = tuple(widths[i] for i in self.out_indices)
        if self.out_indices[-1] in self.expanded:
            self.out_channels += self.out_channels[-1:]
        self.freeze(frozen_stages)

    def stages(self) -> list[list[nn.Module]]:
        """List the stem and the stages."""
        names = ['conv1', *(f'layer{i + 1}' for i in range(self.out_indices[-1] + 1))]
        return [[getattr(self, name)] for name in names]

    def extract(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of the stages in ``out_indices``, those of ``expanded`` inside."""
        x = self.conv1(x)
        maps = []
        stage: ModuleList
        for i, [stage] in enumerate(self.stages()[1:]):
            first, *others = stage
            if i in self.expanded:
                x = self.run(first.bottleneck, x)
                maps.append(x)
                x = first.attention(first.dw2(x))
            else:
                x = self.run(first, x)
            for block in others:
                x = self.run(block, x)
            if i in self.out_indices and (i not in self.expanded or i == self.out_indices[-1]):
                maps.append(x)
        return tuple(maps)

    @staticmethod
    def own_key(key: str) -> str:
        """Turn the released key names into ours."""
        key = re.sub(r'^features\.0\.0\.', 'conv1.conv.', key)
        key = re.sub(r'^features\.0\.1\.', 'conv1.bn.', key)
        released = re.match(r'features\.(\d+)\.conv\.(\d+)\.(.*)', key)
        if released is None:
            return key
        index, layer, rest = int(released[1]) - 1, int(released[2]), released[3]
        for i, (_, _, num_blocks, _) in enumerate(STAGES):
            if index < num_blocks:
                if index == 0 and num_blocks > 1:
                    # Convolution, norm and activation that this block does not have.
                    layer += 3
                return f'layer{i + 1}.{index}.{_RELEASED_LAYERS.get(layer, layer)}.{rest}'
            index -= num_blocks
        return key

    @staticmethod
    def is_optional(key: str) -> bool:
        """Tell the classifier and the stages from anything else."""
        return re.match(r'(classifier|head|fc|layer[1-8])\.', key) is not None
