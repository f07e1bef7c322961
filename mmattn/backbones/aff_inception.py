"""A small Inception network that fuses its branches by attention."""

from collections.abc import Sequence
from typing import Annotated

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.backbones.base import Backbone
from mmattn.layers.checks import (
    NOT_EMPTY,
    ModuleCfg,
    NormCfg,
    Positive,
    within,
)


class InceptionBlock(BaseModule):
    """Expand by 1x1, filter by 3x3 and by 5x5 side by side, and fuse the two."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, fusion: dict, norm_cfg: dict
    ) -> None:
        super().__init__()
        self.expand = ConvModule(in_channels, out_channels, 1, norm_cfg=norm_cfg)
        self.branch3x3, self.branch5x5 = (
            ConvModule(
                out_channels,
                out_channels,
                kernel_size,
                stride=stride,
                padding=kernel_size // 2,
                norm_cfg=norm_cfg,
            )
            for kernel_size in (3, 5)
        )
        self.fusion = MODELS.build({**fusion, 'in_channels': out_channels})

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        x = self.expand(x)
        return self.fusion(self.branch3x3(x), self.branch5x5(x))


@MODELS.register_module()
class AFFInception(Backbone):
    """Inception modules for images of CIFAR's size, their branches fused by attention.

    Paper: `Attentional Feature Fusion <https://arxiv.org/abs/2009.14082>`_ (WACV 2021), its host
    for fusion within a layer.

    Note:
        Stated by the paper: a fusion takes the place of the concatenation of a 3x3 branch, the
        ``x`` of the fusion, and a 5x5 branch, the ``y``, behind an expansion that gives both all
        the channels of the output; a reduction of 4; networks of b = 1 to 4. No code or weights of
        this network were released. Chosen here, after ResNets for CIFAR: a 3x3 stem, three stages
        of b modules with 16, 32 and 64 channels, a stride of 2 in both branches where a later
        stage begins, a norm and a ReLU behind every convolution, and no shortcuts.

        The paper's comparisons are options: ``fusion=dict(type='AddFusion')`` and
        ``'ConcatFusion'``, ``dict(type='AFF', scales=('global', 'global'))`` and
        ``('local', 'local')``, every ``strategy`` of :class:`mmattn.fusion.AFF`, and
        ``dict(type='iAFF')``.

    Args:
        num_blocks: Inception modules per stage, the paper's b of 1 to 4.
        widths: Channels of each stage; the stem has those of the first.
        fusion: Config of the fusion module, ``in_channels`` is filled in.
        out_indices: Stages whose maps are returned, from 0 to ``len(widths) - 1``; None for the
            last alone, which is what a classifier takes.
        frozen_stages: 0 freezes the stem, n the stem and the stages 0 to n - 1; -1 freezes none.
        norm_cfg: Norm layer; the fusions have their own.
        norm_eval: Whether batch norm layers keep their running statistics while training.
        with_cp: Whether blocks are recomputed in the backward pass, which saves memory.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`; without one, that of
            ResNet.

    Raises:
        ValueError: If ``num_blocks`` is not positive, or ``out_indices`` or ``frozen_stages`` name
            a stage that does not exist.

    Shape:
        - Input: (N, 3, H, W) with any H, W >= 1.
        - Output: one (N, C_i, H_i, W_i) per out index, at the strides 1, 2 and 4.

    Example:
        >>> import torch
        >>> maps = AFFInception(2, out_indices=(0, 2))(torch.rand(2, 3, 32, 32))
        >>> [tuple(x.shape) for x in maps]
        [(2, 16, 32, 32), (2, 64, 8, 8)]
    """

    slot = 'fusion'

    def __init__(
        self,
        num_blocks: Annotated[int, within(1, 100)] = 1,
        *,
        widths: Annotated[Sequence[Positive], NOT_EMPTY] = (16, 32, 64),
        fusion: ModuleCfg = dict(type='AFF', reduction=4),
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        norm_cfg: NormCfg = dict(type='BN'),
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
            out_indices=(len(widths) - 1,) if out_indices is None else out_indices,
            num_stages=len(widths),
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        in_channels = widths[0]
        self.stem = ConvModule(3, in_channels, 3, padding=1, norm_cfg=norm_cfg)
        for i, width in enumerate(widths[: self.out_indices[-1] + 1]):
            blocks = []
            for j in range(num_blocks):
                stride = 2 if i > 0 and j == 0 else 1
                blocks.append(InceptionBlock(in_channels, width, stride, fusion, norm_cfg))
                in_channels = width
            self.add_module(f'layer{i + 1}', ModuleList(blocks))
        self.out_channels = tuple(widths[i] for i in self.out_indices)
        self.freeze(frozen_stages)

    def stages(self) -> list[list[nn.Module]]:
        """List the stem and the stages."""
        names = ['stem', *(f'layer{i + 1}' for i in range(self.out_indices[-1] + 1))]
        return [[getattr(self, name)] for name in names]

    def extract(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of the stages in ``out_indices``."""
        x = self.stem(x)
        maps = []
        stage: ModuleList
        for i, [stage] in enumerate(self.stages()[1:]):
            for block in stage:
                x = self.run(block, x)
            if i in self.out_indices:
                maps.append(x)
        return tuple(maps)

    @staticmethod
    def is_optional(key: str) -> bool:
        """Tell the classifier and the stages from anything else."""
        return key.startswith(('head.', 'fc.', 'layer'))
