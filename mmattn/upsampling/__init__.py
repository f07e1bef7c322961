"""Upsampling modules: a map of shape (N, C, H, W) in, one of (N, C, s * H, s * W) out."""

from mmattn.upsampling.carafe import CARAFE
from mmattn.upsampling.dysample import DySample
from mmattn.upsampling.interpolation import Bilinear, Nearest

__all__ = ['CARAFE', 'Bilinear', 'DySample', 'Nearest']
