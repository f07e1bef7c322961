"""StripNet, the backbone of Strip R-CNN."""

from typing import ClassVar

from mmengine.registry import MODELS

from mmattn.backbones.gated_pyramid import GatedPyramid


@MODELS.register_module()
class StripNet(GatedPyramid, attention=dict(type='StripModule')):
    """Backbone of Strip R-CNN: VAN's pyramid, whose gates look along rows and columns.

    Paper: `Strip R-CNN: Large Strip Convolution for Remote Sensing Object Detection
    <https://arxiv.org/abs/2501.03775>`_ (AAAI 2026). Weights of the authors' release load as they
    are; their classifier is set aside.

    Of the options, which :class:`mmattn.VAN` describes, ``arch`` is ``'t'`` or ``'s'``, and
    ``attention`` is ``StripModule`` by default.

    Example:
        >>> import torch
        >>> [x] = StripNet('s', out_indices=(2,))(torch.rand(1, 3, 32, 64))
        >>> x.shape
        torch.Size([1, 320, 2, 4])
    """

    layouts: ClassVar[dict[str, str]] = {
        'released StripNet': r'block1\.0\.attn\.spatial_gating_unit\.conv_spatial1\.weight'
    }
