"""All checks together: where nothing is wrong, and what a report looks like."""

import json
import shutil

import pytest

from mmattn.doctor import report
from mmattn.doctor.report import as_json, as_table, examine, is_broken
from mmattn.doctor.row import Row
from tests.doctor.site import PIP

NAMES = """Python mmattn configs numpy opencv torch torchvision GPU NCCL
mmengine mmcv mmcv._ext mmdet mmseg mmpretrain setuptools mim timm safetensors panopticapi
cores memory /dev/shm disk""".split()
# This machine and this Python are no stubs.
OF_THE_MACHINE = {'GPU', 'Python', 'cores', 'memory', '/dev/shm', 'disk'}


@pytest.mark.parametrize('kind', ['healthy', 'stock'])
def test_nothing_is_wrong(kind, request):
    rows = request.getfixturevalue(kind).rows()
    assert [*rows] == NAMES
    states = {name: row.state for name, row in rows.items() if name not in OF_THE_MACHINE}
    absent = {'healthy': {'mim'}, 'stock': {'mim', 'NCCL'}}[kind]
    assert {name for name, state in states.items() if state == 'absent'} == absent
    assert {states[name] for name in states.keys() - absent} == {'fine'}
    assert not is_broken(rows.values())


def test_says_what_is_not_needed_by_everybody(healthy):
    for name in ('panopticapi-lite', 'timm', 'onedl-mmpretrain'):
        healthy.remove(name)
    rows = healthy.rows()
    assert not is_broken(rows.values())
    assert [rows[name].state for name in ('panopticapi', 'timm', 'mmpretrain')] == ['absent'] * 3
    assert rows['panopticapi'].remark == 'needed for panoptic segmentation'
    assert rows['panopticapi'].remedy == f'{PIP} install --no-deps panopticapi-lite platformdirs'
    assert rows['mmpretrain'].remark == 'not installed; needed for classification'
    assert rows['mmpretrain'].remedy == f'{PIP} install onedl-mmpretrain'


def test_nothing_is_installed(site):
    rows = site.rows()
    broken = ['numpy', 'opencv', 'torch', 'mmengine', 'mmcv']
    assert [name for name, row in rows.items() if row.state == 'broken'] == broken
    assert all(rows[name].remedy.startswith(f'{PIP} install ') for name in broken)


def test_a_check_that_fails_is_a_row_and_the_others_are_made(site, monkeypatch):
    def check_numpy(env):
        raise OSError('odd')

    monkeypatch.setattr(report, '_CHECKS', (check_numpy, *report._CHECKS[-1:]))
    odd, disk = examine(1)
    assert odd == Row('numpy', 'not known', remark='OSError: odd')
    assert disk.name == 'disk'


def test_json_has_every_key():
    row = Row('numpy', 'broken', '2.0', '/x', 'too new', "pip install 'numpy<2'")
    read = json.loads(as_json([row, Row('GPU', 'absent')]))
    assert read == {
        'broken': True,
        'rows': [
            {
                'name': 'numpy',
                'state': 'broken',
                'version': '2.0',
                'where': '/x',
                'remark': 'too new',
                'remedy': "pip install 'numpy<2'",
            },
            {
                'name': 'GPU',
                'state': 'absent',
                'version': None,
                'where': None,
                'remark': None,
                'remedy': None,
            },
        ],
    }


@pytest.mark.parametrize(('columns', 'width'), [(40, 80), (100, 100), (300, 120)])
def test_table_fits_and_leaves_commands_whole(monkeypatch, columns, width):
    monkeypatch.setenv('COLUMNS', str(columns))
    remedy = 'pip install ' + ' '.join(f'package-{n}==1.0' for n in range(20))
    rows = [
        Row('mmcv', 'broken', 'mmcv 2.1.0', '/a/very/long' * 20, 'word ' * 60, remedy),
        Row('opencv', 'fine', ', '.join(['opencv-python-headless 4.12.0.88'] * 4), 'lib'),
        Row('mim', 'absent'),
    ]
    lines = as_table(rows).splitlines()
    assert f'    {remedy}' in lines
    assert max(len(line) for line in lines if remedy not in line) <= width
    assert lines[0].split()[:4] == ['mmcv', 'broken', 'mmcv', '2.1.0']
    assert lines[-1] == 'broken: mmcv; absent: mim'


def test_table_of_nothing_wrong():
    assert as_table([Row('numpy', 'fine', '2.2')]).splitlines()[-1] == 'All is fine.'


@pytest.mark.parametrize('name', ['numpy', 'torch', 'torchvision', 'timm', 'mmengine'])
def test_recorded_and_gone(healthy, name):
    shutil.rmtree(healthy.folder / name)
    row = healthy.rows()[name]
    assert row.state == 'broken' and f'its folder {healthy.folder / name} is gone' in row.remark
    assert f'{PIP} install --force-reinstall --no-deps' in row.remedy


def test_records_alone_tell_what_does_not_go_together(site):
    site.add('torch', '2.1.2+cpu')
    site.add('torchvision', '0.16.2+cu118')
    site.add('numpy', '2.4.6')
    site.add('opencv-python', '5.0.0.93')
    site.add('setuptools', '82.0.1')
    rows = site.rows()
    assert 'is built for numpy 1' in rows['numpy'].remark
    assert rows['torchvision'].remark == 'it is a build for cu118, and torch is one for cpu'
    assert rows['setuptools'].state == 'warning'
    site.replace('numpy', '1.26.4')
    assert 'asks for numpy 2' in site.rows()['opencv'].remark
