"""Metrics of a model and of its file, on data of the config."""

import json

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope

from mmattn.cli.options import use_data_root
from mmattn.datasets.synthetic.tiny_ade20k import make_tiny_ade20k
from mmattn.datasets.synthetic.tiny_coco import make_tiny_coco
from mmattn.datasets.synthetic.tiny_imagenet import make_tiny_imagenet
from mmattn.deploy.validation import Validation
from mmattn.errors import InputError
from tests.helpers import needs_torch

pytest.importorskip('mmdet')

MAKERS = {
    'segmentation': make_tiny_ade20k,
    'classification': make_tiny_imagenet,
    'detection': make_tiny_coco,
    'instance': make_tiny_coco,
}


@pytest.fixture(scope='session')
def validation(model, tmp_path_factory):
    """Give the validation of a task on some of 3 images."""
    folders = {}

    def give(task, count=3):
        maker = MAKERS[task]
        if maker not in folders:
            folders[maker] = tmp_path_factory.mktemp('data') / 'data'
            maker(folders[maker], train=1, val=3)
        cfg = model(task).cfg.copy()
        use_data_root(cfg, str(folders[maker]), 'val')
        return Validation(cfg, count)

    return give


class Truth:
    """What predicts what is true."""

    def __init__(self, task, validation):
        self.task = task
        self.validation = validation

    def run(self, batch):
        [sample] = batch['data_samples']
        if self.task == 'segmentation':
            return [dict(masks=sample.gt_sem_seg.data[0].numpy().astype(np.int64))]
        if self.task == 'classification':
            labels = np.argsort(np.arange(1000) != int(sample.gt_label))
            return [dict(labels=labels, scores=np.linspace(1, 0, 1000, dtype=np.float32))]
        [info] = [
            each
            for each in map(self.validation.dataset.get_data_info, range(3))
            if each['img_id'] == sample.img_id
        ]
        objects = [each for each in info['instances'] if not each['ignore_flag']]
        boxes = np.array([each['bbox'] for each in objects], np.float32).reshape(-1, 4)
        labels = np.array([each['bbox_label'] for each in objects], np.int64)
        return [dict(boxes=boxes, labels=labels, scores=np.ones(len(labels), np.float32))]


@pytest.mark.parametrize('task', MAKERS)
def test_is_what_the_evaluator_of_the_config_says(model, validation, task):
    loaded, tried = model(task), validation(task)
    with DefaultScope.overwrite_default_scope(tried.cfg.default_scope), torch.no_grad():
        evaluator = Evaluator(tried.cfg.val_evaluator)
        evaluator.dataset_meta = tried.dataset.metainfo
        for number in range(3):
            batch = pseudo_collate([tried.dataset[number]])
            evaluator.process(loaded.module.test_step(batch), batch)
        expected = evaluator.evaluate(3)
    found = tried.metrics(loaded)
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert value == pytest.approx(float(expected[key]), abs=1e-3)


@pytest.mark.parametrize(
    ('task', 'name', 'best'),
    [
        ('segmentation', 'mIoU', 100),
        ('classification', 'accuracy/top1', 100),
        ('detection', 'coco/bbox_mAP', 1),
    ],
)
def test_is_best_of_what_is_true_on_images_that_are_looked_at(validation, task, name, best):
    tried = validation(task, count=2)
    assert tried.numbers == [0, 2]
    assert tried.metrics(Truth(task, tried))[name] == pytest.approx(best, abs=1e-3)


def test_what_is_no_number_is_none(validation):
    tried = validation('segmentation', count=1)
    tried.cfg = tried.cfg.copy()
    nothing = Truth('segmentation', tried)
    nothing.run = lambda batch: [
        dict(masks=np.full(batch['data_samples'][0].ori_shape, 0, np.int64))
    ]
    json.dumps(tried.metrics(nothing), allow_nan=False)


def test_refuses_what_does_not_go(validation, model):
    tried = validation('segmentation')
    with pytest.raises(InputError, match=r'image 0 of val_dataloader is \d+x\d+ behind its pipel'):
        tried.check_size((5, 7))
    cfg = model('segmentation').cfg.copy()
    cfg.val_evaluator = None
    with pytest.raises(InputError, match=r'has no val_evaluator; --val needs them both'):
        Validation(cfg, 1)


@needs_torch('2.6', 'exporting')
def test_stands_in_the_report(deployed, validation):
    _, report = deployed(
        'classification', 'export', dynamic=False, validation=validation('classification')
    )
    assert report['metrics']['images'] == 3
    assert report['metrics']['exported'].keys() == {'accuracy/top1', 'accuracy/top5'}
    assert report['metrics']['exported'] == report['metrics']['original']
