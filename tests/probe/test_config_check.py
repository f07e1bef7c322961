import importlib
import itertools
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import ValLoop
from mmseg.models import EncoderDecoder
from torch import nn

from mmattn.errors import InputError
from mmattn.probe.build import build
from mmattn.probe.config_check import check_config, check_model

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted(
    path for path in (ROOT / 'configs').glob('*/*.py') if path.parent.name not in ('_base_', 'pose')
)


def config(model, scope='mmseg', **others):
    return Config(dict(model=model, default_scope=scope, **others))


def message(cfg, check=check_model):
    with pytest.raises(InputError) as caught:
        check(cfg)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def segmentor(**backbone):
    head = dict(type='FCNHead', in_channels=32, in_index=0, channels=4, num_classes=3)
    backbone = dict(dict(type='VAN', arch='b0', out_indices=(0,)), **backbone)
    return dict(type='EncoderDecoder', backbone=backbone, decode_head=head)


def inserted(**options):
    site = dict(after='', attention=dict(type='CoordAtt'))
    host = dict(type='VAN', arch='b0', out_indices=(0,))
    return dict(dict(type='InsertAttention', host=host, sites=[site]), **options)


# ---- Types ----


def test_unknown_type():
    assert message(config(segmentor(type='VANN'))) == (
        "config: model.backbone.type='VANN' is not in the registry mmseg::model; "
        "did you mean 'VAN'?"
    )


@pytest.mark.parametrize('kind', ['qqqqqqqq', 'mmseg.qqqqqqqq', 'no.such.module'])
def test_a_type_that_resembles_none(kind):
    assert message(config(dict(type=kind))).endswith('; check the spelling and custom_imports')


def test_types_are_looked_up_in_the_scope_that_a_config_names():
    check_model(config(dict(type='mmpretrain.VAN', arch='tiny')))
    vgg = dict(_scope_='mmpretrain', type='ImageClassifier', backbone=dict(type='VGG', depth=11))
    check_model(config(vgg))
    del vgg['_scope_']
    assert "type='ImageClassifier' is not in the registry mmseg::model" in message(config(vgg))


def test_a_class_is_a_type():
    check_model(config(dict(type=nn.Conv2d, in_channels=1, out_channels=1, kernel_size=1)))
    conv = dict(type=nn.Conv2d, in_channels=1, out_channels=1, kernel_siz=1)
    assert 'model.kernel_siz is not an option of Conv2d' in message(config(conv))


# ---- Options ----


def test_mistyped_option():
    assert message(config(segmentor(drop_path_rat=0))) == (
        'config: model.backbone.drop_path_rat is not an option of VAN; '
        "did you mean 'drop_path_rate'?"
    )


def test_options_that_are_handed_on_to_a_base_are_known():
    model = segmentor()
    model['decode_head'].update(dropout_ratio=0)
    check_model(config(model))
    model['decode_head'].update(dropout_ratoi=0)
    assert message(config(model)) == (
        'config: model.decode_head.dropout_ratoi is not an option of FCNHead; '
        "did you mean 'dropout_ratio'?"
    )


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (
            dict(sites=[dict(after='', attention=dict(type='CoordAtt', reducton=3))]),
            'sites.0.attention.reducton is not an option of CoordAtt',
        ),
        (dict(host=dict(type='VAN', archh='b0')), 'host.archh is not an option of VAN'),
        (dict(strat='paper'), "strat is not an option of InsertAttention; did you mean 'start'?"),
    ],
    ids=['attention', 'host', 'itself'],
)
def test_mistyped_option_of_an_insertion(options, line):
    model = dict(segmentor(), backbone=inserted(**options))
    assert f'config: model.backbone.{line}' in message(config(model))


def test_options_beside_a_host_are_those_of_the_host():
    check_model(config(inserted(drop_path_rate=0.1)))


def test_option_that_is_missing():
    cfg = inserted(freeze_with_host=True)
    del cfg['sites']
    assert message(config(cfg)) == (
        "config: model.type='InsertAttention' needs 'sites', got host, freeze_with_host"
    )
    assert message(config(dict(type='CoordAtt'))).endswith("needs 'in_channels', got nothing")


def test_option_of_the_loader():
    loader = dict(batchsize=2, dataset=dict(type='ADE20KDataset'), sampler=None)
    cfg = config(segmentor(), train_dataloader=loader)
    line = message(cfg, lambda cfg: check_config(cfg, 'train'))
    assert line == (
        'config: train_dataloader.batchsize is not an option of DataLoader; '
        "did you mean 'batch_size'?"
    )
    check_config(cfg, 'test')  # which loads other data


def test_error_of_our_own_option():
    with pytest.raises(InputError, match='VAN: expected arch one of b0, b1,'):
        build(config(dict(type='VAN', arch='b9')))


def test_no_model():
    with pytest.raises(InputError, match='config None has no model; give one that trains'):
        check_model(Config(dict(default_scope='mmseg')))


# ---- What has to pass ----


class Pops(nn.Module):
    def __init__(self, part, **kwargs):
        super().__init__()
        part.pop('extra')
        self.others = kwargs


class Wraps(nn.Module):
    """Calls another base than the next one."""

    def __init__(self, a=0, **kwargs):
        super(Pops, self).__init__()
        self.b = kwargs


class Swallows(Wraps):
    def __init__(self, c=0, **kwargs):
        if c:
            super().__init__(**kwargs)
        else:
            super().__init__()


class Updates(Wraps):
    def __init__(self, **kwargs):
        kwargs.pop('mine', None)
        super().__init__()


@pytest.mark.parametrize(
    'model',
    [
        dict(type=Pops, part=dict(type='VAN', extra=1), more=dict(type='x'), mine=2),
        dict(type=Wraps, mine=1),
        dict(type=Swallows, mine=1),
        dict(type=Updates, mine=1),
        dict(type=lambda **options: options, mine=1),
        dict(segmentor(), train_cfg=dict(meta=dict(type='x', y=1), names=['type'])),
        dict(segmentor(), test_cfg=dict(nms=dict(type='nms', iou_threshold=0.5))),
        dict(segmentor(), decode_head=None),
    ],
    ids=['pops', 'wraps', 'swallows', 'updates', 'function', 'meta', 'nms', 'none'],
)
def test_what_nobody_can_tell_is_left_alone(model):
    check_model(config(model))


class Own(EncoderDecoder):
    """Somebody's segmentor, which changes what it hands on."""

    def __init__(self, backbone, **kwargs):
        backbone = dict(backbone, type='VAN')
        super().__init__(backbone=backbone, **kwargs)


def test_what_a_class_of_somebody_else_may_change_is_left_alone():
    model = dict(segmentor(type='of its own', own=1), type=Own)
    check_model(config(model))
    model['decode_head'].update(channel=3)
    assert 'model.decode_head.channel is not an option of FCNHead' in message(config(model))


def test_data_of_a_loop_of_somebody_else_is_left_alone():
    class Loop(ValLoop):
        pass

    check_config(config(segmentor(), test_cfg=dict(type=Loop), test_dataloader=dict(a={})), 'test')


def test_a_class_beside_a_registry_is_left_alone():
    model = dict(segmentor(), test_cfg=dict(nms=dict(type=int, iou_threshold=0.5)))
    check_model(config(model))


def test_transforms_of_other_packages_are_left_alone():
    albu = dict(type='Albu', transforms=[dict(type='RandomGamma'), dict(type='Resize', height=3)])
    dataset = dict(type='ADE20KDataset', metainfo=dict(type='x'), pipeline=[albu])
    loader = dict(batch_size=2, dataset=dataset, sampler=dict(type='InfiniteSampler'))
    check_config(config(segmentor(), train_dataloader=loader), 'train')
    dataset['pipeline'] = [dict(type='RandomGamma')]
    cfg = config(segmentor(), train_dataloader=loader)
    line = message(cfg, lambda cfg: check_config(cfg, 'train'))
    assert "train_dataloader.dataset.pipeline.0.type='RandomGamma' is not in" in line


def test_an_unknown_runner_reads_its_config_as_it_likes():
    class Runner:
        pass

    cfg = config(dict(type='anything'), runner_type=Runner)
    check_config(cfg, 'train')


@pytest.mark.parametrize('path', SHIPPED[::3], ids=lambda path: path.stem)
def test_shipped_configs_pass(path):
    cfg = Config.fromfile(path)
    check_config(cfg, 'train')
    check_config(cfg, 'test')


@pytest.mark.parametrize('package', ['mmdet', 'mmseg', 'mmpretrain'])
def test_stock_configs_pass(package):
    folder = Path(importlib.import_module(package).__file__).parent / '.mim' / 'configs'
    models = sorted((folder / '_base_' / 'models').rglob('*.py'))[::4]
    for path in models:
        cfg = Config.fromfile(path)
        cfg.default_scope = package
        check_model(cfg)


# ---- What has to be found ----


def typed(value, where):
    """Find all dicts with a type."""
    if isinstance(value, dict):
        if 'type' in value:
            yield where, value
        for key, item in value.items():
            yield from typed(item, f'{where}.{key}')
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from typed(item, f'{where}.{i}')


# They take any option and say nothing, or are read by nobody's registry.
TAKE_ANY = {'nms', 'soft_nms', 'DeltaXYWHBBoxCoder', 'RandomSampler', 'RoIAlign', 'SmoothL1Loss'}


def test_each_mistyped_option_of_a_shipped_model_is_named_with_its_place():
    seen = set()
    for path in itertools.islice(SHIPPED, 0, None, 9):
        cfg = Config.fromfile(path)
        for where, part in list(typed(cfg.model, 'model')):
            for option in set(part) - {'type'}:
                if (part['type'], option) in seen or part['type'] in TAKE_ANY:
                    continue
                seen.add((part['type'], option))
                value = part.pop(option)
                part[f'{option}x'] = value
                line = message(cfg)
                assert f'config: {where}.{option}x is not an option of ' in line
                assert line.endswith(f'; did you mean {option!r}?')
                del part[f'{option}x']
                part[option] = value
    assert len(seen) > 100
