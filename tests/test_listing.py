import pytest
from mmengine.registry import MODELS, Registry

from mmattn import KINDS, list_modules
from mmattn.attention.base import Attention
from mmattn.backbones.base import Backbone
from mmattn.fusion.base import Fusion
from mmattn.upsampling.base import Upsampling


def test_lists_exactly_what_is_registered():
    registered = {
        name for name, cls in MODELS.module_dict.items() if cls.__module__.startswith('mmattn.')
    }
    assert set(list_modules()) == registered


def test_kinds():
    assert 'CoordAtt' in list_modules('attention')
    assert 'VAN' in list_modules('backbone')
    assert sum(len(list_modules(kind)) for kind in KINDS) == len(list_modules())
    with pytest.raises(
        ValueError,
        match="one of attention, fusion, upsampling, backbone, neck, head, insertion, got 'heads'",
    ):
        list_modules('heads')


@pytest.mark.parametrize(
    ('kind', 'base'),
    [
        ('attention', Attention),
        ('fusion', Fusion),
        ('upsampling', Upsampling),
        ('backbone', Backbone),
    ],
)
def test_lists_what_other_packages_register(monkeypatch, kind, base):
    outside = type('Outside', (base,), {})
    theirs = Registry('model', scope='theirs', locations=['theirs'])
    theirs.register_module(module=outside)
    before = list_modules()
    monkeypatch.setitem(MODELS.module_dict, 'Outside', outside)
    monkeypatch.setitem(MODELS.children, 'theirs', theirs)
    new = {'Outside', 'theirs.Outside'}
    assert set(list_modules(kind)) - {*KINDS[kind]} == new
    assert set(list_modules()) - set(before) == new
    assert not any(new & set(list_modules(other)) for other in KINDS if other != kind)
    assert list_modules() == sorted(list_modules(), key=str.lower)
