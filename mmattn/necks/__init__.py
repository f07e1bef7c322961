"""Necks: what stands between a backbone and its heads; one file per network."""

from mmattn.necks.aff_fpn import AFFFPN
from mmattn.necks.fusion_pafpn import FusionPAFPN
from mmattn.necks.pooled_dropout import PooledDropout
from mmattn.necks.ssdlite_neck import SSDLiteNeck

__all__ = ['AFFFPN', 'FusionPAFPN', 'PooledDropout', 'SSDLiteNeck']
