import pytest

from mmattn.prediction.category_ids import category_ids


def test_numbers_of_coco():
    datasets = pytest.importorskip('mmdet.datasets')
    things = category_ids(datasets.CocoDataset.METAINFO['classes'])
    assert (things[0], things[11], things[12], things[-1], len(things)) == (1, 13, 14, 90, 80)
    both = category_ids(datasets.CocoPanopticDataset.METAINFO['classes'])
    # banner, the first stuff, and rug-merged, the last one.
    assert (both[:80], both[80], both[-1], len(both)) == (things, 92, 200, 133)


def test_others_count_from_one():
    assert category_ids(['stop sign', 'cat']) == [1, 2]
