"""Attention modules, backbones, fusion necks and heads as an OpenMMLab registry plugin.

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
from mmattn.backbones import (
    VAN,
    AFFInception,
    AFFResNet,
    CoordAttEfficientNet,
    CoordAttMobileNetV2,
    MobileNeXt,
)
from mmattn.datasets import LoadImage, LoadSegMap
from mmattn.engine import NonFiniteLossGuard
from mmattn.fusion import AFF, AddFusion, ConcatFusion, iAFF
from mmattn.heads import DeepLabV3Head, SSDLiteHead
from mmattn.insertion import InsertAttention, KeepAttentionTraining
from mmattn.listing import list_modules
from mmattn.necks import AFFFPN, PooledDropout, SSDLiteNeck

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
    'AFFInception',
    'AFFResNet',
    'AddFusion',
    'AttentionAugmentedConv',
    'ConcatFusion',
    'CoordAtt',
    'CoordAttEfficientNet',
    'CoordAttMobileNetV2',
    'CrissCross',
    'DeepLabV3Head',
    'DoubleAttention',
    'GSoP',
    'GatherExcite',
    'GlobalContext',
    'InsertAttention',
    'KeepAttentionTraining',
    'LoadImage',
    'LoadSegMap',
    'MixedPooling',
    'MobileNeXt',
    'NonFiniteLossGuard',
    'NonLocal',
    'PooledDropout',
    'SCConv',
    'SKConv',
    'SSDLiteHead',
    'SSDLiteNeck',
    'SimAM',
    'SplitAttention',
    'StripPooling',
    'TimmAttention',
    'TripletAttention',
    '__version__',
    'iAFF',
    'list_modules',
]
