import logging
from types import SimpleNamespace

import pytest
from mmengine.registry import DATASETS, METRICS, MODELS

from mmattn.engine.runner import Runner
from mmattn.errors import InputError
from tests.engine.toy import ToyData, ToyMetric, ToyModel, toy_config, with_validation


@DATASETS.register_module()
class Numbered(ToyData):
    """Has the classes that it is given, and images with numbers from 100 on."""

    def load_data_list(self):
        return [dict(x, img_id=100 + x['idx']) for x in super().load_data_list()]

    def full_init(self):
        self.serialize_data = not self.size
        super().full_init()


@MODELS.register_module()
class Headed(ToyModel):
    """Has a head in its config alone."""

    def __init__(self, decode_head):
        super().__init__()


@METRICS.register_module()
class ToyCoco(ToyMetric):
    """Has loaded annotations of images with these numbers."""

    def __init__(self, known):
        super().__init__()
        self._coco_api = SimpleNamespace(imgs=dict.fromkeys(known), anns={})


def config(folder, num_classes=2, **others):
    """A training of 3 iterations on 22 images of 2 classes, and a validation."""
    cfg = with_validation(toy_config(folder, iterations=3), 3)
    head = dict(type='mmseg.FCNHead', in_channels=8, channels=8, num_classes=num_classes)
    cfg.model = dict(type='Headed', decode_head=head)
    for name in ('train', 'val'):
        cfg[f'{name}_dataloader'].dataset = dict(
            type='Numbered', metainfo=dict(classes=('cat', 'dog'))
        )
    cfg.merge_from_dict(others)
    return cfg


def message(cfg, work='train'):
    with pytest.raises(InputError) as caught:
        getattr(Runner.from_cfg(cfg), work)()
    assert '\n' not in str(caught.value)
    return str(caught.value)


def with_test(folder, **others):
    cfg = config(folder, **others)
    cfg.test_dataloader, cfg.test_evaluator, cfg.test_cfg = (
        cfg.val_dataloader,
        cfg.val_evaluator,
        {},
    )
    return cfg


@pytest.mark.parametrize('number', [1, 3])
def test_heads_for_another_number_of_classes(tmp_path, number):
    found = f'expected 2 in the place of model.decode_head.num_classes={number}'
    cfg = config(tmp_path, number)
    assert message(cfg) == f'train_dataloader.dataset has 2 classes (cat, dog): {found}'
    line = f'test_dataloader.dataset has 2 classes (cat, dog): {found}'
    assert message(with_test(tmp_path, num_classes=number), 'test') == line


@pytest.mark.parametrize(
    'wrap',
    [
        lambda inner: dict(type='RepeatDataset', times=2, dataset=inner),
        lambda inner: dict(type='ConcatDataset', datasets=[inner, inner]),
        lambda inner: dict(
            type='mmdet.MultiImageMixDataset',
            pipeline=[],
            dataset=dict(type='RepeatDataset', times=2, dataset=inner),
        ),
        lambda inner: dict(
            type='mmpretrain.KFoldDataset', num_splits=2, fold=0, dataset=inner, seed=0
        ),
        lambda inner: dict(inner, indices=[3, 4]),
    ],
    ids=['repeated', 'joined', 'mixed', 'folds', 'some'],
)
def test_every_wrapper_is_looked_through(tmp_path, wrap):
    cfg = config(tmp_path, 3)
    cfg.train_dataloader.dataset = wrap(cfg.train_dataloader.dataset)
    assert message(cfg).startswith('train_dataloader.dataset has 2 classes (cat, dog): expected 2')


def test_a_model_around_a_model(tmp_path):
    cfg = with_test(tmp_path, num_classes=3)
    runner = Runner.from_cfg(cfg)
    # As test-time augmentation does, which the user's config does not have.
    runner.cfg.model = dict(type='SegTTAModel', module=cfg.model)
    with pytest.raises(InputError, match='in the place of model.decode_head.num_classes=3$'):
        runner.test()


def test_a_string_is_no_tuple(tmp_path):
    cfg = config(tmp_path)
    cfg.train_dataloader.dataset.metainfo.classes = 'cat'
    assert message(cfg) == (
        "train_dataloader.dataset.metainfo.classes='cat' is a string, and no file of that name is "
        "there; one class is ('cat',) with a comma"
    )


@pytest.mark.parametrize('name', ['train', 'val'])
def test_nothing_to_load(tmp_path, name):
    cfg = config(tmp_path)
    cfg[f'{name}_dataloader'].dataset.size = 0
    assert message(cfg) == (
        f'{name}_dataloader.dataset is empty: nothing is left of .; check it, and what filters it'
    )
    # Where nothing is written in bytes, nothing fails.
    cfg[f'{name}_dataloader'].dataset.type = 'ToyData'
    assert message(cfg) == (
        f'config: {name}_dataloader has no batch: its data set is empty; check its paths, and what '
        'filters it'
    )


def test_an_epoch_without_a_batch(tmp_path):
    line = (
        'config: {0} has no batch: 22 samples, shared by all processes, are less than '
        'batch_size=23 for each, and drop_last leaves them out; set {0}.batch_size to less, or '
        '{0}.drop_last=False'
    )
    for name in ('train_dataloader', 'val_dataloader'):
        cfg = config(tmp_path)
        cfg[name].update(batch_size=23, drop_last=True)
        cfg[name].sampler.type = 'DefaultSampler'
        cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
        assert message(cfg) == line.format(name)


def test_by_iterations_small_data_are_enough(tmp_path):
    Runner.from_cfg(
        config(tmp_path, **{'train_dataloader.batch_size': 23, 'train_dataloader.drop_last': True})
    ).train()


def test_a_warm_up_that_is_longer_than_the_training(tmp_path):
    schedule = dict(type='LinearLR', by_epoch=False, end=500)
    cfg = config(tmp_path, **{'train_cfg.max_iters': 120})
    cfg.param_scheduler = schedule
    assert message(cfg).startswith('param_scheduler (LinearLR) warms up for 500 iterations')


def test_annotations_of_other_images(tmp_path):
    cfg = config(tmp_path)
    cfg.val_evaluator = dict(type='ToyCoco', known=[*range(100, 122)])
    Runner.from_cfg(cfg).train()
    cfg.val_evaluator.known = [*range(9)]
    line = (
        'val_evaluator.ann_file does not have the image None (id 100) of val_dataloader.dataset; '
        'give it the ann_file of the data set'
    )
    assert message(cfg) == line


@pytest.fixture
def warnings_of(caplog):
    """Give the warnings of a training."""

    def warnings(cfg):
        cfg.log_level = 'WARNING'
        runner = Runner.from_cfg(cfg)
        runner.logger.addHandler(caplog.handler)
        runner.train()
        return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]

    return warnings


def test_annotations_of_nothing(tmp_path, warnings_of):
    cfg = config(tmp_path)
    cfg.val_evaluator = dict(type='ToyCoco', known=[*range(100, 122)])
    line = 'val_evaluator.ann_file has no annotation: there is nothing to measure'
    assert warnings_of(cfg).count(line) == 1


def test_classes_of_a_validation_in_another_order(tmp_path, warnings_of):
    cfg = config(tmp_path)
    cfg.val_dataloader.dataset.metainfo.classes = ('dog', 'cat')
    assert [line for line in warnings_of(cfg) if 'classes' in line] == [
        'train_dataloader.dataset and val_dataloader.dataset have other classes, or in another '
        'order (cat, dog and dog, cat), so that a label means another class in one than in the '
        'other; give both the same metainfo.classes'
    ]


def test_no_processes_need_no_other_option(tmp_path):
    options = dict(num_workers=0, persistent_workers=True, prefetch_factor=2)
    cfg = config(tmp_path)
    cfg.train_dataloader.update(options)
    cfg.val_dataloader.update(options)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 3
