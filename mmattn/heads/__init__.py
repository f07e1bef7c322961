"""Heads of mmdet and mmseg that a paper changed; their package is imported when one is built.

Each name is a function that builds the class of the same name, so that a config can name it while
``import mmattn`` needs neither package.
"""

from typing import Any

from mmengine.registry import MODELS

from mmattn.layers.packages import imported_on_use

__all__ = ['DeepLabV3Head', 'SSDLiteHead']


@MODELS.register_module()
@imported_on_use('mmseg', 'mmattn.heads.deeplabv3_head')
def DeepLabV3Head(*args, **kwargs) -> Any:
    """Build a :class:`mmattn.heads.deeplabv3_head.DeepLabV3Head`, which documents the arguments.

    Paper: `Rethinking Atrous Convolution for Semantic Image Segmentation
    <https://arxiv.org/abs/1706.05587>`_ (2017).

    Raises:
        MissingPackage: If mmseg is not installed.
    """


@MODELS.register_module()
@imported_on_use('mmdet', 'mmattn.heads.ssdlite_head')
def SSDLiteHead(*args, **kwargs) -> Any:
    """Build a :class:`mmattn.heads.ssdlite_head.SSDLiteHead`, which documents the arguments.

    Paper: `MobileNetV2: Inverted Residuals and Linear Bottlenecks
    <https://arxiv.org/abs/1801.04381>`_ (CVPR 2018).

    Raises:
        MissingPackage: If mmdet is not installed.
    """
