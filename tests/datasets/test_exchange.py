import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import TRANSFORMS, init_default_scope
from PIL import Image

from mmattn.datasets.exchange import read_as_validation


def config(test, validation, scope='mmseg'):
    return Config(
        dict(
            default_scope=scope,
            test_dataloader=dict(dataset=dict(type='X', pipeline=test)),
            val_dataloader=dict(dataset=dict(type='X', pipeline=validation)),
        )
    )


CHECKING = [dict(type='LoadImage'), dict(type='LoadSegMap', max_label=11)]


def test_says_what_it_exchanges_and_keeps_the_decoder():
    cfg = config([dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')], CHECKING)
    assert read_as_validation(cfg) == (
        'test_dataloader reads with LoadImage and LoadSegMap, as val_dataloader does, instead of '
        'LoadImageFromFile and LoadAnnotations'
    )
    image, labels = cfg.test_dataloader.dataset.pipeline
    # That of mmcv's LoadImageFromFile, where a config names none.
    assert image == dict(type='LoadImage', imdecode_backend='cv2')
    assert labels == CHECKING[1]
    assert read_as_validation(cfg) is None


def test_reaches_augmentations_and_wrappers():
    augmented = dict(type='TestTimeAug', transforms=[[dict(type='LoadAnnotations')]])
    cfg = config([], CHECKING)
    inner = dict(type='X', pipeline=[augmented])
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[inner])
    assert read_as_validation(cfg)
    [found] = cfg.test_dataloader.dataset.datasets[0].pipeline
    assert found.transforms == [[CHECKING[1]]]


STOCK = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]


@pytest.mark.parametrize(
    ('test', 'validation', 'scope'),
    [
        (STOCK, STOCK, 'mmseg'),
        ([dict(type='LoadAnnotations', reduce_zero_label=True)], CHECKING, 'mmseg'),
        (
            [dict(type='LoadAnnotations')],
            [*CHECKING, dict(type='LoadSegMap', max_label=3)],
            'mmseg',
        ),
        ([dict(type='LoadAnnotations', with_bbox=True)], CHECKING[:1], 'mmdet'),
        ([dict(type='Resize', scale=(4, 4))], CHECKING, 'mmseg'),
    ],
    ids=['stock', 'options', 'two', 'boxes', 'neither'],
)
def test_leaves_alone_what_the_validation_reads_as_well(test, validation, scope):
    cfg = config(test, validation, scope)
    assert read_as_validation(cfg) is None
    assert cfg.test_dataloader.dataset.pipeline == test


def test_needs_no_validation():
    cfg = config(STOCK, CHECKING)
    cfg.val_dataloader = None
    assert read_as_validation(cfg) is None


@pytest.mark.parametrize(
    ('classes', 'reduce_zero_label', 'ignored'), [(150, True, None), (19, False, 255)]
)
@pytest.mark.parametrize('label_map', [None, {0: 255, 1: 3, 2: 0}], ids=['all', 'some'])
def test_reads_the_same_pixels_and_labels(tmp_path, classes, reduce_zero_label, ignored, label_map):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(tmp_path / 'a.jpg')
    labels = rng.integers(0, classes + reduce_zero_label, (64, 80), dtype=np.uint8)
    if ignored:
        labels[:9] = ignored
    Image.fromarray(labels).save(tmp_path / 'a.png')
    maps = dict(type='LoadSegMap', max_label=classes - 1 + reduce_zero_label, ignore_index=ignored)
    stock = [dict(type='LoadImageFromFile', imdecode_backend='pillow'), dict(STOCK[1])]
    cfg = config(stock, [CHECKING[0], maps])
    init_default_scope('mmseg')
    read = []
    for _ in range(2):
        results = dict(
            img_path=str(tmp_path / 'a.jpg'),
            seg_map_path=str(tmp_path / 'a.png'),
            reduce_zero_label=reduce_zero_label,
            label_map=label_map,
            seg_fields=[],
        )
        for step in cfg.test_dataloader.dataset.pipeline:
            results = TRANSFORMS.build(step)(results)
        read.append(results)
        read_as_validation(cfg)
    for key in ('img', 'gt_seg_map'):
        np.testing.assert_array_equal(read[0][key], read[1][key])
