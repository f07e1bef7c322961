"""``mmattn::PATH``, and the same for scripts that mmattn has no part in."""

import contextlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

import mmattn
from mmattn.engine import shipped_configs
from mmattn.engine.config import load_config
from mmattn.engine.shipped_configs import config_path
from mmattn.errors import InputError
from tests.configs.leaves import LISTED

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
CONFIG = 'seg/upernet_van_b0_ade20k.py'


def write(folder, text):
    path = folder / 'config.py'
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize('path', LISTED, ids=lambda path: path.stem)
def test_every_config_has_a_path(path):
    name = path.relative_to(CONFIGS).as_posix()
    assert config_path(name) == config_path(f'mmattn::{name}') == str(path)


def test_a_config_by_its_name():
    cfg = load_config(f'mmattn::{CONFIG}', {'work_dir': 'x'})
    assert cfg.filename == str(CONFIGS / CONFIG)
    expected = Config.fromfile(CONFIGS / CONFIG)
    expected.work_dir = 'x'
    assert cfg.to_dict() == expected.to_dict()


@pytest.mark.parametrize('form', ["['mmattn::{}']", "'mmattn::{}'", "['./more.py', 'mmattn::{}']"])
def test_a_base_is_that_config_without_a_scope(tmp_path, form):
    (tmp_path / 'more.py').write_text('more = 1')
    text = f'_base_ = {form.format(CONFIG)}\nmodel = dict(backbone=dict(drop_path_rate=0.5))'
    cfg = load_config(write(tmp_path, f'{text}\nhead = {{{{_base_.model.decode_head}}}}'))
    expected = Config.fromfile(CONFIGS / CONFIG).to_dict()
    expected['model']['backbone']['drop_path_rate'] = 0.5
    got = cfg.to_dict()
    assert got.pop('more', 1) == 1 and got.pop('head') == expected['model']['decode_head']
    assert got == expected


def test_a_base_of_a_base_and_of_a_data_file(tmp_path):
    (tmp_path / 'middle.yml').write_text('_base_: mmattn::_base_/models/upernet_van.py\n')
    cfg = load_config(write(tmp_path, "_base_ = 'middle.yml'"))
    assert cfg.model.backbone.type == 'VAN' and '_scope_' not in cfg.model


def test_bases_of_other_packages_are_found_as_before(tmp_path):
    if importlib.util.find_spec('mmdet') is None:
        pytest.skip('mmdet is not installed')
    text = "_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py', 'mmattn::_base_/runtime/det.py']"
    cfg = load_config(write(tmp_path, text))
    assert cfg.model._scope_ == 'mmdet' and cfg.default_scope == 'mmdet'


@pytest.mark.parametrize('text', ["_base_ = 'mmattn::{}'", "_base_ = 'mmattn::x'", 'a = ('])
def test_mmengine_is_left_as_it_was(tmp_path, text):
    before = vars(Config)['_get_cfg_path'].__func__
    with contextlib.suppress(InputError):
        load_config(write(tmp_path, text.format(CONFIG)))
    assert vars(Config)['_get_cfg_path'].__func__ is before


@pytest.mark.parametrize(
    ('name', 'meant'),
    [
        ('seg/upernet_van_b0_ade20k', 'mmattn::seg/upernet_van_b0_ade20k.py'),
        ('upernet_van_b0_ade20k.py', 'mmattn::seg/upernet_van_b0_ade20k.py'),
        ('det/upernet_van_b0_ade20k.py', 'mmattn::seg/upernet_van_b0_ade20k.py'),
        ('_base_/models/upernet_vna.py', 'mmattn::_base_/models/upernet_van.py'),
        ('../setup.py', None),
        ('seg', None),
        ('', None),
    ],
)
def test_no_such_config(tmp_path, name, meant):
    line = f'mmattn::{name} is no config in {CONFIGS}'
    line += f'; did you mean {meant}' if meant else ''
    with pytest.raises(InputError) as raised:
        load_config(f'mmattn::{name}')
    assert str(raised.value).startswith(line) and len(str(raised.value).splitlines()) == 1
    path = write(tmp_path, f"_base_ = ['mmattn::{name}']")
    with pytest.raises(InputError) as raised:
        load_config(path)
    assert str(raised.value).startswith(f'config {path} has a base that cannot be found: {line}')
    assert meant is not None or 'did you mean' not in str(raised.value)


def test_former_names_work_and_are_not_proposed():
    assert Path(config_path('seg/upernet_r50_gc_ade20k.py')).is_file()
    with pytest.raises(InputError) as raised:
        config_path('seg/upernet_r50_gcc_ade20k.py')
    assert 'upernet_r50_gc_ade20k' not in str(raised.value)
    assert 'upernet_r50-se_ade20k.py' in str(raised.value)


def test_a_package_without_configs(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped_configs, 'HOMES', (tmp_path / 'a', tmp_path / 'b'))
    with pytest.raises(InputError, match=f'neither in {tmp_path}/a nor in {tmp_path}/b; work in'):
        load_config(f'mmattn::{CONFIG}')


def test_configs_inside_the_package_come_first(monkeypatch, tmp_path):
    for home in ('inside', 'beside'):
        (tmp_path / home / 'configs/_base_').mkdir(parents=True)
        (tmp_path / home / 'configs/a.py').write_text(f'home = {home!r}')
    monkeypatch.setattr(shipped_configs, 'HOMES', (tmp_path / 'inside', tmp_path / 'beside'))
    assert load_config('mmattn::a.py').home == 'inside'


@pytest.mark.parametrize('package', ['mmdet', 'mmseg', 'mmpretrain'])
def test_stock_scripts_take_the_path(tmp_path, package):
    """With the line of docs/configs.md, and mmattn imported by nothing but the config."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f'{package} is not installed')
    [line] = {
        line
        for line in (ROOT / 'docs' / 'configs.md').read_text().splitlines()
        if '.config_path(' in line and line.startswith('_base_')
    }
    path = write(tmp_path, f'{line}\nmodel = dict(backbone=dict(drop_path_rate=0.625))')
    script = Path(spec.origin).parent / '.mim' / 'tools' / 'misc' / 'print_config.py'
    env = {**os.environ, 'PYTHONPATH': str(Path(mmattn.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, script, path], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'drop_path_rate=0.625' in done.stdout and "type='VAN'" in done.stdout
    assert "_scope_='mmattn'" not in done.stdout
