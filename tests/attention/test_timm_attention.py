import sys

import pytest
import torch

from mmattn.attention.timm_attention import KNOWN, TimmAttention
from tests.helpers import randomize

timm_layers = pytest.importorskip('timm.layers', reason='timm is not installed')

# Those that serve any size as they are; 'ge' is broken in timm 1.0.
ANY_SIZE = ['se', 'ese', 'eca', 'ecam', 'ceca', 'gc', 'gca', 'cbam', 'lcbam', 'coord', 'ela', 'nl']


@pytest.mark.parametrize('name', ANY_SIZE)
def test_computes_what_timm_does(name):
    theirs = randomize(timm_layers.create_attn(name, 64)).eval()
    module = TimmAttention(64, name=name).eval()
    module.attn.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 64, 6, 5)
    assert torch.equal(module(x), theirs(x))


def test_options_reach_timm():
    module = TimmAttention(64, name='se', options=dict(rd_channels=3))
    assert module.attn.fc1.out_channels == 3
    with pytest.raises(TypeError, match='rd_chanels'):
        TimmAttention(64, name='se', options=dict(rd_chanels=3))


def test_leaves_the_options_alone():
    options = dict(rd_channels=3)
    TimmAttention(64, name='se', options=options)
    assert options == dict(rd_channels=3)


def test_known_names_are_names():
    for name in KNOWN:
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


def test_changed_shape():
    module = TimmAttention(16, name='sk', options=dict(out_channels=32)).eval()
    with pytest.raises(ValueError, match=r"'sk' to keep the shape \(2, 16, 4, 4\), got \(2, 32"):
        module(torch.randn(2, 16, 4, 4))


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


@pytest.mark.parametrize('name', ANY_SIZE)
def test_largest_half_precision_maps(name):
    module = randomize(TimmAttention(64, name=name)).eval()
    x = 6e4 * torch.randn(2, 64, 6, 5).sign()
    assert module(x).isfinite().all()
    with torch.autocast('cpu', torch.float16):
        assert module(x).isfinite().all()
    assert module.half()(x.half()).isfinite().all()
