"""mmengine, mmcv and what is built on them, broken in one way at a time."""

import shutil
import sys

import pytest

from tests.doctor.site import BOUNDS, BUILD, PIP, Site

REINSTALL = f'{PIP} install --force-reinstall --no-deps'
COMPILE = f'{BUILD} && {REINSTALL} --no-build-isolation --no-cache-dir'
STOCK_MMCV = "--no-build-isolation 'mmcv>=2.0.0,<2.2.0' 'numpy<2' 'opencv-python<4.12'"


def broken(rows):
    return [name for name, row in rows.items() if row.state == 'broken']


def test_forks_over_stock_packages(stock):
    stock.add_mmengine('onedl-mmengine', '0.10.12')
    stock.add_mmcv('onedl-mmcv', '2.3.6')
    rows = stock.rows()
    assert {'mmengine', 'mmcv'} <= {*broken(rows)}
    assert rows['mmcv'].remark == (
        f'mmcv 2.1.0 and onedl-mmcv 2.3.6 share the folder {stock.folder / "mmcv"}, and the last '
        'one installed has overwritten the files of the other'
    )
    for name in ('mmengine', 'mmcv'):
        assert rows[name].remedy == (
            f'{PIP} uninstall -y onedl-mmengine onedl-mmcv && {COMPILE} mmengine==0.10.7 '
            'mmcv==2.1.0'
        )


def test_stock_package_over_a_fork(healthy):
    healthy.add_mmcv('mmcv', '2.1.0')
    rows = healthy.rows()
    assert broken(rows) == ['mmcv']
    assert rows['mmcv'].remedy == f'{PIP} uninstall -y mmcv && {COMPILE} onedl-mmcv==2.3.6'


@pytest.mark.parametrize(
    ('name', 'version', 'kept'),
    [
        ('mmcv-lite', '2.1.0', 'mmcv==2.1.0'),
        ('mmcv-full', '1.7.2', 'mmcv==2.1.0'),
        # Nobody has heard of it, but its files say where they lie.
        ('mmcv-open2', '2.1.0', 'mmcv==2.1.0'),
    ],
)
def test_two_of_one_set(stock, name, version, kept):
    stock.add_mmcv(name, version)
    row = stock.rows()['mmcv']
    assert row.state == 'broken' and f'mmcv 2.1.0 and {name} {version} share' in row.remark
    assert row.remedy == f'{PIP} uninstall -y {name} && {COMPILE} {kept}'


def test_two_of_what_is_built_on_them(healthy):
    healthy.add_scope('mmsegmentation', '1.2.2', 'mmseg')
    row = healthy.rows()['mmseg']
    assert row.state == 'broken' and 'mmsegmentation 1.2.2 and onedl-mmsegmentation' in row.remark
    assert row.remedy == (
        f'{PIP} uninstall -y onedl-mmsegmentation && {REINSTALL} mmsegmentation==1.2.2'
    ) or row.remedy == (
        f'{PIP} uninstall -y mmsegmentation && {REINSTALL} onedl-mmsegmentation==1.4.2'
    )


@pytest.mark.parametrize(('name', 'version'), [('mmcv-full', '1.7.2'), ('mmcv', '1.6.0')])
def test_mmcv_of_the_first_generation(stock, name, version):
    stock.remove('mmcv')
    stock.add_mmcv(name, version)
    row = stock.rows()['mmcv']
    assert row.state == 'broken' and f'{name} {version} is mmcv 1.x' in row.remark
    assert row.remedy == f'{PIP} uninstall -y {name} && {BUILD} && {PIP} install {STOCK_MMCV}'


def test_files_went_with_another_distribution(stock):
    stock.add_mmengine('onedl-mmengine', '0.10.12')
    stock.add_mmcv('onedl-mmcv', '2.3.6')
    stock.remove('onedl-mmengine')
    stock.remove('onedl-mmcv')
    stock.write({'mmcv/_ext.so': ''})
    rows = stock.rows()
    assert 'mmengine 0.10.7 is recorded as installed, but its folder' in rows['mmengine'].remark
    assert rows['mmengine'].remedy == f'{REINSTALL} mmengine==0.10.7'
    assert 'mmcv holds no package, as after uninstalling' in rows['mmcv'].remark
    assert rows['mmcv'].remedy == f'{COMPILE} mmcv==2.1.0'
    # What cannot be imported for it is not held against others.
    assert not {'mmdet', 'mmseg', 'mmattn'} & {*broken(rows)}
    assert rows['mmattn'].state == 'not known'


def test_missing_altogether(stock):
    stock.remove('mmcv')
    row = stock.rows()['mmcv']
    assert (row.state, row.remark) == ('broken', 'not installed; needed for all of mmattn')
    assert row.remedy == f'{BUILD} && {PIP} install {STOCK_MMCV}'


def test_some_files_are_gone(healthy):
    (healthy.folder / 'mmcv/cnn/__init__.py').unlink()
    row = healthy.rows()['mmcv']
    assert row.state == 'broken'
    assert row.remark == '1 of the 6 files of onedl-mmcv 2.3.6 are gone, as mmcv/cnn/__init__.py'
    assert row.remedy == f'{COMPILE} onedl-mmcv==2.3.6'


def test_files_of_another_version(stock):
    stock.write({'mmcv/version.py': "__version__ = '2.3.6'"})
    row = stock.rows()['mmcv']
    assert row.state == 'broken'
    assert (
        row.remark == 'mmcv 2.1.0 is recorded as installed, but its files say that they are 2.3.6'
    )


def test_fork_beside_an_older_torch(healthy):
    healthy.remove('torch')
    healthy.remove('torchvision')
    healthy.add_torch('2.1.2', '+cu121', '12.1', '0.16.2')
    row = healthy.rows()['mmengine']
    assert row.state == 'broken'
    assert 'onedl-mmengine 0.10.12 needs torch 2.3 or newer, and torch is 2.1.2' in row.remark
    assert row.remedy == (
        f"{PIP} uninstall -y onedl-mmengine && {PIP} install 'mmengine>=0.10.7,<1' 'numpy<2' "
        "'opencv-python<4.12'"
    )


@pytest.mark.parametrize('package', ['mmdet', 'mmseg'])
def test_newer_mmcv_than_a_package_takes(stock, package):
    stock.remove('mmcv')
    stock.add_mmcv('mmcv', '2.2.0')
    row = stock.rows()[package]
    assert row.state == 'broken'
    assert row.remark.endswith('wants mmcv >=2.0.0rc4 and <2.2.0, and mmcv is 2.2.0')
    assert row.remedy == (
        f"{BUILD} && {PIP} install --no-deps --no-build-isolation 'mmcv>=2.0.0rc4,<2.2.0'"
    )


@pytest.mark.parametrize('version', ['2.0.0rc4', '2.0.0', '2.1.0+cu118', '2.2.0rc1'])
def test_mmcv_that_a_package_takes(stock, version):
    stock.remove('mmcv')
    stock.add_mmcv('mmcv', version)
    assert stock.rows()['mmdet'].state == 'fine'


def test_older_mmengine_than_a_package_takes(stock):
    stock.remove('mmengine')
    stock.add_mmengine('mmengine', '0.6.0')
    row = stock.rows()['mmdet']
    assert 'mmdet 3.3.0 wants mmengine >=0.7.1 and <1.0.0, and mmengine is 0.6.0' in row.remark
    assert row.remedy == f"{PIP} install --no-deps 'mmengine>=0.7.1,<1.0.0'"


def test_fork_of_mmcv_beneath_stock_packages(stock):
    stock.remove('mmcv')
    stock.add_mmcv('onedl-mmcv', '2.3.6')
    row = stock.rows()['mmdet']
    assert row.remedy == (
        f'{PIP} uninstall -y onedl-mmcv && {BUILD} && {PIP} install --no-deps '
        "--no-build-isolation 'mmcv>=2.0.0rc4,<2.2.0'"
    )


def test_stock_package_upon_forks(healthy):
    healthy.remove('onedl-mmdetection')
    healthy.add_scope('mmdet', '3.3.0', 'mmdet', BOUNDS)
    row = healthy.rows()['mmdet']
    assert row.state == 'broken' and 'and mmcv is 2.3.6' in row.remark
    assert row.remedy == f'{PIP} uninstall -y mmdet && {PIP} install onedl-mmdetection'


def test_import_that_fails(healthy):
    healthy.write({'mmseg/__init__.py': 'raise AssertionError("first\\nsecond")'})
    row = healthy.rows()['mmseg']
    assert (row.state, row.remark) == ('broken', 'it cannot be imported: AssertionError: first')
    assert row.remedy == f'{REINSTALL} onedl-mmsegmentation==1.4.2'


def test_without_the_configs_of_a_package(healthy):
    (healthy.folder / 'mmseg/.mim/configs/x.py').unlink()
    (healthy.folder / 'mmseg/.mim/configs').rmdir()
    row = healthy.rows()['mmseg']
    assert row.state == 'warning' and 'configs by mmseg::NAME are not found' in row.remark
    assert row.remedy == f'{REINSTALL} onedl-mmsegmentation==1.4.2'


def lay_mmcv_without_ops(site, name, version):
    site.remove('mmcv' if site.folder.joinpath(f'mmcv-{version}.dist-info').exists() else name)
    site.add_mmcv(name, version, ops=False)


@pytest.mark.parametrize(
    ('kind', 'name', 'version', 'state', 'remark'),
    [
        ('stock', 'mmcv', '2.1.0', 'broken', 'the compiled ops of mmcv 2.1.0 are missing'),
        (
            'stock',
            'mmcv-lite',
            '2.1.0',
            'broken',
            'mmdet and mmseg cannot do without the ops of mmcv',
        ),
        (
            'healthy',
            'onedl-mmcv',
            '2.3.6',
            'warning',
            'mmdet cannot do without the ops of mmcv',
        ),
    ],
)
def test_ops_are_missing(request, kind, name, version, state, remark):
    site = request.getfixturevalue(kind)
    lay_mmcv_without_ops(site, name, version)
    row = site.rows()['mmcv._ext']
    assert (row.state, row.remark) == (state, remark)
    kept = 'mmcv' if name == 'mmcv-lite' else name
    assert row.remedy.endswith(f'--no-cache-dir {kept}=={version}')


def test_nobody_misses_the_ops(healthy):
    healthy.remove('onedl-mmdetection')
    lay_mmcv_without_ops(healthy, 'onedl-mmcv', '2.3.6')
    rows = healthy.rows()
    assert rows['mmcv._ext'].state == 'absent' and not broken(rows)


@pytest.mark.parametrize(
    ('file', 'text'),
    [
        ('mmcv/_ext.py', 'raise ImportError("/x/_ext.so: undefined symbol: _ZN2at4_ops")'),
        ('mmcv/ops/__init__.py', 'raise AssertionError("nms miss in module _ext")'),
    ],
    ids=['another torch', 'another mmcv'],
)
def test_ops_of_another_build(stock, file, text):
    stock.write({file: text})
    rows = stock.rows()
    assert broken(rows) == ['mmcv._ext']
    row = rows['mmcv._ext']
    assert row.remark.endswith('; the ops are those of another mmcv or torch')
    assert row.remedy == f'{COMPILE} mmcv==2.1.0'


def test_ops_without_cuda_beside_a_gpu(healthy):
    healthy.write(
        {
            'torch/cuda.py': 'is_available = lambda: True\n',
            'torch/__init__.py': 'from torch import cuda\n',
            'mmcv/ops/__init__.py': "get_compiling_cuda_version = lambda: 'not available'\n",
        }
    )
    row = healthy.rows()['mmcv._ext']
    assert row.state == 'warning' and 'compiled without CUDA' in row.remark
    assert f'&& FORCE_CUDA=1 {REINSTALL} --no-build-isolation' in row.remedy


def test_another_one_further_back_on_the_path_does_no_harm(healthy, tmp_path, monkeypatch):
    (tmp_path / 'system').mkdir()
    system = Site(tmp_path / 'system' / 'site', monkeypatch)
    system.add_mmcv('mmcv', '2.1.0')
    monkeypatch.setattr(sys, 'path', [str(healthy.folder), *sys.path])
    row = healthy.rows()['mmcv']
    assert (row.state, row.version) == ('fine', 'onedl-mmcv 2.3.6')
    assert row.remark == f'it hides mmcv 2.1.0 in {system.folder}'
    # But one without a folder of its own has lost it to the other.
    shutil.rmtree(system.folder / 'mmcv')
    row = healthy.rows()['mmcv']
    assert row.state == 'broken' and 'onedl-mmcv 2.3.6 and mmcv 2.1.0 share' in row.remark
