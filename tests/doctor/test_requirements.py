"""The check before the import: one line, what is wrong and what to do."""

import pytest

from mmattn.doctor.environment import Environment
from mmattn.doctor.requirements import find_fault
from tests.doctor.site import BUILD, PIP

REINSTALL = f'{PIP} install --force-reinstall --no-deps'


def fault():
    found = find_fault(Environment())
    assert found is None or '\n' not in found
    return found


def test_nothing_is_wrong(healthy):
    assert fault() is None


def test_neither_is_installed(site):
    assert fault() == (
        'mmattn needs mmengine and mmcv, not installed here (mmattn doctor tells more); '
        f'to repair: {PIP} install onedl-mmengine onedl-mmcv'
    )


def test_torch_is_not_installed(healthy):
    healthy.remove('torch')
    assert fault().startswith('mmattn needs torch, not installed here (')
    assert fault().endswith(f': {PIP} install torch torchvision')


def test_one_is_not_installed(site):
    site.write({'torch/__init__.py': ''})
    site.add_mmengine('mmengine', '0.10.7')
    assert fault().endswith(f": {BUILD} && {PIP} install --no-build-isolation 'mmcv>=2.0.0,<2.2.0'")
    site.add_mmcv('mmcv-lite', '2.1.0', ops=False)
    assert fault() is None
    site.remove('mmengine')
    site.add_mmcv('onedl-mmcv', '2.3.6')
    site.remove('mmcv-lite')
    assert fault().endswith(f': {PIP} install onedl-mmengine')


def test_a_folder_that_nobody_has_recorded_will_do(site):
    files = [f'{package}/__init__.py' for package in ('torch', 'mmengine', 'mmcv')]
    site.write(dict.fromkeys(files, ''))
    assert fault() is None


@pytest.mark.parametrize('other', ['mmcv', 'mmcv-lite', 'mmcv-full', 'mmcv_open'])
def test_two_share_mmcv(healthy, other):
    healthy.add_mmcv(other, '2.1.0')
    name = other.replace('_', '-')
    assert f'{name} 2.1.0 and onedl-mmcv 2.3.6 share the folder {healthy.folder}/mmcv' in fault()
    assert f': {PIP} uninstall -y {name} && ' in fault()
    assert fault().endswith('onedl-mmcv==2.3.6')


@pytest.mark.parametrize('other', ['mmengine', 'mmengine-lite'])
def test_two_share_mmengine(healthy, other):
    healthy.add_mmengine(other, '0.10.7')
    assert fault().endswith(f': {PIP} uninstall -y {other} && {REINSTALL} onedl-mmengine==0.10.12')


def test_several_share(stock):
    stock.add_mmcv('mmcv-lite', '2.1.0')
    stock.add_mmcv('onedl-mmcv', '2.3.6')
    assert 'mmcv 2.1.0, mmcv-lite 2.1.0 and onedl-mmcv 2.3.6 share' in fault()
    assert f'uninstall -y mmcv-lite onedl-mmcv && {BUILD} && ' in fault()


def test_stock_packages_are_kept_where_nothing_is_built_on_either(site):
    site.add_mmengine('mmengine', '0.10.7')
    site.add_mmengine('onedl-mmengine', '0.10.12')
    site.add_mmcv('mmcv', '2.1.0')
    site.add_mmcv('onedl-mmcv', '2.3.6')
    assert f'uninstall -y onedl-mmengine onedl-mmcv && {BUILD}' in fault()


def test_mmcv_1(stock):
    stock.remove('mmcv')
    stock.add_mmcv('mmcv-full', '1.7.2')
    assert fault().startswith('mmcv-full 1.7.2 is mmcv 1.x, which does not go with mmengine')


def test_folder_is_gone(stock):
    stock.add_mmengine('onedl-mmengine', '0.10.12')
    stock.remove('onedl-mmengine')
    assert fault().endswith(f': {REINSTALL} mmengine==0.10.7')


def test_repair_repairs(stock):
    """The files stand there again after what pip does when the command is given."""
    stock.add_mmengine('onedl-mmengine', '0.10.12')
    stock.add_mmcv('onedl-mmcv', '2.3.6')
    stock.remove('onedl-mmengine')
    stock.remove('onedl-mmcv')
    assert fault()
    stock.remove('mmengine')
    stock.add_mmengine('mmengine', '0.10.7')
    assert fault()
    stock.remove('mmcv')
    stock.add_mmcv('mmcv', '2.1.0')
    assert fault() is None
