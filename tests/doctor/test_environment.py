"""What Python would import, found without importing it."""

import sys

import pytest

from mmattn.doctor.environment import Environment, read_literals


@pytest.mark.parametrize('name', ['onedl-mmcv', 'onedl_mmcv', 'Onedl.MMCV'])
def test_names_are_normalised(site, name):
    site.add(name, '2.3.6', {'mmcv/__init__.py': ''})
    [found] = Environment().find('mmcv')
    assert (found.name, found.version, found.folder) == ('onedl-mmcv', '2.3.6', site.folder)


def test_older_kinds_of_records(site):
    site.write(
        {
            'mmcv_full-1.7.0-py3.10.egg-info/PKG-INFO': 'Name: mmcv-full\nVersion: 1.7.0\n',
            # A file, as distutils wrote it.
            'mmdet-2.0-py3.10.egg-info': 'Name: mmdet\nVersion: 2.0\n',
        }
    )
    env = Environment()
    assert [*map(str, env.find('mmcv') + env.find('mmdet'))] == ['mmcv-full 1.7.0', 'mmdet 2.0']


@pytest.mark.parametrize('text', [None, '', 'Version: 2.0\n', '\0', 'Name'])
def test_half_a_record_is_none(site, text):
    (site.folder / 'mmcv-2.1.0.dist-info').mkdir()
    if text is not None:
        site.write({'mmcv-2.1.0.dist-info/METADATA': text})
    assert Environment().find('mmcv') == []


def test_record_without_a_version(site):
    site.write({'mmcv-2.1.0.dist-info/METADATA': 'Name: mmcv\n'})
    [found] = Environment().find('mmcv')
    assert (found.version, found.requirement) == ('?', 'mmcv')


def test_packages_of_like_names_are_others(site):
    site.add('mmcv-geo', '0.1.2', {'mmcv_geo/__init__.py': ''})
    site.add('torch-geometric', '2.6', {'torch_geometric/__init__.py': ''})
    env = Environment()
    assert env.find('mmcv') == env.find('torch') == []
    assert env.locate('mmcv') is None


def test_folder_that_stands_on_the_path_twice(site, tmp_path, monkeypatch):
    site.add_mmcv('mmcv', '2.1.0')
    (tmp_path / 'lib64').symlink_to(site.folder)
    monkeypatch.setattr(sys, 'path', [*sys.path, str(tmp_path / 'lib64'), '/no/such/folder'])
    assert len(Environment().find('mmcv')) == 1


def test_code_is_what_counts(site):
    env = Environment()
    site.write({'mmcv/_ext.so': ''})
    assert env.locate('mmcv') is None
    site.write({'mmcv/__init__.py': ''})
    assert env.locate('mmcv') == site.folder / 'mmcv'


def test_what_was_imported_already_does_not_count(site):
    assert 'pytest' in sys.modules
    assert Environment().locate('pytest') is None


def test_finder_that_fails(site, monkeypatch):
    class Broken:
        def find_spec(self, *args):
            raise FileNotFoundError

    monkeypatch.setattr(sys, 'meta_path', [Broken(), *sys.meta_path])
    site.add_mmcv('mmcv', '2.1.0')
    assert Environment().locate('mmcv') == site.folder / 'mmcv'


def test_version_of_the_files_comes_first(site):
    site.add('torch', '2.1.2', {'torch/__init__.py': ''})
    assert Environment().version('torch') == '2.1.2'
    site.write({'torch/version.py': "__version__: str = '2.1.2+cpu'"})
    assert Environment().version('torch') == '2.1.2+cpu'
    # As the forks do.
    site.write({'torch/version.py': "__version__ = version('torch')"})
    assert Environment().version('torch') == '2.1.2'
    assert Environment().version('mmcv') is None


@pytest.mark.parametrize('text', ['oh no', 'x = 1', '\0', '(' * 500, '__version__ = (1, 2)'])
def test_files_that_say_nothing(tmp_path, text):
    (tmp_path / 'x.py').write_text(text)
    assert read_literals(tmp_path / 'x.py') == {}
    assert read_literals(tmp_path / 'none.py') == {}
