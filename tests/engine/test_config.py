import importlib.util
import warnings

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmattn.engine.config import explain_build_error, load_config
from mmattn.engine.runner import Runner
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


def explanation(cfg, scope='mmseg', build=MODELS.build):
    with DefaultScope.overwrite_default_scope(scope):
        try:
            build(cfg)
        except Exception as error:
            return explain_build_error(error)
    raise AssertionError('it was built')


def test_unknown_type():
    text = explanation(dict(type='CordAtt', in_channels=8))
    assert text == (
        "config: type='CordAtt' is not in the registry mmseg::model; did you mean 'CoordAtt'?"
    )


def test_error_of_our_own_option():
    assert explanation(dict(type='VAN', arch='b9')).startswith(
        'config: VAN: expected arch one of b0, b1,'
    )


def runner_cfg(tmp_path, **changes):
    """A config whose runner fails before it touches any data."""
    head = dict(type='FCNHead', in_channels=32, in_index=0, channels=4, num_classes=3)
    cfg = dict(
        model=dict(
            type='EncoderDecoder',
            backbone=dict(type='VAN', arch='b0', out_indices=(0,)),
            decode_head=head,
        ),
        work_dir=str(tmp_path),
        default_scope='mmseg',
        log_level='ERROR',
    )
    cfg = Config(cfg)
    cfg.merge_from_dict(changes)
    return cfg


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (
            'model.backbone.drop_path_rat',
            "model.backbone.drop_path_rat is not an option of VAN; did you mean 'drop_path_rate'?",
        ),
        (
            'model.decode_head.dropout_ratoi',
            'model.decode_head.dropout_ratoi is not an option of BaseDecodeHead; '
            "did you mean 'dropout_ratio'?",
        ),
    ],
)
def test_mistyped_option(tmp_path, option, message):
    cfg = runner_cfg(tmp_path, **{option: 0})
    assert explanation(cfg, build=Runner.from_cfg) == f'config: {message}'


def inserted(**backbone):
    site = dict(after='', attention=dict(type='CoordAtt'))
    host = dict(type='VAN', arch='b0', out_indices=(0,))
    return dict(type='InsertAttention', **{**dict(host=host, sites=[site]), **backbone})


@pytest.mark.parametrize(
    ('backbone', 'message'),
    [
        (
            dict(sites=[dict(after='', attention=dict(type='CoordAtt', reducton=3))]),
            'model.backbone.sites.0.attention.reducton is not an option of CoordAtt; '
            "did you mean 'reduction'?",
        ),
        (
            dict(host=dict(type='VAN', archh='b0')),
            "model.backbone.host.archh is not an option of VAN; did you mean 'arch'?",
        ),
        (
            dict(strat='paper'),
            "model.backbone.strat is not an option of VAN; did you mean 'start'?",
        ),
    ],
    ids=['attention', 'host', 'itself'],
)
def test_mistyped_option_of_an_insertion(tmp_path, backbone, message):
    cfg = runner_cfg(tmp_path)
    cfg.model.backbone = inserted(**backbone)
    assert explanation(cfg, build=Runner.from_cfg) == f'config: {message}'


def test_option_that_is_missing():
    cfg = inserted(site=[])
    cfg.pop('sites')
    assert explanation(cfg) == "config: type='InsertAttention' needs 'sites', got host, site"
    assert explanation(dict(type='CoordAtt')).endswith("needs 'in_channels', got nothing")


def test_faults_of_the_program_are_not_explained_away():
    def broken(**_):
        return dict().nothing

    MODELS.register_module('BrokenForTest', module=broken)
    try:
        assert explanation(dict(type='BrokenForTest')) is None
        assert explanation(dict(), build=lambda cfg: int(x=1)) is None
    finally:
        MODELS.module_dict.pop('BrokenForTest')
