"""Necks: one map per level in, one per level out; one file per network."""

from mmattn.necks.aff_fpn import AFFFPN
from mmattn.necks.pooled_dropout import PooledDropout
from mmattn.necks.ssdlite_neck import SSDLiteNeck

__all__ = ['AFFFPN', 'PooledDropout', 'SSDLiteNeck']
