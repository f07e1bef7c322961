"""Attention modules and attention backbones as an OpenMMLab registry plugin.

``custom_imports = dict(imports=['mmattn'])`` in a config makes every class below a ``type``.
"""

from mmattn.attention import LKA, CoordAtt
from mmattn.backbones import VAN, CoordAttMobileNetV2
from mmattn.datasets import LoadImage, LoadSegMap

__version__ = '0.1.0'

__all__ = [
    'LKA',
    'VAN',
    'CoordAtt',
    'CoordAttMobileNetV2',
    'LoadImage',
    'LoadSegMap',
    '__version__',
]
