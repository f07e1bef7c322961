"""Schedules in proportion to the data."""

import pytest
from mmengine.config import Config

from mmattn.datasets.own.schedule import fit_batch, fit_length, fit_schedulers


@pytest.mark.parametrize(
    ('images', 'batch'), [(2, 2), (15, 2), (100, 8), (200, 16), (5000, 64), (10**6, 64)]
)
def test_a_batch_leaves_some_for_an_epoch(images, batch):
    assert fit_batch(64, images) == batch


def test_each_image_is_seen_as_often_as_on_the_benchmark():
    cfg = Config(dict(train_cfg=dict(max_iters=160000), auto_scale_lr=dict(base_batch_size=16)))
    # 160,000 batches of 16 are 126.7 epochs of ADE20K.
    assert fit_length(cfg, 'ADE20KDataset', 367, 2) == ('max_iters', 160000, 23200)
    assert fit_length(cfg, 'ADE20KDataset', 5, 2)[2] == 1000
    assert fit_length(cfg, 'ADE20KDataset', 10**6, 2)[2] == 160000


def test_as_many_epochs_but_enough_iterations():
    cfg = Config(dict(train_cfg=dict(max_epochs=12)))
    assert fit_length(cfg, 'CocoDataset', 5000, 2) == ('max_epochs', 12, 12)
    assert fit_length(cfg, 'CocoDataset', 20, 2) == ('max_epochs', 12, 100)


def test_what_counts_iterations_moves_with_the_end():
    schedulers = [
        dict(type='LinearLR', by_epoch=False, begin=0, end=1000),
        dict(type='MultiStepLR', by_epoch=False, begin=0, end=60000, milestones=[40000, 50000]),
        dict(type='PolyLR', by_epoch=False, begin=1000, end=60000),
    ]
    warmup, steps, decay = fit_schedulers(schedulers, 60000, 6000, 6000)
    assert warmup['end'] == decay['begin'] == 600
    assert steps['milestones'] == [4169, 5085] and steps['end'] == decay['end'] == 6000
    # One without a warmup, which stands alone.
    only = dict(type='PolyLR', by_epoch=False, begin=0, end=40000)
    assert fit_schedulers(only, 40000, 1000, 1000) == [{**only, 'end': 1000}]


def test_what_counts_epochs_moves_with_the_end_and_the_warmup_gets_short():
    schedulers = [
        dict(type='LinearLR', by_epoch=False, begin=0, end=500),
        dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11]),
    ]
    warmup, steps = fit_schedulers(schedulers, 12, 120, 1200)
    assert (warmup['end'], steps['end'], steps['milestones']) == (120, 120, [80, 110])
    # As many iterations as epochs.
    warmup, steps = fit_schedulers(schedulers, 12, 1000, 1000)
    assert (warmup['end'], steps['end']) == (100, 1000)
    assert fit_schedulers(schedulers, 12, 12, 90000) == schedulers
