import pytest
from mmengine.registry import MODELS

from mmattn import KINDS, list_modules


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
        ValueError, match="one of attention, fusion, backbone, neck, head, insertion, got 'heads'"
    ):
        list_modules('heads')
