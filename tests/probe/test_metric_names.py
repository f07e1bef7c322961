"""The names of metrics are those that the metrics give."""

import json

import numpy as np
import pytest
import torch

from mmattn.probe.metric_names import metric_names

CocoMetric = pytest.importorskip('mmdet.evaluation').CocoMetric
Accuracy = pytest.importorskip('mmpretrain.evaluation').Accuracy
IoUMetric = pytest.importorskip('mmseg.evaluation').IoUMetric


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(iou_metrics=['mDice']),
        dict(iou_metrics=['mIoU', 'mFscore']),
        dict(iou_metrics=['mIoU'], prefix='mine'),
    ],
    ids=str,
)
def test_of_segmentation(options):
    metric = IoUMetric(**options)
    metric.dataset_meta = dict(classes=('a', 'b'))
    label = torch.tensor([[0, 1], [1, 0]])
    result = dict(pred_sem_seg=dict(data=label), gt_sem_seg=dict(data=label))
    metric.process({}, [result])
    assert metric.evaluate(1).keys() == metric_names(IoUMetric, options)


@pytest.mark.parametrize('options', [{}, dict(topk=(1, 2)), dict(topk=2, thrs=0.5)], ids=str)
def test_of_classification(options):
    metric = Accuracy(**options)
    result = dict(pred_score=torch.tensor([0.2, 0.8]), gt_label=torch.tensor([1]))
    metric.process({}, [result])
    assert metric.evaluate(1).keys() == metric_names(Accuracy, options)
    assert metric_names(Accuracy, dict(thrs=(0.1, 0.5))) is None


@pytest.mark.parametrize('options', [{}, dict(metric=['bbox', 'segm'])], ids=str)
def test_of_detection(options, tmp_path):
    box = dict(id=1, image_id=1, category_id=1, bbox=[0, 0, 4, 4], area=16, iscrowd=0)
    box['segmentation'] = [[0, 0, 4, 0, 4, 4, 0, 4]]
    images = [dict(id=1, width=8, height=8, file_name='a.jpg')]
    coco = dict(images=images, annotations=[box], categories=[dict(id=1, name='a')])
    (tmp_path / 'a.json').write_text(json.dumps(coco))
    metric = CocoMetric(ann_file=str(tmp_path / 'a.json'), **options)
    metric.dataset_meta = dict(classes=('a',))
    found = dict(
        bboxes=torch.tensor([[0.0, 0, 4, 4]]),
        scores=torch.tensor([0.9]),
        labels=torch.tensor([0]),
        masks=torch.from_numpy(np.ones((1, 8, 8), bool)),
    )
    metric.process({}, [dict(img_id=1, ori_shape=(8, 8), pred_instances=found)])
    assert metric.evaluate(1).keys() == metric_names(CocoMetric, options)
    assert metric_names(CocoMetric, dict(metric='proposal')) is None


def test_of_another():
    assert metric_names(dict, {}) is None
