import pytest

from mmattn.errors import InputError
from mmattn.layers.packages import import_optional, installation


def test_a_missing_package_is_named_with_its_user_and_its_remedy():
    with pytest.raises(ImportError, match='^A needs no_such: pip install no_such$') as caught:
        import_optional('no_such.part', 'A')
    assert isinstance(caught.value, InputError)


def test_what_is_missing_inside_a_package_speaks_for_itself():
    with pytest.raises(ModuleNotFoundError, match="No module named 'mmattn.no_such'") as caught:
        import_optional('mmattn.no_such', 'A')
    assert not isinstance(caught.value, InputError)


@pytest.mark.parametrize('extra', ['det', 'seg', 'cls'])
def test_extras_exist(extra):
    """Whatever the table says, the package metadata have to know."""
    from importlib.metadata import metadata

    packages = dict(det='mmdet', seg='mmseg', cls='mmpretrain')
    assert f'mmattn[{extra}]' in installation(packages[extra])
    assert extra in metadata('mmattn').get_all('Provides-Extra')
