"""Attention modules, backbones and fusion necks as an OpenMMLab registry plugin.

``custom_imports = dict(imports=['mmattn'])`` in a config makes every class below a ``type``.
"""

from mmattn.attention import (
    BAM,
    CBAM,
    ECA,
    ELA,
    EMA,
    GALA,
    LKA,
    LSKA,
    MSCA,
    MSCAM,
    SE,
    AttentionAugmentedConv,
    CoordAtt,
    CrissCross,
    DoubleAttention,
    GatherExcite,
    GlobalContext,
    GSoP,
    MixedPooling,
    NonLocal,
    SCConv,
    SimAM,
    SKConv,
    SplitAttention,
    StripPooling,
    TimmAttention,
    TripletAttention,
)
from mmattn.backbones import VAN, AFFResNet, CoordAttMobileNetV2, MobileNeXt
from mmattn.datasets import LoadImage, LoadSegMap
from mmattn.fusion import AFF, AddFusion, ConcatFusion, iAFF
from mmattn.listing import list_modules
from mmattn.necks import AFFFPN

__version__ = '0.1.0'

__all__ = [
    'AFF',
    'AFFFPN',
    'BAM',
    'CBAM',
    'ECA',
    'ELA',
    'EMA',
    'GALA',
    'LKA',
    'LSKA',
    'MSCA',
    'MSCAM',
    'SE',
    'VAN',
    'AFFResNet',
    'AddFusion',
    'AttentionAugmentedConv',
    'ConcatFusion',
    'CoordAtt',
    'CoordAttMobileNetV2',
    'CrissCross',
    'DoubleAttention',
    'GSoP',
    'GatherExcite',
    'GlobalContext',
    'LoadImage',
    'LoadSegMap',
    'MixedPooling',
    'MobileNeXt',
    'NonLocal',
    'SCConv',
    'SKConv',
    'SimAM',
    'SplitAttention',
    'StripPooling',
    'TimmAttention',
    'TripletAttention',
    '__version__',
    'iAFF',
    'list_modules',
]
