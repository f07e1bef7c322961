import importlib.util
import re
import warnings

import pytest

from mmattn.engine.config import load_config
from mmattn.errors import InputError
from mmattn.layers.packages import installation


def write(tmp_path, text):
    path = tmp_path / 'config.py'
    path.write_text(text)
    return str(path)


def test_options_of_the_command_line(tmp_path):
    cfg = load_config(
        write(tmp_path, 'model = dict(b=[dict(c=1), dict(c=2)])'),
        {'model.b.1.c': 5, 'work_dir': 'x'},
    )
    assert cfg.model.b == [dict(c=1), dict(c=5)] and cfg.work_dir == 'x'


@pytest.mark.parametrize(
    ('text', 'options', 'line'),
    [
        (
            'a = [dict(lr=0.1)]',
            {'a.0.lr': '1e-3x'},
            "--cfg-options a.0.lr: expected a number in the place of 0.1, got '1e-3x'",
        ),
        (
            'a = dict(betas=(0.9, 0.99))',
            {'a.betas': [0.9, '.99x']},
            "--cfg-options a.betas: expected a number in the place of (0.9, 0.99), got '.99x'",
        ),
        (
            'model = [1, 2]',
            {'model.7.b': 1},
            "--cfg-options do not fit config {path}: KeyError: 'Index 7 exceeds the length of list "
            "[1, 2]'",
        ),
    ],
    ids=['number', 'numbers', 'index'],
)
def test_options_that_do_not_fit(tmp_path, text, options, line):
    path = write(tmp_path, text)
    with pytest.raises(InputError) as raised:
        load_config(path, options)
    assert str(raised.value) == line.format(path=path)


def test_a_word_may_take_the_place_of_a_number(tmp_path):
    path = write(tmp_path, "model = dict(scale=512.0, name='x', size=[1, 2])")
    options = {'scale': 'dynamic', 'name': '3x', 'size': None, 'more.b': '4x'}
    cfg = load_config(path, {f'model.{key}': value for key, value in options.items()})
    assert cfg.model == dict(scale='dynamic', name='3x', size=None, more=dict(b='4x'))


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


@pytest.mark.parametrize('scope', ['mmpose', 'mmdet'])
def test_a_package_that_is_not_installed(tmp_path, monkeypatch, scope):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    install = re.escape(installation(scope))
    message = f'written for {scope}, which is not installed; pip install {install}$'
    with pytest.raises(InputError, match=message):
        load_config(write(tmp_path, f'default_scope = {scope!r}'))


def test_no_config():
    with pytest.raises(InputError, match=r'config nope\.py is not a file'):
        load_config('nope.py')
