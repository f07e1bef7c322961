"""setuptools and mim, broken in one way at a time."""

import pytest

from tests.doctor.site import PIP

REMEDY = f"{PIP} install 'setuptools>=80,<82'"
WITH_PKG_RESOURCES = dict.fromkeys(('setuptools/__init__.py', 'pkg_resources/__init__.py'), '')


def test_stock_mmengine_without_pkg_resources(stock):
    stock.replace('setuptools', '82.0.1', {'setuptools/__init__.py': ''})
    row = stock.rows()['setuptools']
    assert row.state == 'broken'
    assert (
        row.remark == 'mmengine 0.10.7 needs pkg_resources, which setuptools 82.0.1 does not have'
    )
    assert row.remedy == REMEDY


def test_stock_mmengine_without_setuptools(stock):
    stock.remove('setuptools')
    row = stock.rows()['setuptools']
    assert (row.state, row.remedy) == ('broken', REMEDY)


@pytest.mark.parametrize('version', ['82.0.1', '90.0'])
def test_nobody_needs_pkg_resources(healthy, version):
    healthy.replace('setuptools', version, {'setuptools/__init__.py': ''})
    row = healthy.rows()['setuptools']
    assert row.state == 'warning' and 'has no pkg_resources' in row.remark
    assert row.remedy == REMEDY


def test_nobody_needs_setuptools(healthy):
    healthy.remove('setuptools')
    assert healthy.rows()['setuptools'].state == 'absent'


def test_setuptools_that_openmim_asks_for(healthy):
    healthy.replace('setuptools', '60.2.0', WITH_PKG_RESOURCES)
    row = healthy.rows()['setuptools']
    assert row.state == 'warning' and 'openmim holds it at 60.2' in row.remark
    assert row.remedy == REMEDY


@pytest.mark.parametrize(('python', 'state'), [((3, 11), 'warning'), ((3, 12), 'broken')])
def test_setuptools_that_is_older_than_python(stock, monkeypatch, python, state):
    stock.replace('setuptools', '60.2.0', WITH_PKG_RESOURCES)
    monkeypatch.setattr('sys.version_info', python)
    from mmattn.doctor.environment import Environment
    from mmattn.doctor.installers import check_setuptools

    assert check_setuptools(Environment()).state == state


def test_two_of_mim(healthy):
    healthy.add('openmim', '0.3.9', {'mim/__init__.py': ''})
    assert healthy.rows()['mim'].version == 'openmim 0.3.9'
    healthy.add('onedl-mim', '0.5.1', {'mim/__init__.py': ''})
    row = healthy.rows()['mim']
    assert row.state == 'broken'
    assert row.remedy == (
        f'{PIP} uninstall -y openmim && {PIP} install --force-reinstall --no-deps onedl-mim==0.5.1'
    )
