import importlib
import itertools
from functools import partial
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import ValLoop
from torch import nn

from mmattn.errors import InputError
from mmattn.probe.build import build
from mmattn.probe.config_check import check_config, check_model, check_tta

EncoderDecoder = pytest.importorskip('mmseg.models').EncoderDecoder
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


def test_an_option_that_parts_have():
    cfg = config(dict(segmentor(), num_classes=2))
    assert message(cfg) == (
        'config: model.num_classes is not an option of EncoderDecoder; what is read is '
        'model.decode_head.num_classes'
    )


def test_a_folder_over_several_data_sets():
    inner = [dict(type='ADE20KDataset', data_root=root) for root in 'ab']
    dataset = dict(type='ConcatDataset', datasets=inner, data_root='c')
    cfg = config(segmentor(), train_dataloader=dict(dataset=dataset))
    where = 'train_dataloader.dataset'
    assert message(cfg, lambda cfg: check_config(cfg, 'train')) == (
        f'config: {where}.data_root is not an option of ConcatDataset; what is read is '
        f'{where}.datasets.0.data_root and {where}.datasets.1.data_root'
    )


def test_what_fits_no_head_is_refused_with_the_rest():
    model = segmentor()
    model['decode_head']['loss_decode'] = dict(type='CrossEntropyLoss', class_weight=[1, 2])
    cfg = config(model)
    assert message(cfg, lambda cfg: check_config(cfg, 'train')) == (
        'config: model.decode_head.loss_decode.class_weight has 2 weights, expected 3 for 3 classes'
    )
    check_config(cfg, 'test')


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


@pytest.mark.parametrize(
    ('option', 'value', 'least'),
    [('batch_size', 0, 1), ('batch_size', '4x', 1), ('num_workers', -1, 0)],
)
def test_a_size_of_the_loader_that_is_none(option, value, least):
    loader = {'dataset': dict(type='ADE20KDataset'), option: value}
    cfg = config(segmentor(), val_dataloader=loader)
    assert message(cfg, lambda cfg: check_config(cfg, 'train')) == (
        f'config: val_dataloader.{option}={value!r} has to be a whole number from {least} on'
    )


@pytest.mark.parametrize(
    ('options', 'fault'),
    [
        (
            dict(type='AdamV'),
            ".type='AdamV' is not in the registry mmseg::optimizer; did you mean 'Adam'?",
        ),
        (dict(lr='1e-3x'), ".lr='1e-3x' has to be a number"),
        (dict(weight_decay='no'), ".weight_decay='no' has to be a number"),
        (dict(lrr=1), ".lrr is not an option of SGD; did you mean 'lr'?"),
    ],
    ids=str,
)
def test_what_is_wrong_with_an_optimizer(options, fault):
    cfg = config(segmentor(), optim_wrapper=dict(optimizer=dict(dict(type='SGD', lr=1), **options)))
    line = message(cfg, lambda cfg: check_config(cfg, 'train'))
    assert line == f'config: optim_wrapper.optimizer{fault}'
    check_config(cfg, 'test')


IOU, COCO = dict(type='IoUMetric'), dict(type='mmdet.CocoMetric', metric=['bbox', 'segm'])
TOP = dict(type='mmpretrain.Accuracy', topk=(1, 5))


def judged(save_best, evaluator):
    hooks = dict(checkpoint=dict(type='CheckpointHook', save_best=save_best))
    return config(segmentor(), default_hooks=hooks, val_evaluator=evaluator)


@pytest.mark.parametrize(
    ('save_best', 'evaluator', 'found'),
    [
        ('mIOU', IOU, "'mIOU' is no metric of val_evaluator; did you mean 'mIoU'?"),
        (
            ['mIoU', 'loss'],
            [IOU],
            "'loss' is no metric of val_evaluator; there are aAcc, mAcc, mIoU",
        ),
        (
            'bbox_mAP',
            dict(type='Evaluator', metrics=[IOU, COCO]),
            "'bbox_mAP' is no metric of val_evaluator; did you mean 'coco/bbox_mAP'?",
        ),
        (
            'top1',
            TOP,
            "'top1' is no metric of val_evaluator; there are accuracy/top1, accuracy/top5",
        ),
    ],
    ids=['one', 'several', 'an evaluator', 'prefix'],
)
def test_a_metric_that_is_none(save_best, evaluator, found):
    line = message(judged(save_best, evaluator), lambda cfg: check_config(cfg, 'train'))
    assert line == f'config: default_hooks.checkpoint.save_best={found}'


@pytest.mark.parametrize(
    ('save_best', 'evaluator'),
    [
        ('auto', IOU),
        ('mIoU', [IOU, COCO]),
        ('coco/segm_mAP_50', [IOU, COCO]),
        ('mine/mIoU', dict(IOU, prefix='mine')),
        ('anything', [IOU, dict(type='mmpretrain.SingleLabelMetric')]),
        ('anything', dict(COCO, metric='proposal')),
        ('anything', None),
        (None, IOU),
    ],
    ids=str,
)
def test_a_metric_that_may_be_one(save_best, evaluator):
    check_config(judged(save_best, evaluator), 'train')


def test_what_test_time_augmentation_takes_is_named_where_it_stands():
    cfg = Config.fromfile(next(path for path in SHIPPED if 'upernet_van_b0' in path.name))
    check_tta(cfg)
    for part in ('model', 'tta_model', 'tta_pipeline'):
        for where, found in typed(cfg[part], part):
            if found['type'] == 'TestTimeAug':
                continue  # Its options are those of its transforms.
            found['optionx'] = 1
            line = message(cfg, check_tta)
            assert line.startswith(f'config: {where}.optionx is not an option of ')
            del found['optionx']


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
TAKE_ANY |= {'ImageNet', 'RandomChoiceResize', 'RandomResize'}
TAKE_ANY |= {'Mask2FormerHead', 'MaskFormerFusionHead', 'mmpretrain.TIMMBackbone'}
# It hands all options to its Hamburger, too, which takes any.
TAKE_ANY |= {'LightHamHead'}


def test_each_mistyped_option_of_data_is_named_with_its_place():
    seen = set()
    for path in itertools.islice(SHIPPED, 0, None, 12):
        whole = Config.fromfile(path)
        for mode in ('train', 'val', 'test'):
            loader = f'{mode}_dataloader'
            cfg = Config({'default_scope': whole.default_scope, loader: whole[loader]})
            check = partial(check_config, mode='test' if mode == 'test' else 'train')
            for where, part in typed(cfg[loader], loader):
                if (mode, part['type']) in seen or part['type'] in TAKE_ANY:
                    continue
                seen.add((mode, part['type']))
                part['optionx'] = 1
                line = message(cfg, check)
                assert line.startswith(f'config: {where}.optionx is not an option of ')
                del part['optionx']
    assert len(seen) > 40


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
