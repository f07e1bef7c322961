"""ResNet whose residual sums are attentional feature fusions."""

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.backbones.base import Backbone
from mmattn.fusion import AddFusion
from mmattn.layers.checks import (
    ModuleCfg,
    NormCfg,
    Side,
    within,
)

Style = Literal['pytorch', 'caffe']
Width = Annotated[int, within(1, 1024)]


class BasicBlock(BaseModule):
    """Two 3x3 convolutions, fused with their input."""

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int,
        dilation: int,
        downsample: nn.Module | None,
        fusion: nn.Module,
        groups: int,
        base_width: int,
        style: Style,
        norm_cfg: dict,
        init_cfg: dict | None,
    ) -> None:
        super().__init__(init_cfg)
        if groups != 1 or base_width != 64:
            raise ValueError(
                'expected groups=1 and base_width=64 at depth 18 and 34, whose blocks have no '
                f'bottleneck, got groups={groups} and base_width={base_width}'
            )
        self.conv1 = nn.Conv2d(in_channels, planes, 3, stride, dilation, dilation, bias=False)
        self.bn1 = build_norm_layer(norm_cfg, planes)[1]
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = build_norm_layer(norm_cfg, planes)[1]
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.fusion = fusion

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, planes, ceil(H / stride), ceil(W / stride))."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        identity = x if self.downsample is None else self.downsample(x)
        return self.relu(self.fusion(out, identity))


class Bottleneck(BaseModule):
    """A 1x1, a 3x3 and a 1x1 convolution, fused with their input."""

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int,
        dilation: int,
        downsample: nn.Module | None,
        fusion: nn.Module,
        groups: int,
        base_width: int,
        style: Style,
        norm_cfg: dict,
        init_cfg: dict | None,
    ) -> None:
        super().__init__(init_cfg)
        width = int(planes * base_width / 64) * groups
        stride1, stride2 = (1, stride) if style == 'pytorch' else (stride, 1)
        self.conv1 = nn.Conv2d(in_channels, width, 1, stride1, bias=False)
        self.bn1 = build_norm_layer(norm_cfg, width)[1]
        self.conv2 = nn.Conv2d(width, width, 3, stride2, dilation, dilation, groups, bias=False)
        self.bn2 = build_norm_layer(norm_cfg, width)[1]
        self.conv3 = nn.Conv2d(width, planes * self.expansion, 1, bias=False)
        self.bn3 = build_norm_layer(norm_cfg, planes * self.expansion)[1]
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.fusion = fusion

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, 4 * planes, ceil(H / stride), ceil(W / stride))."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        identity = x if self.downsample is None else self.downsample(x)
        return self.relu(self.fusion(out, identity))


class Downsample(nn.Sequential):
    """Shortcut between maps of different shapes."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, avg_down: bool, norm_cfg: dict
    ) -> None:
        layers = [
            nn.Conv2d(in_channels, out_channels, 1, 1 if avg_down else stride, bias=False),
            build_norm_layer(norm_cfg, out_channels)[1],
        ]
        if avg_down:
            layers.insert(0, nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False))
        super().__init__(*layers)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        # mmpretrain has no pooling, and mmdet and mmseg a pooling of one position, where there is
        # no stride.
        if isinstance(self[0], nn.AvgPool2d) and f'{prefix}0.weight' in state_dict:
            for i in (1, 0):
                for key in [key for key in state_dict if key.startswith(f'{prefix}{i}.')]:
                    rest = key.removeprefix(f'{prefix}{i}.')
                    state_dict[f'{prefix}{i + 1}.{rest}'] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)


# Block and number of blocks of each stage: ResNet, table 1.
ARCHS: dict[int, tuple[type[BasicBlock | Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}


@MODELS.register_module()
class AFFResNet(Backbone):
    """ResNet or ResNeXt that fuses each residual branch with its input by attention.

    Papers: `Attentional Feature Fusion <https://arxiv.org/abs/2009.14082>`_ (WACV 2021), `Deep
    Residual Learning for Image Recognition <https://arxiv.org/abs/1512.03385>`_ (CVPR 2016),
    `Aggregated Residual Transformations for Deep Neural Networks
    <https://arxiv.org/abs/1611.05431>`_ (CVPR 2017). Weights of torchvision's, mmpretrain's,
    mmdet's and mmseg's ResNet load with the fusions as the only new part; weights of the public
    PyTorch port and the ``.params`` files of the authors' release load as they are.

    Note:
        The paper writes ``m * x + (1 - m) * y`` with ``x`` the identity and ``y`` the residual.
        The released code and the port have it the other way round, their gate weighs the learned
        branch, and so it is here, for such weights to mean the same. ``1 - sigmoid(z)`` is
        ``sigmoid(-z)``: trained from scratch the two orders are the same network with the last
        norm layers of a fusion negated.

        With a classifier of 1000 classes, counted here:

        - the release, ``deep_stem=True, avg_down=True``: 30.37 M parameters (paper 30.3 M), and
          35.17 M (35.1 M) with ``fusion=dict(type='iAFF', reduction=16)``;
        - its ResNeXt-50-32x4d, ``groups=32, base_width=4, stem_channels=128`` besides: 29.95 M
          (29.9 M), and 34.75 M (34.7 M) with iAFF;
        - the port, ``fusion=dict(type='AFF', reduction=4, scale=2.), fusion_stages=(0, 1, 2, 3)``:
          45.8 M, and 66.0 M with ``fusion=dict(type='iAFF', reduction=4, share_global=True)`` if
          the branches are counted that the port has and never uses, 55.9 M without them.

    Args:
        depth: Number of layers: 18, 34, 50 or 101.
        groups: Groups of the 3x3 convolutions of a bottleneck; 32 in ResNeXt.
        base_width: Channels of a bottleneck in the first stage, per group; 4 or 8 in ResNeXt.
        fusion: Config of the fusion module, ``in_channels`` is filled in.
        fusion_stages: Stages whose blocks fuse by it, from 0 to 3; the others add.
        stem_channels: Channels of the stem.
        deep_stem: Whether three 3x3 convolutions make the stem instead of one 7x7.
        avg_down: Whether a shortcut with a stride averages instead of skipping positions.
        strides: Stride of the first block of each stage.
        dilations: Dilation of each stage. Output stride 16 is
            ``strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)`` and output stride 8
            ``strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)``.
        style: Where a bottleneck has its stride: ``'pytorch'`` at the 3x3 convolution, ``'caffe'``
            at the first 1x1.
        out_indices: Stages whose maps are returned, from 0 to 3.
        frozen_stages: 0 freezes the stem, n the stem and the stages 0 to n - 1; -1 freezes none.
        norm_cfg: Norm layer; the fusions have their own.
        norm_eval: Whether batch norm layers keep their running statistics while training.
        with_cp: Whether blocks are recomputed in the backward pass, which saves memory.
        zero_init_residual: Whether the last norm of every residual branch starts at zero.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`; without one, that of
            ResNet.

    Raises:
        ValueError: If ``depth`` or ``style`` is unknown, ``groups`` or ``base_width`` are given
            for a depth without bottlenecks, there are not four strides and dilations, or
            ``fusion_stages``, ``out_indices`` or ``frozen_stages`` name a stage that does not
            exist.

    Shape:
        - Input: (N, 3, H, W) with any H, W >= 1.
        - Output: one (N, C_i, H_i, W_i) per out index.

    Example:
        >>> import torch
        >>> maps = AFFResNet(50, out_indices=(0, 3))(torch.rand(2, 3, 32, 64))
        >>> [tuple(x.shape) for x in maps]
        [(2, 256, 8, 16), (2, 2048, 1, 2)]
    """

    slot = 'fusion'
    layouts: ClassVar[dict[str, str]] = {
        'AFF-ResNet port': r'layer\d\.\d+\.fuse_mode\.',
        'released AFF-ResNet': r'layer\d\.\d+\.attention\.local_att\.',
        # Those for small images end with stage 12.
        'released AFF-ResNeXt': r'features\.13\.\d+\.attention\.local_att\.',
    }

    def __init__(
        self,
        depth: Literal[18, 34, 50, 101] = 50,
        *,
        groups: Width = 1,
        base_width: Width = 64,
        fusion: ModuleCfg = dict(type='AFF', reduction=16, scale=2.0),
        fusion_stages: Sequence[int] = (2, 3),
        stem_channels: Annotated[int, within(2, 65536)] = 64,
        deep_stem: bool = False,
        avg_down: bool = False,
        strides: Sequence[Side] = (1, 2, 2, 2),
        dilations: Sequence[Side] = (1, 1, 1, 1),
        style: Style = 'pytorch',
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_cfg: NormCfg = dict(type='BN'),
        norm_eval: bool = False,
        with_cp: bool = False,
        zero_init_residual: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = [
                dict(type='Kaiming', layer='Conv2d'),
                dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
            ]
        super().__init__(
            out_indices=out_indices,
            num_stages=4,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        if len(strides) != 4 or len(dilations) != 4:
            raise ValueError(
                'expected 4 strides and dilations, one per stage, '
                f'got strides={tuple(strides)} and dilations={tuple(dilations)}'
            )
        if not set(fusion_stages) <= {0, 1, 2, 3}:
            raise ValueError(f'expected fusion_stages from 0 to 3, got {tuple(fusion_stages)}')
        if deep_stem:
            self.stem = _deep_stem(stem_channels, norm_cfg)
        else:
            self.conv1 = nn.Conv2d(3, stem_channels, 7, stride=2, padding=3, bias=False)
            self.bn1 = build_norm_layer(norm_cfg, stem_channels)[1]
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

        block_type, depths = ARCHS[depth]
        last_norm = 'bn3' if block_type is Bottleneck else 'bn2'
        zero = dict(type='Constant', val=0, override=dict(name=last_norm))
        in_channels = stem_channels
        widths = [64 * 2**i * block_type.expansion for i in range(4)]
        for i in range(self.out_indices[-1] + 1):
            blocks = []
            for j in range(depths[i]):
                stride = strides[i] if j == 0 else 1
                downsample = None
                if stride != 1 or in_channels != widths[i]:
                    downsample = Downsample(in_channels, widths[i], stride, avg_down, norm_cfg)
                if i in fusion_stages:
                    fuse = MODELS.build({**fusion, 'in_channels': widths[i]})
                else:
                    fuse = AddFusion(widths[i])
                blocks.append(
                    block_type(
                        in_channels,
                        64 * 2**i,
                        stride,
                        dilations[i],
                        downsample,
                        fuse,
                        groups,
                        base_width,
                        style,
                        norm_cfg,
                        init_cfg=zero if zero_init_residual else None,
                    )
                )
                in_channels = widths[i]
            self.add_module(f'layer{i + 1}', ModuleList(blocks))
        self.out_channels = tuple(widths[i] for i in self.out_indices)
        self.freeze(frozen_stages)

    def stages(self) -> list[list[nn.Module]]:
        """List the stem and the stages."""
        stem = [self.stem] if hasattr(self, 'stem') else [self.conv1, self.bn1]
        return [stem, *([getattr(self, f'layer{i + 1}')] for i in range(self.out_indices[-1] + 1))]

    def extract(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of the stages in ``out_indices``."""
        stem, *stages = self.stages()
        for module in stem:
            x = module(x)
        x = self.maxpool(self.relu(x))
        maps = []
        stage: ModuleList
        for i, [stage] in enumerate(stages):
            for block in stage:
                x = self.run(block, x)
            if i in self.out_indices:
                maps.append(x)
        return tuple(maps)

    @staticmethod
    def own_key(key: str) -> str:
        """Turn the key names of the port, the release and mmpretrain's deep stem into ours."""
        key = key.replace('.fuse_mode.', '.fusion.').replace('.attention.', '.fusion.')
        key = own_norm_key(key)
        # The ResNeXt of the release has its stem, a pooling and its stages in one row.
        if place := re.match(r'features\.(\d+)\.(.*)', key):
            stage = int(place[1]) - 9
            key = f'stem.{place[1]}.{place[2]}' if stage < 0 else f'layer{stage}.{place[2]}'
        if place := re.match(r'(layer\d\.\d+)\.body\.(\d)\.(.*)', key):
            # There a convolution, its norm and a ReLU follow each other.
            number, is_norm = divmod(int(place[2]), 3)
            key = f'{place[1]}.{"bn" if is_norm else "conv"}{number + 1}.{place[3]}'
        key = re.sub(r'^output\.', 'fc.', key)
        # The ResNet of the release calls its stem by the name that a single convolution has.
        key = re.sub(r'^conv1\.(?=\d)', 'stem.', key)
        stem = re.match(r'stem\.(\d)\.(conv|bn)\.(.*)', key)
        if stem is None:
            return key
        # There a module holds a convolution, its norm and a ReLU, here they are in one row.
        return f'stem.{3 * int(stem[1]) + (stem[2] == "bn")}.{stem[3]}'

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        # Beside a deep stem, the release has its last norm.
        if hasattr(self, 'stem'):
            for key in [key for key in state_dict if key.startswith(f'{prefix}bn1.')]:
                last = key.removeprefix(f'{prefix}bn1.')
                state_dict[f'{prefix}stem.7.{last}'] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @staticmethod
    def is_optional(key: str) -> bool:
        """Tell the classifier and the stages from anything else."""
        return re.match(r'(head|fc|layer[1-4])\.', key) is not None


def own_norm_key(key: str) -> str:
    """Give PyTorch's name for the scale or shift of a norm that has MXNet's."""
    return re.sub(r'\.beta$', '.bias', re.sub(r'\.gamma$', '.weight', key))


def _deep_stem(channels: int, norm_cfg: dict) -> nn.Sequential:
    half = channels // 2
    return nn.Sequential(
        nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False),
        build_norm_layer(norm_cfg, half)[1],
        nn.ReLU(inplace=True),
        nn.Conv2d(half, half, 3, padding=1, bias=False),
        build_norm_layer(norm_cfg, half)[1],
        nn.ReLU(inplace=True),
        nn.Conv2d(half, channels, 3, padding=1, bias=False),
        build_norm_layer(norm_cfg, channels)[1],
    )
