"""Attention modules of other packages: their name, their channels and the shape they keep."""

from inspect import Parameter, Signature

import pytest
import torch
from torch import nn

from mmattn import SE
from mmattn.attention.foreign import ForeignAttention, build_attention
from mmattn.errors import InputError


class Gate(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 1)

    def forward(self, x):
        return x * self.conv(x).sigmoid()


class NamedGate(Gate):
    _abbr_ = 'own_name'


@pytest.mark.parametrize(('kind', 'name'), [(Gate, 'gate'), (NamedGate, 'own_name')])
def test_the_name_is_what_mmcv_would_give_it(kind, name):
    abbreviation, module = build_attention(dict(type=kind), 8, 'paper')
    assert abbreviation == name
    assert isinstance(module, ForeignAttention)
    assert isinstance(module.attention, kind)
    x = torch.rand(2, 8, 5, 3)
    assert torch.equal(module(x), module.attention(x))


def test_identity_start_gives_back_the_map():
    _, module = build_attention(dict(type=Gate), 8, 'identity')
    x = torch.rand(2, 8, 5, 3)
    assert torch.equal(module(x), x)


def test_own_modules_stay_as_they_are():
    abbreviation, module = build_attention(dict(type='SE', reduction=4), 8, 'identity')
    assert (abbreviation, type(module)) == ('se', SE)
    assert module.blend is not None
    _, module = build_attention(dict(type='SE', reduction=4, start='paper'), 8, 'identity')
    assert module.blend is None


@pytest.mark.parametrize(
    'name', ['in_channels', 'channels', 'num_channels', 'in_dim', 'dim', 'embed_dims']
)
def test_channels_go_by_many_names(name):
    class Any(nn.Module):
        __signature__ = Signature([Parameter(name, Parameter.KEYWORD_ONLY)])

        def __init__(self, **given):
            super().__init__()
            self.given = given

    _, module = build_attention(dict(type=Any), 8, 'paper')
    assert module.attention.given == {name: 8}


@pytest.mark.parametrize(
    ('returned', 'got'),
    [
        (lambda x: x[:, :4], r'\(2, 4, 5, 3\)'),
        (lambda x: (x, x), 'tuple'),
        (lambda x: None, 'NoneType'),
    ],
    ids=['channels', 'two maps', 'nothing'],
)
def test_another_shape_names_the_module_and_both_shapes(returned, got):
    class Crop(nn.Module):
        def __init__(self, channels):
            super().__init__()

        def forward(self, x):
            return returned(x)

    _, module = build_attention(dict(type=Crop), 8, 'paper')
    message = rf'^expected Crop to keep the shape \(2, 8, 5, 3\), got {got}$'
    with pytest.raises(ValueError, match=message):
        module(torch.rand(2, 8, 5, 3))


def make_list(channels):
    return [channels]


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        (nn.ReLU, 'has none of the arguments in_channels, channels, '),
        (make_list, 'is a list, no module'),
    ],
)
def test_what_is_no_attention_is_refused(kind, message):
    with pytest.raises(InputError, match=message):
        build_attention(dict(type=kind), 8, 'paper')


def test_an_unknown_name_is_told_by_the_registry():
    with pytest.raises(KeyError, match='NoSuchAttention'):
        build_attention(dict(type='NoSuchAttention'), 8, 'paper')
