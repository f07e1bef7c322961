import numpy as np
import pytest

from mmattn.deploy.comparison import differences, largest


def detections(boxes, labels, scores):
    return dict(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels),
        scores=np.array(scores, np.float32),
    )


def test_of_a_segmentation_is_the_share_of_pixels():
    first, second = np.zeros((2, 5), int), np.zeros((2, 5), int)
    second[0, :3] = 7
    found = differences('segmentation', dict(masks=first), dict(masks=second))
    assert found == dict(other_pixels=pytest.approx(0.3))


def test_of_a_classification_compares_scores_of_one_class():
    first = dict(labels=np.array([1, 0, 2]), scores=np.array([0.6, 0.3, 0.1]))
    second = dict(labels=np.array([1, 2, 0]), scores=np.array([0.6, 0.21, 0.19]))
    found = differences('classification', first, second)
    assert found == dict(score=pytest.approx(0.11))


def test_of_detections_pairs_those_that_overlap():
    first = detections([[0, 0, 10, 10], [20, 20, 30, 30], [5, 5, 5, 5]], [1, 2, 3], [0.9, 0.8, 0.7])
    second = detections(
        [[20, 20, 30, 31], [0, 0, 10, 10], [5, 5, 5, 5]], [2, 1, 3], [0.7, 0.9, 0.7]
    )
    found = differences('detection', first, second)
    assert found == dict(unmatched=0, score=pytest.approx(0.1), pixels=1.0)


def test_of_detections_counts_those_without_a_partner():
    first = detections([[0, 0, 10, 10], [20, 20, 30, 30]], [1, 2], [0.9, 0.8])
    other_class = detections([[0, 0, 10, 10]], [2], [0.9])
    assert differences('detection', first, other_class)['unmatched'] == 3
    assert differences('detection', first, detections([], [], []))['unmatched'] == 2
    twice = detections([[0, 0, 10, 10], [0, 0, 10, 10]], [1, 1], [0.9, 0.9])
    assert differences('detection', twice, twice)['unmatched'] == 0
    once = detections([[0, 0, 10, 10]], [1], [0.9])
    assert differences('detection', twice, once)['unmatched'] == 1


def test_of_instances_compares_the_masks_of_pairs():
    boxes = [[0, 0, 10, 10], [20, 20, 30, 30]]
    masks = np.zeros((2, 4, 5), bool)
    first = dict(detections(boxes, [1, 2], [0.9, 0.8]), masks=masks)
    other = masks.copy()
    other[0, 0, :2] = True
    second = dict(detections(boxes[::-1], [2, 1], [0.8, 0.9]), masks=other[::-1])
    found = differences('instance', first, second)
    assert found == dict(unmatched=0, score=0, pixels=0, other_pixels=pytest.approx(0.1))


def test_largest_is_of_each_kind():
    assert largest([dict(a=1, b=5), dict(a=2, b=3)]) == dict(a=2, b=5)
