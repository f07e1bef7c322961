"""LSKNet."""

from typing import ClassVar

from mmengine.registry import MODELS

from mmattn.backbones.gated_pyramid import GatedPyramid


@MODELS.register_module()
class LSKNet(GatedPyramid, attention=dict(type='LSK')):
    """Large selective kernel network: VAN's pyramid, whose gates choose between near and far.

    Paper: `Large Selective Kernel Network for Remote Sensing Object Detection
    <https://arxiv.org/abs/2303.09030>`_ (ICCV 2023). Weights of the authors' release load as they
    are; their classifier, and averages of the weights beside the weights, are set aside.

    The options are those of :class:`mmattn.VAN`, with ``'t'`` and ``'s'`` for ``arch`` and ``LSK``
    for ``attention``.

    Example:
        >>> import torch
        >>> [x] = LSKNet('t', out_indices=(3,))(torch.rand(1, 3, 32, 64))
        >>> x.shape
        torch.Size([1, 256, 1, 2])
    """

    layouts: ClassVar[dict[str, str]] = {
        'released LSKNet': r'block1\.0\.attn\.spatial_gating_unit\.conv_squeeze\.weight'
    }
