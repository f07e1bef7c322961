"""Attention modules: (N, C, H, W) in, the same shape out; one file per paper."""

from mmattn.attention.agent_attention import AgentAttention
from mmattn.attention.attention_augmented_conv import AttentionAugmentedConv
from mmattn.attention.bam import BAM
from mmattn.attention.caa import CAA
from mmattn.attention.cbam import CBAM
from mmattn.attention.coord_att import CoordAtt
from mmattn.attention.criss_cross import CrissCross
from mmattn.attention.double_attention import DoubleAttention
from mmattn.attention.eca import ECA
from mmattn.attention.ela import ELA
from mmattn.attention.ema import EMA
from mmattn.attention.foreign import TimmAttention
from mmattn.attention.gala import GALA
from mmattn.attention.gather_excite import GatherExcite
from mmattn.attention.global_context import GlobalContext
from mmattn.attention.gsop import GSoP
from mmattn.attention.lka import LKA
from mmattn.attention.lsk import LSK
from mmattn.attention.lska import LSKA
from mmattn.attention.mixed_pooling import MixedPooling
from mmattn.attention.mlca import MLCA
from mmattn.attention.ms_cam import MSCAM
from mmattn.attention.msca import MSCA
from mmattn.attention.non_local import NonLocal
from mmattn.attention.sc_conv import SCConv
from mmattn.attention.scsa import SCSA
from mmattn.attention.se import SE
from mmattn.attention.shsa import SHSA
from mmattn.attention.simam import SimAM
from mmattn.attention.sk_conv import SKConv
from mmattn.attention.split_attention import SplitAttention
from mmattn.attention.strip_module import StripModule
from mmattn.attention.strip_pooling import StripPooling
from mmattn.attention.triplet_attention import TripletAttention

__all__ = [
    'BAM',
    'CAA',
    'CBAM',
    'ECA',
    'ELA',
    'EMA',
    'GALA',
    'LKA',
    'LSK',
    'LSKA',
    'MLCA',
    'MSCA',
    'MSCAM',
    'SCSA',
    'SE',
    'SHSA',
    'AgentAttention',
    'AttentionAugmentedConv',
    'CoordAtt',
    'CrissCross',
    'DoubleAttention',
    'GSoP',
    'GatherExcite',
    'GlobalContext',
    'MixedPooling',
    'NonLocal',
    'SCConv',
    'SKConv',
    'SimAM',
    'SplitAttention',
    'StripModule',
    'StripPooling',
    'TimmAttention',
    'TripletAttention',
]
