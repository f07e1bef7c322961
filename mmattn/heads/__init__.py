"""Heads of mmdet and mmseg that a paper changed; their package is imported when one is built.

Each name is a function that builds the class of the same name, so that a config can name it while
``import mmattn`` needs neither package.
"""

from mmengine.registry import MODELS
from torch import nn

__all__ = ['DeepLabV3Head', 'SSDLiteHead']


@MODELS.register_module()
def DeepLabV3Head(*args, **kwargs) -> nn.Module:
    """Build a :class:`mmattn.heads.deeplabv3_head.DeepLabV3Head`, which documents the arguments.

    Paper: `Rethinking Atrous Convolution for Semantic Image Segmentation
    <https://arxiv.org/abs/1706.05587>`_ (2017).

    Raises:
        ImportError: If mmseg is not installed.
    """
    try:
        from mmattn.heads import deeplabv3_head
    except ModuleNotFoundError as error:
        raise missing(error, 'DeepLabV3Head', 'mmseg', 'seg') from error
    return deeplabv3_head.DeepLabV3Head(*args, **kwargs)


@MODELS.register_module()
def SSDLiteHead(*args, **kwargs) -> nn.Module:
    """Build a :class:`mmattn.heads.ssdlite_head.SSDLiteHead`, which documents the arguments.

    Paper: `MobileNetV2: Inverted Residuals and Linear Bottlenecks
    <https://arxiv.org/abs/1801.04381>`_ (CVPR 2018).

    Raises:
        ImportError: If mmdet is not installed.
    """
    try:
        from mmattn.heads import ssdlite_head
    except ModuleNotFoundError as error:
        raise missing(error, 'SSDLiteHead', 'mmdet', 'det') from error
    return ssdlite_head.SSDLiteHead(*args, **kwargs)


def missing(error: ModuleNotFoundError, head: str, package: str, extra: str) -> ImportError:
    """Say in one line what to install; any other missing module speaks for itself."""
    if error.name != package:
        return error
    return ImportError(f"{head} needs {package}: pip install 'mmattn[{extra}]'")
