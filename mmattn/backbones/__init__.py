"""Attention backbones: one (N, C_i, H_i, W_i) per out index; one file per network."""

from mmattn.backbones.aff_inception import AFFInception
from mmattn.backbones.aff_resnet import AFFResNet
from mmattn.backbones.cifar_aff_resnet import CIFARAFFResNet, CIFARAFFResNeXt
from mmattn.backbones.coord_att_efficientnet import CoordAttEfficientNet
from mmattn.backbones.coord_att_mobilenet_v2 import CoordAttMobileNetV2
from mmattn.backbones.lsknet import LSKNet
from mmattn.backbones.mobilenext import MobileNeXt
from mmattn.backbones.mscan import MSCAN
from mmattn.backbones.strip_net import StripNet
from mmattn.backbones.van import VAN

__all__ = [
    'MSCAN',
    'VAN',
    'AFFInception',
    'AFFResNet',
    'CIFARAFFResNeXt',
    'CIFARAFFResNet',
    'CoordAttEfficientNet',
    'CoordAttMobileNetV2',
    'LSKNet',
    'MobileNeXt',
    'StripNet',
]
