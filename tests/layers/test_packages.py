import importlib
import importlib.metadata
import sys
import types

import pytest

from mmattn.errors import InputError
from mmattn.layers import packages
from mmattn.layers.packages import explain_missing_ops, import_optional, installation


def test_a_missing_package_is_named_with_its_user_and_its_remedy():
    with pytest.raises(ImportError, match='^A needs no_such: pip install no_such$') as caught:
        import_optional('no_such.part', 'A')
    assert isinstance(caught.value, InputError)


def test_what_is_missing_inside_a_package_speaks_for_itself():
    with pytest.raises(ModuleNotFoundError, match="No module named 'mmattn.no_such'") as caught:
        import_optional('mmattn.no_such', 'A')
    assert not isinstance(caught.value, InputError)


NAMES = dict(det='mmdet', seg='mmseg', cls='mmpretrain')


@pytest.mark.parametrize('extra', ['det', 'seg', 'cls'])
def test_extras_exist(extra, monkeypatch):
    """Whatever the table says, the package metadata have to know."""
    monkeypatch.setattr(packages, '_is_stock', lambda: False)
    assert f"'mmattn[{extra}]' (onedl-mm" in installation(NAMES[extra])
    try:
        metadata = importlib.metadata.metadata('mmattn')
    except importlib.metadata.PackageNotFoundError:
        pytest.skip('mmattn runs from a checkout that is not installed')
    assert extra in metadata.get_all('Provides-Extra')


def install(folder, *names):
    for name in names:
        info = folder / f'{name.replace("-", "_")}-1.0.dist-info'
        info.mkdir(parents=True)
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n')


@pytest.mark.parametrize(
    ('installed', 'expected'),
    [
        (['mmengine'], 'mmdet'),
        (['onedl-mmengine'], "'mmattn[det]' (onedl-mmdetection)"),
        (['mmengine', 'onedl-mmengine'], "'mmattn[det]' (onedl-mmdetection)"),
    ],
    ids=' '.join,
)
def test_no_fork_is_recommended_over_a_stock_package(installed, expected, tmp_path, monkeypatch):
    install(tmp_path, *installed)
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    assert installation('mmdet') == expected
    assert installation('timm') == 'timm'


def test_ops_that_are_missing_are_told_with_who_needs_them(tmp_path, monkeypatch):
    names = ('one_that_needs', 'one_that_imports', 'nobody')
    monkeypatch.setattr(packages, '_OPENMMLAB', dict.fromkeys(names[:2]))
    for name in names:
        (tmp_path / f'{name}.py').write_text('import mmcv._ext')
    # One that imports another is not to blame.
    (tmp_path / 'one_that_imports.py').write_text('import one_that_needs')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, 'mmcv', types.ModuleType('mmcv'))
    monkeypatch.delitem(sys.modules, 'mmcv._ext', raising=False)
    sys.modules['mmcv'].__path__ = []
    for name, user in zip(names, ('one_that_needs', 'one_that_needs', 'this'), strict=True):
        with pytest.raises(ModuleNotFoundError) as caught:
            importlib.import_module(name)
        line = explain_missing_ops(caught.value)
        assert line.startswith(f'{user} needs the compiled ops of mmcv (mmcv._ext), which are not')
        assert '\n' not in line
    for other in (ModuleNotFoundError('x', name='mmcv'), ImportError('x', name='mmcv._ext')):
        assert explain_missing_ops(other) is None
