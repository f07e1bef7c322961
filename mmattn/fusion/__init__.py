"""Fusion modules: two maps of shape (N, C, H, W) in, one out; or maps of several levels."""

from mmattn.fusion.add import AddFusion, ConcatFusion
from mmattn.fusion.aff import AFF, iAFF
from mmattn.fusion.asff import ASFF
from mmattn.fusion.fast_normalized import BiFPNFusion, FastNormalizedFusion
from mmattn.fusion.freq_fusion import FreqFusion

__all__ = [
    'AFF',
    'ASFF',
    'AddFusion',
    'BiFPNFusion',
    'ConcatFusion',
    'FastNormalizedFusion',
    'FreqFusion',
    'iAFF',
]
