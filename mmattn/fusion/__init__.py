"""Fusion modules: two maps of shape (N, C, H, W) in, one of the same shape out."""

from mmattn.fusion.add import AddFusion, ConcatFusion
from mmattn.fusion.aff import AFF, iAFF

__all__ = ['AFF', 'AddFusion', 'ConcatFusion', 'iAFF']
