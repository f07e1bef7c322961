"""Attention modules of other packages: their name, their channels and the shape they keep."""

import sys
from inspect import Parameter, Signature

import pytest
import torch
from timm import layers as timm_layers
from torch import nn

from mmattn import SE, TimmAttention
from mmattn.attention.foreign import TIMM_NAMES, ForeignAttention, build_attention
from mmattn.errors import InputError
from tests.helpers import randomize

# Those of timm that serve any size as they are; 'ge' is broken in timm 1.0.
ANY_SIZE = ['se', 'ese', 'eca', 'ecam', 'ceca', 'gc', 'gca', 'cbam', 'lcbam', 'coord', 'ela', 'nl']


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


@pytest.mark.parametrize('name', ANY_SIZE)
def test_computes_what_timm_does(name):
    theirs = randomize(timm_layers.create_attn(name, 64)).eval()
    module = TimmAttention(64, name=name).eval()
    module.attn.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 64, 6, 5)
    assert torch.equal(module(x), theirs(x))


def hooked(module, *names):
    """What submodules return, by hooks."""
    found = []
    for name in names:
        module.get_submodule(name).register_forward_hook(
            lambda *call: found.append(call[-1].clone())
        )
    return found


# Each with the sigmoids in it; that of ECA returns one row of all channels.
TELLING = {
    'se': (['gate'], ['channel']),
    'ese': (['gate'], ['channel']),
    'eca': (['gate'], ['channel']),
    'gc': (['gate'], ['channel']),
    'cbam': (['channel.gate', 'spatial.gate'], ['channel', 'spatial']),
    'coord': (['gate'], ['rows', 'columns']),
}


@pytest.mark.parametrize('name', TELLING)
@torch.no_grad()
def test_tells_what_its_sigmoids_return(name):
    sigmoids, names = TELLING[name]
    module = randomize(TimmAttention(64, name=name)).eval()
    x = torch.randn(2, 64, 6, 5)
    got = module.gates(x)
    assert not any(m._forward_hooks for m in module.modules() if 'igmoid' in type(m).__name__)
    found = hooked(module.attn, *sigmoids)
    out = module(x)
    assert list(got) == names
    for gate, expected in zip(got.values(), found, strict=True):
        assert torch.equal(gate.flatten(), expected.flatten())
    for gate in got.values():
        x = x * gate
    torch.testing.assert_close(out, x)


@pytest.mark.parametrize('package', ['mmdet.models.layers', 'mmseg.models.utils'])
@torch.no_grad()
def test_tells_the_gate_of_openmmlab(package):
    kind = pytest.importorskip(package).SELayer
    module = randomize(build_attention(dict(type=kind), 64, 'paper')[1]).eval()
    x = torch.randn(2, 64, 6, 5)
    [(name, gate)] = module.gates(x).items()
    assert (name, gate.shape) == ('channel', (2, 64, 1, 1))
    torch.testing.assert_close(x * gate, kind.forward(module.attention, x))


class TwoGates(nn.Module):
    """Two gates of one kind, or a gate of which a half is kept."""

    def __init__(self, dim, share=1.0):
        super().__init__()
        self.share = share
        self.one, self.other = nn.Sigmoid(), nn.Sigmoid()

    def forward(self, x):
        means = x.mean((2, 3), keepdim=True)
        return x * self.one(means) * self.other(-means) * self.share


@torch.no_grad()
def test_two_gates_of_a_kind_have_two_names():
    _, module = build_attention(dict(type=TwoGates), 8, 'paper')
    x = torch.randn(2, 8, 5, 3)
    means = x.mean((2, 3), keepdim=True)
    expected = {'channel': means.sigmoid(), 'channel_2': (-means).sigmoid()}
    torch.testing.assert_close(module.gates(x), expected)


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type=TwoGates, share=0.5),  # not all that it multiplies by
        dict(type=Gate),  # a sigmoid that is no module
        dict(type='TimmAttention', name='nl'),  # no sigmoid
        dict(type='TimmAttention', name='gca'),  # what is added as well
        dict(type='TimmAttention', name='sk'),  # branches
    ],
    ids=['half', 'function', 'none', 'added', 'branches'],
)
@torch.no_grad()
def test_tells_nothing_that_it_does_not_know(cfg):
    module = randomize(build_attention(cfg, 64, 'paper')[1]).eval()
    assert module.gates(torch.randn(2, 64, 6, 5)) == {}


def test_a_module_that_fails_keeps_no_hook():
    _, module = build_attention(dict(type=TwoGates), 8, 'paper')
    module.attention.share = None
    with pytest.raises(TypeError):
        module.gates(torch.randn(1, 8, 3, 2))
    assert not module.attention.one._forward_hooks


def test_options_reach_timm():
    module = TimmAttention(64, name='se', options=dict(rd_channels=3))
    assert module.attn.fc1.out_channels == 3
    with pytest.raises(InputError, match='rd_chanels'):
        TimmAttention(64, name='se', options=dict(rd_chanels=3))


def test_leaves_the_options_alone():
    options = dict(rd_channels=3)
    TimmAttention(64, name='se', options=options)
    assert options == dict(rd_channels=3)


def test_known_names_are_names():
    for name in TIMM_NAMES:
        assert timm_layers.get_attn(name) is not None


@pytest.mark.parametrize(
    ('name', 'match'),
    [
        ('cbma', "such as .*cbam.*; got 'cbma'"),
        ('coords', "such as .*coord.*; got 'coords'"),
        ('', "such as se, ese.*; got ''"),
    ],
)
def test_unknown_name(name, match):
    with pytest.raises(ValueError, match=match):
        TimmAttention(16, name=name)


def test_without_timm(monkeypatch):
    for loaded in [key for key in sys.modules if key.split('.')[0] == 'timm']:
        monkeypatch.setitem(sys.modules, loaded, None)
    with pytest.raises(ImportError, match='pip install timm'):
        TimmAttention(16)


@pytest.mark.parametrize('name', ['cbam', 'sk'])
def test_norms_train_on_one_value(name):
    """The norm of 'cbam' sees the map, that of 'sk' its mean."""
    module = TimmAttention(32, name=name).train()
    for size in ((1, 1), (4, 3)):
        module(torch.randn(1, 32, *size)).sum().backward()
        assert all(layer.training for layer in module.modules())
    before = [b.clone() for b in module.buffers()]
    module(torch.randn(2, 32, 4, 3))
    assert any(not torch.equal(b, a) for b, a in zip(before, module.buffers(), strict=True))


FOREIGN = {
    'Gate': dict(type=Gate),
    'ContextBlock': dict(type='ContextBlock', ratio=0.5),
    **{name: dict(type='TimmAttention', name=name) for name in ANY_SIZE},
}


@pytest.mark.parametrize('name', FOREIGN)
def test_largest_half_precision_maps(name):
    module = randomize(build_attention(FOREIGN[name], 64, 'paper')[1]).eval()
    x = 6e4 * torch.randn(2, 64, 6, 5).sign()
    assert module(x).isfinite().all()
    with torch.autocast('cpu', torch.float16):
        assert module(x).isfinite().all()
    assert module.half()(x.half()).isfinite().all()
