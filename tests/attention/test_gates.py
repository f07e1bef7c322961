"""What all attention modules tell of their gates; each one's equations stand in its own test."""

import math
from collections import Counter

import pytest
import torch
from mmengine.registry import MODELS

from mmattn import attention, backbones
from mmattn.attention.base import Attention
from mmattn.fusion.base import Fusion
from mmattn.ops.precision import gated, wide_mean
from mmattn.testing import gates as promises
from mmattn.testing.blended import Asked
from mmattn.testing.promises import keep
from tests.helpers import randomize

CHANNELS = 32
# Their output is the product of the map and of all gates.
PRODUCTS = [
    *('BAM', 'CAA', 'CBAM', 'CoordAtt', 'ECA', 'ELA', 'EMA', 'GALA', 'GSoP', 'GatherExcite', 'LKA'),
    *('LSK', 'LSKA', 'MLCA', 'MSCA', 'MSCAM', 'SCSA', 'SE', 'SimAM', 'StripModule'),
    *('StripPooling', 'TimmAttention'),
]
# What the others tell: the mean of the map's gates, a gate of a convolution, what is attended to.
OTHERS = {
    'AgentAttention': ['attention'],
    'AttentionAugmentedConv': ['attention'],
    'CrissCross': ['attention'],
    'DoubleAttention': ['attention'],
    'GlobalContext': ['attention'],
    'MixedPooling': [],
    'NonLocal': ['attention'],
    'SCConv': ['spatial'],
    'SHSA': ['attention'],
    'SKConv': ['branch_1', 'branch_2'],
    'SplitAttention': ['branch_1', 'branch_2'],
    'TripletAttention': ['columns', 'rows', 'spatial'],
}


def build(name, **options):
    return randomize(MODELS.build(dict(type=name, in_channels=CHANNELS, **options))).eval()


def test_every_module_is_listed():
    assert sorted([*PRODUCTS, *OTHERS]) == sorted(attention.__all__)


@pytest.mark.parametrize('name', PRODUCTS)
@torch.no_grad()
def test_the_output_is_the_product_of_map_and_gates(name):
    module = build(name).double()
    x = torch.randn(2, CHANNELS, 9, 7, dtype=torch.float64)
    gates = module.gates(x)
    assert gates
    torch.testing.assert_close(module(x), math.prod(gates.values(), start=x))


@pytest.mark.parametrize('name', OTHERS)
@torch.no_grad()
def test_what_the_others_tell(name):
    assert list(build(name).gates(torch.randn(2, CHANNELS, 9, 7))) == OTHERS[name]


def test_the_gates_are_those_ahead_of_the_blend():
    paper, identity = build('SE'), MODELS.build(dict(type='SE', in_channels=32, start='identity'))
    identity.eval().load_state_dict({**paper.state_dict(), 'blend': torch.zeros(1)})
    x = torch.randn(2, CHANNELS, 9, 7)
    assert torch.equal(identity(x), x)
    assert torch.equal(identity.gates(x)['channel'], paper.gates(x)['channel'])


class Silent(Attention):
    def __init__(self, in_channels, *, start='paper', init_cfg=None):
        super().__init__(in_channels, start, init_cfg)

    def attend(self, x):
        return gated(x, wide_mean(x, (2, 3), keepdim=True).sigmoid())


def test_a_module_need_not_tell(monkeypatch):
    monkeypatch.setitem(MODELS.module_dict, 'Silent', Silent)
    keep('Silent', Asked(Silent, CHANNELS), promises.PROMISES)
    assert Silent(8).gates(torch.randn(1, 8, 3, 2)) == {}


# One module for each block that has one; AFFResNet has AFF in its last two stages.
INSIDE = {
    'AFFInception': (dict(num_blocks=1), {'AFF': 3}),
    'AFFResNet': ({}, {'AddFusion': 3 + 4, 'AFF': 6 + 3}),
    'CIFARAFFResNeXt': (dict(num_blocks=1), {'AFF': 3}),
    'CIFARAFFResNet': (dict(num_blocks=1), {'AFF': 3}),
    'CoordAttEfficientNet': ({}, {'CoordAtt': 16}),
    'CoordAttMobileNetV2': ({}, {'CoordAtt': 16}),
    'LSKNet': ({}, {'LSK': 3 + 3 + 5 + 2}),
    'MSCAN': ({}, {'MSCA': 3 + 3 + 5 + 2}),
    'MobileNeXt': (dict(attention=dict(type='CoordAtt')), {'CoordAtt': 15}),
    'PKINet': (dict(arch='t'), {'CAA': 4 + 14 + 22 + 4}),
    'StripNet': ({}, {'StripModule': 3 + 3 + 5 + 2}),
    'VAN': (dict(arch='b0'), {'LKA': 3 + 3 + 5 + 2}),
}


@pytest.mark.parametrize('name', backbones.__all__)
def test_those_of_a_backbone_are_found_by_their_class(name):
    options, expected = INSIDE[name]
    with torch.device('meta'):
        model = getattr(backbones, name)(**options)
    found = [m for m in model.modules() if isinstance(m, Attention | Fusion)]
    assert Counter(type(m).__name__ for m in found) == expected
