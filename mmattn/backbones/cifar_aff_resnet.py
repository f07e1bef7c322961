"""ResNet and ResNeXt for small images whose residual sums are attentional feature fusions."""

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.backbones.aff_resnet import Bottleneck, Downsample, Width, own_norm_key
from mmattn.backbones.base import Backbone
from mmattn.fusion import AddFusion
from mmattn.layers.checks import ModuleCfg, NormCfg, Positive, within

Blocks = Annotated[int, within(1, 100)]
# What the release starts its networks for small images from.
_XAVIER = dict(type='Xavier', layer='Conv2d', distribution='uniform')


class PreActBlock(BaseModule):
    """Two 3x3 convolutions, each behind its norm and ReLU, fused with their input."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, fusion: nn.Module, norm_cfg: dict
    ) -> None:
        super().__init__()
        self.norm1 = build_norm_layer(norm_cfg, in_channels)[1]
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm2 = build_norm_layer(norm_cfg, out_channels)[1]
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
            )
        self.fusion = fusion

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        out = self.conv1(self.relu(self.norm1(x)))
        out = self.conv2(self.relu(self.norm2(out)))
        return self.fusion(out, x if self.downsample is None else self.downsample(x))


class _SmallImages(Backbone):
    """A stem without a stride, three stages, and what is behind the last of them."""

    slot = 'fusion'

    stem: nn.Module

    def extract(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of the stages in ``out_indices``."""
        x = self.stem(x)
        maps = []
        stage: ModuleList
        for i, [stage, *behind] in enumerate(self.stages()[1:]):
            for block in stage:
                x = self.run(block, x)
            for module in behind:
                x = module(x)
            if i in self.out_indices:
                maps.append(x)
        return tuple(maps)

    def stages(self) -> list[list[nn.Module]]:
        """List the stem and the stages."""
        return [[self.stem], *([getattr(self, f'layer{i + 1}')] for i in self._built())]

    def _built(self) -> range:
        return range(self.out_indices[-1] + 1)

    @staticmethod
    def is_optional(key: str) -> bool:
        """Tell the classifier and the stages from anything else."""
        return key.startswith(('head.', 'fc.', 'layer', 'last.'))


def _fusion_of(stage: int, channels: int, fusion: dict, fusion_stages: Sequence[int]) -> nn.Module:
    if stage in fusion_stages:
        return MODELS.build({**fusion, 'in_channels': channels})
    return AddFusion(channels)


def _check_fusion_stages(fusion_stages: Sequence[int]) -> None:
    if not set(fusion_stages) <= {0, 1, 2}:
        raise ValueError(f'expected fusion_stages from 0 to 2, got {tuple(fusion_stages)}')


@MODELS.register_module()
class CIFARAFFResNet(_SmallImages):
    """ResNet for images of CIFAR's size, its norms ahead of convolutions, that fuses by attention.

    Paper: `Attentional Feature Fusion <https://arxiv.org/abs/2009.14082>`_ (WACV 2021). Weights of
    the authors' release, ``.params`` files, load as they are.

    Note:
        As in the release: the image goes through a batch norm without scale and shift, then one
        3x3 convolution; every block of the three stages fuses what it has learned, the ``x`` of the
        fusion, with its input; behind the last stage are a norm and a ReLU. With five blocks a
        stage it is the release's ResNet-32, with b blocks the paper's network of b.

    Args:
        num_blocks: Blocks per stage.
        channels: Channels of the stem and of the three stages.
        fusion: Config of the fusion module, ``in_channels`` is filled in.
        fusion_stages: Stages whose blocks fuse by it, from 0 to 2; the others add.
        out_indices: Stages whose maps are returned, from 0 to 2.
        frozen_stages: 0 freezes the stem, n the stem and the stages 0 to n - 1; -1 freezes none.
        norm_cfg: Norm layer, of three channels too; the fusions have their own.
        norm_eval: Whether batch norm layers keep their running statistics while training.
        with_cp: Whether blocks are recomputed in the backward pass, which saves memory.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`; without one, that of
            the release, Xavier's with a uniform distribution.

    Raises:
        ValueError: If there are not four numbers of channels, or ``fusion_stages``, ``out_indices``
            or ``frozen_stages`` name a stage that does not exist.

    Shape:
        - Input: (N, 3, H, W) with any H, W >= 1.
        - Output: one (N, C_i, H_i, W_i) per out index, at the strides 1, 2 and 4.

    Example:
        >>> import torch
        >>> maps = CIFARAFFResNet(1, out_indices=(0, 2))(torch.rand(2, 3, 32, 32))
        >>> [tuple(x.shape) for x in maps]
        [(2, 64, 32, 32), (2, 256, 8, 8)]
    """

    layouts: ClassVar[dict[str, str]] = {
        'released AFF-ResNet for CIFAR': r'features\.\d+\.\d+\.resfwd\.'
    }

    def __init__(
        self,
        num_blocks: Blocks = 5,
        *,
        channels: Sequence[Positive] = (64, 64, 128, 256),
        fusion: ModuleCfg = dict(type='AFF', reduction=4, scale=2.0),
        fusion_stages: Sequence[int] = (0, 1, 2),
        out_indices: Sequence[int] = (2,),
        frozen_stages: int = -1,
        norm_cfg: NormCfg = dict(type='BN'),
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            out_indices=out_indices,
            num_stages=3,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=_XAVIER if init_cfg is None else init_cfg,
        )
        _check_fusion_stages(fusion_stages)
        if len(channels) != 4:
            raise ValueError(
                'expected four numbers of channels, of the stem and of three stages, got '
                f'{tuple(channels)}'
            )
        width = channels[0]
        self.stem = nn.Sequential(
            build_norm_layer({**norm_cfg, 'affine': False}, 3)[1],
            nn.Conv2d(3, width, 3, padding=1, bias=False),
        )
        for i in self._built():
            blocks = []
            for j in range(num_blocks):
                stride = 2 if i > 0 and j == 0 else 1
                fuse = _fusion_of(i, channels[i + 1], fusion, fusion_stages)
                blocks.append(PreActBlock(width, channels[i + 1], stride, fuse, norm_cfg))
                width = channels[i + 1]
            self.add_module(f'layer{i + 1}', ModuleList(blocks))
        if 2 in self.out_indices:
            self.last = nn.Sequential(build_norm_layer(norm_cfg, width)[1], nn.ReLU(inplace=True))
        self.out_channels = tuple(channels[i + 1] for i in self.out_indices)
        self.freeze(frozen_stages)

    def stages(self) -> list[list[nn.Module]]:
        """List the stem and the stages; the last norm belongs to the last stage."""
        stages = super().stages()
        if hasattr(self, 'last'):
            stages[-1].append(self.last)
        return stages

    @staticmethod
    def own_key(key: str) -> str:
        """Turn the key names of the release into ours."""
        key = own_norm_key(key).replace('.attention.', '.fusion.')
        for theirs, ours in ((0, 'norm1'), (2, 'conv1'), (3, 'norm2'), (5, 'conv2')):
            key = key.replace(f'.resfwd.{theirs}.', f'.{ours}.')
        place = re.match(r'features\.(\d)\.(.*)', key)
        if place is None:
            return re.sub(r'^output\.', 'fc.', key)
        names = ('stem.0', 'stem.1', 'layer1', 'layer2', 'layer3', 'last.0')
        return f'{names[int(place[1])]}.{place[2]}'

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        # MXNet keeps the scale of 1 and the shift of 0 that the norm of the image does not have.
        for name in ('gamma', 'beta'):
            state_dict.pop(f'{prefix}features.0.{name}', None)
        super()._load_from_state_dict(state_dict, prefix, *args)


@MODELS.register_module()
class CIFARAFFResNeXt(_SmallImages):
    """ResNeXt for images of CIFAR's size that fuses each residual branch by attention.

    Papers: `Attentional Feature Fusion <https://arxiv.org/abs/2009.14082>`_ (WACV 2021),
    `Aggregated Residual Transformations for Deep Neural Networks
    <https://arxiv.org/abs/1611.05431>`_ (CVPR 2017). Weights of the authors' release, ``.params``
    files, load as they are.

    Note:
        As in the release: a 3x3 convolution with its norm and ReLU, and three stages of the
        bottlenecks that ``AFFResNet`` has, of which the first one averages in its shortcut and the
        last norm of each starts at zero. With four blocks a stage it is the release's ResNeXt-38,
        with five its ResNeXt-47.

    Args:
        num_blocks: Blocks per stage.
        groups: Groups of the 3x3 convolutions.
        base_width: Channels of a bottleneck in the first stage, per group.
        fusion: Config of the fusion module, ``in_channels`` is filled in.
        fusion_stages: Stages whose blocks fuse by it, from 0 to 2; the others add.
        out_indices: Stages whose maps are returned, from 0 to 2.
        frozen_stages: 0 freezes the stem, n the stem and the stages 0 to n - 1; -1 freezes none.
        norm_cfg: Norm layer; the fusions have their own.
        norm_eval: Whether batch norm layers keep their running statistics while training.
        with_cp: Whether blocks are recomputed in the backward pass, which saves memory.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`; without one, that of
            the release, Xavier's with a uniform distribution.

    Raises:
        ValueError: If ``fusion_stages``, ``out_indices`` or ``frozen_stages`` name a stage that
            does not exist.

    Shape:
        - Input: (N, 3, H, W) with any H, W >= 1.
        - Output: one (N, C_i, H_i, W_i) per out index, at the strides 1, 2 and 4.

    Example:
        >>> import torch
        >>> maps = CIFARAFFResNeXt(1, out_indices=(0, 2))(torch.rand(2, 3, 32, 32))
        >>> [tuple(x.shape) for x in maps]
        [(2, 256, 32, 32), (2, 1024, 8, 8)]
    """

    layouts: ClassVar[dict[str, str]] = {
        'released AFF-ResNeXt for CIFAR': r'features\.5\.\d+\.body\.'
    }

    def __init__(
        self,
        num_blocks: Blocks = 4,
        *,
        groups: Width = 32,
        base_width: Width = 4,
        fusion: ModuleCfg = dict(type='AFF', reduction=16, scale=2.0),
        fusion_stages: Sequence[int] = (0, 1, 2),
        out_indices: Sequence[int] = (2,),
        frozen_stages: int = -1,
        norm_cfg: NormCfg = dict(type='BN'),
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            out_indices=out_indices,
            num_stages=3,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=_XAVIER if init_cfg is None else init_cfg,
        )
        _check_fusion_stages(fusion_stages)
        width = 64
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False),
            build_norm_layer(norm_cfg, width)[1],
            nn.ReLU(inplace=True),
        )
        widths = (256, 512, 1024)
        zero = dict(type='Constant', val=0, override=dict(name='bn3'))
        for i in self._built():
            blocks = []
            for j in range(num_blocks):
                stride = 2 if i > 0 and j == 0 else 1
                downsample = None
                if j == 0:
                    downsample = Downsample(width, widths[i], stride, True, norm_cfg)
                blocks.append(
                    Bottleneck(
                        width,
                        widths[i] // Bottleneck.expansion,
                        stride,
                        1,
                        downsample,
                        _fusion_of(i, widths[i], fusion, fusion_stages),
                        groups,
                        base_width,
                        'pytorch',
                        norm_cfg,
                        init_cfg=zero,
                    )
                )
                width = widths[i]
            self.add_module(f'layer{i + 1}', ModuleList(blocks))
        self.out_channels = tuple(widths[i] for i in self.out_indices)
        self.freeze(frozen_stages)

    @staticmethod
    def own_key(key: str) -> str:
        """Turn the key names of the release into ours."""
        key = own_norm_key(key).replace('.attention.', '.fusion.')
        for i in range(3):
            key = key.replace(f'.body.{3 * i}.', f'.conv{i + 1}.')
            key = key.replace(f'.body.{3 * i + 1}.', f'.bn{i + 1}.')
        place = re.match(r'features\.(\d)\.(.*)', key)
        if place is None:
            return re.sub(r'^output\.', 'fc.', key)
        index = int(place[1])
        return f'stem.{index}.{place[2]}' if index < 3 else f'layer{index - 2}.{place[2]}'
