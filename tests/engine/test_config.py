import importlib.util
import warnings

import pytest

from mmattn.engine.config import load_config
from mmattn.errors import InputError


def write(tmp_path, text):
    path = tmp_path / 'config.py'
    path.write_text(text)
    return str(path)


def test_options_of_the_command_line(tmp_path):
    cfg = load_config(
        write(tmp_path, 'a = dict(b=[dict(c=1), dict(c=2)])'), {'a.b.1.c': 5, 'work_dir': 'x'}
    )
    assert cfg.a.b == [dict(c=1), dict(c=5)] and cfg.work_dir == 'x'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a = dict(', r'config .*config\.py cannot be read: SyntaxError'),
        ("_base_ = './nope.py'", r'config .*config\.py cannot be read: .*nope\.py'),
        ("custom_imports = dict(imports=['no_such_module'])", 'cannot be read: .*no_such_module'),
        (
            "default_scope = 'mmnothing'",
            'written for mmnothing, which is not installed; pip install',
        ),
        ('train_datalaoder = dict()', 'key train_datalaoder; did you mean train_dataloader'),
    ],
    ids=['syntax', 'base', 'import', 'scope', 'key'],
)
def test_a_broken_config(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        load_config(write(tmp_path, text))


def test_a_former_name_of_a_config_is_seen_to_be_one(tmp_path):
    text = "_deprecation_ = dict(expected='new.py')"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('ignore')  # as Python does with what libraries deprecate
        load_config(write(tmp_path, text))
    assert ['new.py instead' in str(warning.message) for warning in caught] == [True]


@pytest.mark.parametrize(
    ('scope', 'install'),
    [('mmpose', 'mmpose'), ('mmdet', r"'mmattn\[det\]' \(onedl-mmdetection\)")],
)
def test_a_package_that_is_not_installed(tmp_path, monkeypatch, scope, install):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    message = f'written for {scope}, which is not installed; pip install {install}$'
    with pytest.raises(InputError, match=message):
        load_config(write(tmp_path, f'default_scope = {scope!r}'))


def test_no_config():
    with pytest.raises(InputError, match=r'config nope\.py is not a file'):
        load_config('nope.py')
