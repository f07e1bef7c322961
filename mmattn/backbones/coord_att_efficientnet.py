"""EfficientNet with another attention in place of squeeze-and-excitation."""

import re
from collections.abc import Sequence

import torch
from mmengine.model import ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.backbones.base import Backbone
from mmattn.layers.checks import (
    ActCfg,
    ConvCfg,
    DropRate,
    ModuleCfg,
    NormCfg,
)
from mmattn.layers.packages import import_optional


@MODELS.register_module()
class CoordAttEfficientNet(Backbone):
    """EfficientNet whose squeeze-and-excitation modules are coordinate attention, or another one.

    The network is mmpretrain's, which is imported when the first one is built. Its weights load
    with the attention as the only new part.

    Papers: `Coordinate Attention for Efficient Mobile Network Design
    <https://arxiv.org/abs/2103.02907>`_ (CVPR 2021), `EfficientNet: Rethinking Model Scaling for
    Convolutional Neural Networks <https://arxiv.org/abs/1905.11946>`_ (ICML 2019).

    Note:
        No code or weights of this network were released. The figures known of the published
        EfficientNet-B0 are 5.3 M parameters, and 5.4 M with coordinate attention; here it has
        5.29 M, and with the reduction of 32 that the paper uses elsewhere 5.38 M. A reduction of
        28 gives 5.48 M, one of 24 gives 5.61 M.

    Args:
        arch: Size: ``'b0'`` to ``'b8'`` or ``'l2'``. The sizes for edge devices have no
            squeeze-and-excitation.
        attention: Config of the attention module, ``in_channels`` is filled in; None for the plain
            EfficientNet.
        drop_path_rate: Share of the samples for which the last block is skipped in training; it
            rises linearly from the first block.
        out_indices: Maps to return: 0 is the stem, 1 to 5 are the stages at the strides 2, 4, 8,
            16 and 32, and 6 is the convolution in front of the classifier.
        frozen_stages: n freezes the maps 0 to n; -1 freezes none.
        conv_cfg: Convolution layer; by default one that pads as TensorFlow does.
        norm_cfg: Norm layer.
        act_cfg: Activation layer.
        norm_eval: Whether batch norm layers keep their running statistics while training.
        with_cp: Whether blocks are recomputed in the backward pass, which saves memory.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`; without one, that of
            mmpretrain.

    Raises:
        MissingPackage: If mmpretrain is not installed.
        ValueError: If ``arch`` is unknown, or ``out_indices`` or ``frozen_stages`` name a map that
            does not exist.

    Shape:
        - Input: (N, 3, H, W) with any H, W >= 1.
        - Output: one (N, C_i, H_i, W_i) per out index.
    """

    slot = 'se'

    def __init__(
        self,
        arch: str = 'b0',
        *,
        attention: ModuleCfg | None = dict(type='CoordAtt', reduction=32),
        drop_path_rate: DropRate = 0.0,
        out_indices: Sequence[int] = (2, 3, 4, 5),
        frozen_stages: int = -1,
        conv_cfg: ConvCfg | None = dict(type='Conv2dAdaptivePadding'),
        norm_cfg: NormCfg = dict(type='BN', eps=1e-3),
        act_cfg: ActCfg = dict(type='Swish'),
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        models = import_optional('mmpretrain.models', 'CoordAttEfficientNet')
        if init_cfg is None:
            init_cfg = [
                dict(type='Kaiming', layer='Conv2d'),
                dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
            ]
        super().__init__(
            out_indices=out_indices,
            num_stages=7,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        archs = [name for name in models.EfficientNet.arch_settings if not name.startswith('e')]
        if arch not in archs:
            raise ValueError(f'expected arch {", ".join(archs)}, got {arch!r}')
        # mmpretrain reads values of a tensor while building, which the meta device has not.
        device = torch.empty(0).device
        with torch.device('cpu'):
            host = models.EfficientNet(
                arch,
                drop_path_rate=drop_path_rate,
                conv_cfg=conv_cfg,
                norm_cfg=norm_cfg,
                act_cfg=act_cfg,
            )
        self.layers = ModuleList(host.layers[: self.out_indices[-1] + 1]).to(device)
        for stage in self.layers[1:6]:
            for block in stage:
                if attention is not None:
                    channels = block.depthwise_conv.out_channels
                    block.se = MODELS.build({**attention, 'in_channels': channels})
        widths = [
            layer.out_channels if i in (0, 6) else layer[-1].linear_conv.out_channels
            for i, layer in enumerate(self.layers)
        ]
        self.out_channels = tuple(widths[i] for i in self.out_indices)
        self.freeze(frozen_stages)

    def stages(self) -> list[list[nn.Module]]:
        """List the stem, the stages and, where it is built, the last convolution."""
        return [[layer] for layer in self.layers]

    def extract(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of ``out_indices``."""
        maps = []
        for i, layer in enumerate(self.layers):
            for block in layer if isinstance(layer, nn.Sequential) else [layer]:
                x = self.run(block, x)
            if i in self.out_indices:
                maps.append(x)
        return tuple(maps)

    @staticmethod
    def part(key: str) -> str:
        """Name the layer of ``key``."""
        layer = re.match(r'layers\.\d+', key)
        return layer[0] if layer else key.split('.')[0]

    @staticmethod
    def is_optional(key: str) -> bool:
        """Tell the classifier and the layers from anything else."""
        return re.match(r'(head|fc|layers\.[0-6])\.', key) is not None
