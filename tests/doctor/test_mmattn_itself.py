"""Python, and mmattn itself."""

import sys

import pytest

import mmattn
from mmattn.doctor import mmattn_itself
from mmattn.doctor.environment import Environment
from mmattn.doctor.mmattn_itself import check_configs, check_python
from tests.doctor.site import PIP


@pytest.mark.parametrize(
    ('version', 'state'),
    [((3, 9, 1), 'broken'), ((3, 10, 0), 'fine'), ((3, 13, 5), 'fine'), ((3, 14, 0), 'warning')],
)
def test_python(monkeypatch, version, state):
    monkeypatch.setattr(sys, 'version_info', version)
    row = check_python(Environment())
    assert (row.state, row.version) == (state, '.'.join(map(str, version)))
    assert state == 'fine' or row.remedy


def test_mmattn_is_this_one(healthy):
    row = healthy.rows()['mmattn']
    assert (row.state, row.version) == ('fine', mmattn.__version__)


def test_mmattn_cannot_be_imported(healthy):
    healthy.write({'mmattn/__init__.py': 'raise ImportError("no such name")'})
    row = healthy.rows()['mmattn']
    assert (row.state, row.remark) == (
        'broken',
        'it cannot be imported: ImportError: no such name',
    )
    assert row.remedy == f'{PIP} install --force-reinstall --no-deps mmattn==0.1.0'


def test_configs(healthy, tmp_path, monkeypatch):
    package = tmp_path / 'lib' / 'mmattn'
    monkeypatch.setattr(mmattn_itself, '_PACKAGE', package)
    row = check_configs(Environment())
    assert row.state == 'warning'
    assert row.remedy == f'{PIP} install --force-reinstall --no-deps mmattn==0.1.0'
    for home in (package.parent, package / '.mim'):
        (home / 'configs/_base_').mkdir(parents=True)
        assert check_configs(Environment()).where == str(home / 'configs')
