import copy

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from mmattn.errors import InputError
from mmattn.prediction.drawing import Painter
from mmattn.prediction.result import Result
from tests.prediction.tiny import TASKS

HAS = {
    'segmentation': {'masks', 'labels'},
    'detection': {'boxes', 'labels', 'scores'},
    'instance': {'masks', 'boxes', 'labels', 'scores'},
    'panoptic': {'masks', 'labels'},
    'classification': {'labels', 'scores'},
}


@pytest.fixture
def result():
    """A result of three classes on a picture of 4 x 6 pixels."""
    arrays = dict(
        segmentation=dict(
            masks=np.array([[2] * 6, [0] * 6, [0] * 6, [2, 1, 0, 0, 0, 0]]),
            labels=np.array([0, 2, 1]),
        ),
        detection=dict(
            boxes=np.array([[0, 0, 2, 2], [1, 0, 4, 3], [0, 1, 1, 2]], np.float32),
            labels=np.array([1, 0, 1]),
            scores=np.array([0.9, 0.5, 0.1], np.float32),
        ),
        panoptic=dict(
            masks=np.arange(24).reshape(4, 6) // 8 == np.arange(3)[:, None, None],
            labels=np.array([1, 1, 2]),
        ),
        classification=dict(
            labels=np.array([2, 0, 1]), scores=np.array([0.7, 0.2, 0.1], np.float32)
        ),
    )
    arrays['instance'] = dict(masks=arrays['panoptic']['masks'], **arrays['detection'])

    def give(task):
        painter = Painter({}, task, ('cat', 'dog', 'sky'), ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
        return Result(np.full((4, 6, 3), 100, np.uint8), arrays[task], painter)

    return give


@pytest.mark.parametrize('task', TASKS)
def test_has_arrays_of_the_documented_shapes(model, pixels, task):
    found = model(task).predict(pixels)
    n, h, w, c = len(found.labels), *pixels.shape[:2], len(model(task).classes)
    shapes = dict(
        masks=((h, w) if task == 'segmentation' else (n, h, w)),
        boxes=(n, 4),
        labels=(c,) if task == 'classification' else (n,),
        scores=(c,) if task == 'classification' else (n,),
    )
    kinds = dict(masks='b', boxes='f', labels='i', scores='f')
    kinds['masks'] = 'i' if task == 'segmentation' else 'b'
    assert n and found.task == task
    for name in shapes:
        assert hasattr(found, name) == (name in HAS[task])
        if name in HAS[task]:
            assert getattr(found, name).shape == shapes[name]
            assert getattr(found, name).dtype.kind == kinds[name]


def test_segmentation_is_that_of_the_stock_package(model, pixels):
    mmseg = pytest.importorskip('mmseg.apis')
    loaded = model('segmentation')
    ours = loaded.predict(pixels)
    loaded.module.cfg = loaded.cfg
    init_default_scope('mmseg')
    stock = mmseg.inference_model(loaded.module, pixels[..., ::-1].copy())
    assert np.array_equal(ours.masks, stock.pred_sem_seg.data[0].numpy())
    areas = [(ours.masks == label).sum() for label in ours.labels]
    assert sum(areas) == ours.masks.size and areas == sorted(areas, reverse=True)


def test_instances_are_those_of_the_stock_package(model, pixels):
    mmdet = pytest.importorskip('mmdet.apis')
    loaded = model('instance')
    ours = loaded.predict(pixels)
    loaded.module.cfg = loaded.cfg
    init_default_scope('mmdet')
    stock = mmdet.inference_detector(loaded.module, pixels[..., ::-1].copy()).pred_instances
    order = np.argsort(-stock.scores.numpy(), kind='stable')
    for name, theirs in (('boxes', 'bboxes'), ('labels', 'labels'), ('masks', 'masks')):
        assert np.array_equal(getattr(ours, name), stock[theirs].numpy()[order]), name


def test_classes_come_by_their_scores(model, pixels):
    loaded = model('classification')
    with torch.no_grad():
        [sample] = loaded.module.test_step(loaded.prepare([pixels]))
    found = loaded.predict(pixels)
    assert found.labels[0] == sample.pred_score.argmax()
    assert found.scores.tolist() == sorted(sample.pred_score.tolist(), reverse=True)
    assert found.names[0] == loaded.classes[found.labels[0]]


def test_panoptic_segments_lie_side_by_side(model, pixels):
    found = model('panoptic').predict(pixels)
    assert found.masks.sum(0).max() == 1
    areas = found.masks.sum((1, 2)).tolist()
    assert areas == sorted(areas, reverse=True)


@pytest.mark.parametrize('task', ['segmentation', 'detection'])
def test_does_not_depend_on_its_neighbours(model, pixels, task):
    wide = np.concatenate([pixels, pixels], 1)
    results = model(task).predict_batch([pixels, wide, pixels[::-1].copy()])
    for picture, found in zip((pixels, wide, pixels[::-1].copy()), results, strict=True):
        alone = model(task).predict(picture)
        assert np.array_equal(found.image, picture)
        for name in HAS[task]:
            np.testing.assert_allclose(getattr(found, name), getattr(alone, name), atol=1e-3)


@pytest.mark.parametrize('task', TASKS)
def test_says_what_a_task_lacks(result, task):
    for name in {'masks', 'boxes', 'labels', 'scores'} - HAS[task]:
        with pytest.raises(AttributeError, match=f'a result of {task} has no {name}; it has '):
            getattr(result(task), name)
    with pytest.raises(AttributeError, match="'Result' object has no attribute 'bboxes'"):
        _ = result(task).bboxes
    assert copy.deepcopy(result(task)).labels.tolist() == result(task).labels.tolist()


def test_leaves_out_what_is_not_sure(result):
    kept = result('instance').only(score_threshold=0.5)
    assert kept.scores.tolist() == pytest.approx([0.9, 0.5])
    assert kept.labels.tolist() == [1, 0] and kept.names == ['dog', 'cat']
    assert kept.boxes.tolist() == [[0, 0, 2, 2], [1, 0, 4, 3]] and kept.masks.shape == (2, 4, 6)
    with pytest.raises(InputError, match='for detections and instances, and the task is panoptic'):
        result('panoptic').only(score_threshold=0.5)


def test_leaves_out_other_classes(result):
    assert result('detection').only(['dog']).scores.tolist() == pytest.approx([0.9, 0.1])
    assert result('classification').only(['dog', 'cat']).names == ['cat', 'dog']
    kept = result('segmentation').only(['sky'])
    assert kept.labels.tolist() == [2]
    assert kept.masks.tolist() == [[2] * 6, [-1] * 6, [-1] * 6, [2] + [-1] * 5]
    kept = result('panoptic').only(['sky'])
    assert kept.masks.shape == (1, 4, 6) and kept.masks.sum() == 8
    message = "no class of the model is called 'dogs'; did you mean 'dog'?"
    with pytest.raises(InputError, match=message):
        result('detection').only(['dogs'])


def test_draws_each_pixel_in_the_colour_of_its_class(result):
    drawn = result('segmentation').draw(legend=False)
    # Three fifths of the colour and two of the picture, whose pixels are 100.
    red, green, blue = [193, 40, 40], [40, 193, 40], [40, 40, 193]
    expected = [[blue] * 6, [red] * 6, [red] * 6, [blue, green, *[red] * 4]]
    assert drawn.tolist() == expected
    kept = result('segmentation').only(['dog']).draw(legend=False)
    assert kept[3, 1].tolist() == green
    kept[3, 1] = 100
    assert (kept == 100).all()


def test_draws_masks_in_the_colour_of_their_class():
    arrays = dict(
        masks=np.zeros((1, 140, 160), bool),
        boxes=np.array([[10, 10, 150, 130]], np.float32),
        labels=np.array([1]),
        scores=np.array([0.8], np.float32),
    )
    arrays['masks'][0, 60:125, 20:140] = True
    painter = Painter({}, 'instance', ('cat', 'dog'), ((255, 0, 0), (0, 255, 0)))
    drawn = Result(np.full((140, 160, 3), 100, np.uint8), arrays, painter).draw(legend=False)
    assert drawn.shape == (140, 160, 3)
    # Within the mask, on its edge, and on neither that nor the box.
    assert drawn[100, 100].tolist() == [40, 193, 40]
    assert drawn[124, 100].tolist() == [255, 255, 255]
    assert drawn[136, 156].tolist() == [100, 100, 100]
    # The box is green, whatever smooths its edge.
    assert drawn[130, 100, 1] > drawn[130, 100, 0] + 30


@pytest.mark.parametrize('size', [(1, 1), (7, 300), (301, 5), (333, 517)])
def test_draws_in_the_size_of_the_picture(size):
    arrays = dict(
        boxes=np.array([[0, 0, *size[::-1]]], np.float32),
        labels=np.array([0]),
        scores=np.array([0.8], np.float32),
    )
    painter = Painter({}, 'detection', ('cat',), ((255, 0, 0),))
    drawn = Result(np.full((*size, 3), 100, np.uint8), arrays, painter).draw(legend=False)
    assert drawn.shape == (*size, 3)


@pytest.mark.parametrize('task', TASKS)
def test_draws_the_same_each_time_and_changes_nothing(model, pixels, task):
    found = model(task).predict(pixels)
    before, random = pixels.copy(), np.random.get_state()[1].tolist()
    drawn = found.draw()
    assert np.array_equal(found.draw(), drawn)
    assert np.array_equal(found.image, before) and np.random.get_state()[1].tolist() == random
    assert drawn.dtype == np.uint8 and drawn.shape[1] > pixels.shape[1]
    if task != 'classification':
        assert not np.array_equal(drawn[:48, :64], pixels)


@pytest.mark.parametrize('task', ['segmentation', 'detection', 'instance', 'panoptic'])
def test_draws_a_picture_on_which_nothing_is(result, task):
    empty = result(task).only([])
    assert np.array_equal(empty.draw(legend=False)[..., 0], empty.image[..., 0])
