"""Attention modules: (N, C, H, W) in, the same shape out; one file per paper."""

from mmattn.attention.coord_att import CoordAtt
from mmattn.attention.lka import LKA

__all__ = ['LKA', 'CoordAtt']
