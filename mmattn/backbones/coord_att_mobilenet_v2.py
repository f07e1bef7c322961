"""MobileNetV2 with an attention module in its inverted residual blocks."""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.backbones.base import Backbone
from mmattn.layers.channels import make_divisible
from mmattn.layers.checks import (
    ActCfg,
    ConvCfg,
    Factor,
    ModuleCfg,
    NormCfg,
    Side,
)
from mmattn.layers.conv import ThriftyConvModule
from mmattn.weights.layouts import rename_published

# Expansion ratio, channels and number of blocks of each stage: MobileNetV2, table 2.
STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))

# Where a released block, one flat list of layers, has what is named here.
_RELEASED_LAYERS = {
    '0': 'conv.0.conv',
    '1': 'conv.0.bn',
    '3': 'conv.1.conv',
    '4': 'conv.1.bn',
    '6': 'attention',
    '7': 'conv.2.conv',
    '8': 'conv.2.bn',
}


class InvertedResidual(BaseModule):
    """Expand by 1x1, filter depthwise by 3x3, attend, and project by a linear 1x1.

    Without expansion (ratio 1) there is neither the first convolution nor the attention.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        dilation: int,
        expand_ratio: int,
        attention: dict | None,
        conv_cfg: dict | None,
        norm_cfg: dict,
        act_cfg: dict,
    ) -> None:
        super().__init__()
        hidden = in_channels * expand_ratio
        cfgs = dict(conv_cfg=conv_cfg, norm_cfg=norm_cfg)
        layers = []
        if expand_ratio != 1:
            layers.append(ThriftyConvModule(in_channels, hidden, 1, act_cfg=act_cfg, **cfgs))
        layers.append(
            ThriftyConvModule(
                hidden,
                hidden,
                3,
                stride=stride,
                padding=dilation,
                dilation=dilation,
                groups=hidden,
                act_cfg=act_cfg,
                **cfgs,
            )
        )
        layers.append(ThriftyConvModule(hidden, out_channels, 1, act_cfg=None, **cfgs))
        # The list holds the convolutions alone, so that the keys are those of a plain MobileNetV2.
        self.conv = ModuleList(layers)
        if expand_ratio != 1 and attention is not None:
            self.attention = MODELS.build({**attention, 'in_channels': hidden})
        else:
            self.attention = nn.Identity()
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        out = x
        for layer in self.conv[:-1]:
            out = layer(out)
        out = self.conv[-1](self.attention(out))
        return x + out if self.has_shortcut else out


@MODELS.register_module()
class CoordAttMobileNetV2(Backbone):
    """MobileNetV2 with coordinate attention, or another one, behind every depthwise convolution.

    The one block without expansion has none. Stages, strides and dilations are those of mmseg's
    ``MobileNetV2``, whose weights load with the attention as the only new part, and so do those of
    torchvision's; weights of the release of coordinate attention load as they are. A classifier is
    set aside.

    Papers: `Coordinate Attention for Efficient Mobile Network Design
    <https://arxiv.org/abs/2103.02907>`_ (CVPR 2021), `MobileNetV2: Inverted Residuals and Linear
    Bottlenecks <https://arxiv.org/abs/1801.04381>`_ (CVPR 2018).

    Args:
        widen_factor: Factor on the channels of every stage.
        attention: Config of the attention module, ``in_channels`` is filled in; None for the plain
            MobileNetV2.
        strides: Stride of the first block of each of the seven stages.
        dilations: Dilation of the first block of each stage. Output stride 16 is
            ``strides=(1, 2, 2, 2, 1, 1, 1), dilations=(1, 1, 1, 1, 1, 2, 2)`` and output stride 8
            ``strides=(1, 2, 2, 1, 1, 1, 1), dilations=(1, 1, 1, 2, 2, 4, 4)``.
        out_indices: Maps to return: 0 to 6 are the stages, 7 is the convolution to 1280 channels
            in front of the classifier.
        frozen_stages: 0 freezes the stem, n the stem and the stages 0 to n - 1; -1 freezes none.
        conv_cfg: Convolution layer.
        norm_cfg: Norm layer.
        act_cfg: Activation layer.
        norm_eval: Whether batch norm layers keep their running statistics while training.
        with_cp: Whether blocks are recomputed in the backward pass, which saves memory.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`; without one, the
            released initialization.

    Raises:
        ValueError: If there are not seven strides and dilations, or ``out_indices`` or
            ``frozen_stages`` name a stage that does not exist.

    Shape:
        - Input: (N, 3, H, W) with any H, W >= 1.
        - Output: one (N, C_i, H_i, W_i) per out index.

    Example:
        >>> import torch
        >>> maps = CoordAttMobileNetV2(out_indices=(1, 2))(torch.rand(1, 3, 32, 64))
        >>> [tuple(x.shape) for x in maps]
        [(1, 24, 8, 16), (1, 32, 4, 8)]
    """

    slot = 'attention'
    layouts: ClassVar[dict[str, str]] = {
        'released mbv2_ca': r'features\.\d+\.conv\.6\.conv1\.weight'
    }

    def __init__(
        self,
        widen_factor: Factor = 1.0,
        *,
        attention: ModuleCfg | None = dict(type='CoordAtt', reduction=32),
        strides: Sequence[Side] = (1, 2, 2, 2, 1, 2, 1),
        dilations: Sequence[Side] = (1, 1, 1, 1, 1, 1, 1),
        out_indices: Sequence[int] = (1, 2, 4, 6),
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
            num_stages=len(STAGES) + 1,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        if len(strides) != len(STAGES) or len(dilations) != len(STAGES):
            raise ValueError(
                f'expected {len(STAGES)} strides and dilations, one per stage, '
                f'got strides={tuple(strides)} and dilations={tuple(dilations)}'
            )
        cfgs: dict[str, Any] = dict(conv_cfg=conv_cfg, norm_cfg=norm_cfg, act_cfg=act_cfg)
        # The release rounds its narrowest network to multiples of 4.
        divisor = 4 if widen_factor == 0.1 else 8
        widths = [make_divisible(c * widen_factor, divisor) for _, c, _ in STAGES]
        widths.append(make_divisible(1280 * max(1.0, widen_factor), divisor))
        in_channels = make_divisible(32 * widen_factor, divisor)
        self.conv1 = ThriftyConvModule(3, in_channels, 3, stride=2, padding=1, **cfgs)
        for i, (expand_ratio, _, num_blocks) in enumerate(STAGES[: self.out_indices[-1] + 1]):
            blocks = []
            for j in range(num_blocks):
                stride, dilation = (strides[i], dilations[i]) if j == 0 else (1, 1)
                blocks.append(
                    InvertedResidual(
                        in_channels, widths[i], stride, dilation, expand_ratio, attention, **cfgs
                    )
                )
                in_channels = widths[i]
            self.add_module(f'layer{i + 1}', ModuleList(blocks))
        if self.out_indices[-1] == len(STAGES):
            self.conv2 = ThriftyConvModule(in_channels, widths[-1], 1, **cfgs)
        self.out_channels = tuple(widths[i] for i in self.out_indices)
        self.freeze(frozen_stages)

    def stages(self) -> list[list[nn.Module]]:
        """List the stem, the stages and, where it is built, the last convolution."""
        names = ['conv1', *(f'layer{i + 1}' for i in range(len(STAGES))), 'conv2']
        return [[getattr(self, name)] for name in names[: self.out_indices[-1] + 2]]

    def extract(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of the stages in ``out_indices``."""
        x = self.conv1(x)
        maps = []
        for i, [stage] in enumerate(self.stages()[1:]):
            for block in stage if isinstance(stage, ModuleList) else [stage]:
                x = self.run(block, x)
            if i in self.out_indices:
                maps.append(x)
        return tuple(maps)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        # Some of torchvision's keys are other ones of the release; only all together tell whose.
        rename_published(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @staticmethod
    def own_key(key: str) -> str:
        """Turn the released key names into those of mmseg's ``MobileNetV2``, which are ours."""
        # torchvision's name of the last convolution, which is left where none is built.
        key = re.sub(r'^(conv|features\.18)\.0\.', 'conv2.conv.', key)
        key = re.sub(r'^(conv|features\.18)\.1\.', 'conv2.bn.', key)
        key = re.sub(r'^features\.0\.0\.', 'conv1.conv.', key)
        key = re.sub(r'^features\.0\.1\.', 'conv1.bn.', key)
        released = re.match(r'features\.(\d+)\.conv\.(\d+)\.(.*)', key)
        if released is None:
            return key
        index, layer, rest = int(released[1]) - 1, released[2], released[3]
        for i, (_, _, num_blocks) in enumerate(STAGES):
            if index < num_blocks:
                return f'layer{i + 1}.{index}.{_RELEASED_LAYERS.get(layer, layer)}.{rest}'
            index -= num_blocks
        return key

    @staticmethod
    def is_optional(key: str) -> bool:
        """Tell the classifier, the last convolution and the stages from anything else."""
        return re.match(r'(classifier|head|fc|conv2|layer[1-7])\.', key) is not None
