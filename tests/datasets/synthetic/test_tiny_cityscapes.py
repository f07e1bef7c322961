import numpy as np
import pytest
from PIL import Image

from mmattn.datasets.synthetic.tiny_cityscapes import LABEL_IDS, TRAIN_IDS, make_tiny_cityscapes


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('cityscapes') / 'cityscapes'
    make_tiny_cityscapes(root, train=10, val=2, size=(96, 160))
    return root


def maps(root, kind, split='train'):
    for path in sorted((root / 'gtFine' / split).glob(f'*/*_gtFine_{kind}.png')):
        yield np.asarray(Image.open(path))


def test_files_are_named_as_in_the_benchmark(root):
    names = {path.relative_to(root).as_posix() for path in root.rglob('*.png')}
    assert len(names) == 36
    stem = 'val/frankfurt/frankfurt_000001_000019'
    assert {
        f'leftImg8bit/{stem}_leftImg8bit.png',
        f'gtFine/{stem}_gtFine_labelIds.png',
        f'gtFine/{stem}_gtFine_labelTrainIds.png',
    } < names


def test_ten_images_show_every_class(root):
    shown = np.unique(np.stack(list(maps(root, 'labelTrainIds'))))
    assert shown.tolist() == [*range(19), 255]


def test_both_label_maps_agree(root):
    train_ids = np.full(256, 255)
    for name, label_id in LABEL_IDS.items():
        train_ids[label_id] = TRAIN_IDS[name]
    pairs = list(zip(maps(root, 'labelIds'), maps(root, 'labelTrainIds'), strict=True))
    assert len(pairs) == 10
    for labels, trained in pairs:
        np.testing.assert_array_equal(train_ids[labels], trained)
        assert 0 < (trained == 255).mean() < 0.1


def test_mmseg_reads_it(root):
    datasets = pytest.importorskip('mmseg.datasets', reason='needs mmseg')
    dataset = datasets.CityscapesDataset(
        data_root=str(root),
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=[
            dict(type='LoadImage'),
            dict(type='LoadSegMap', max_label=18, ignore_index=255),
        ],
    )
    assert len(dataset) == 10
    assert list(dataset.metainfo['classes']) == list(TRAIN_IDS)
    for sample, labels in zip(dataset, maps(root, 'labelTrainIds'), strict=True):
        np.testing.assert_array_equal(sample['gt_seg_map'], labels)
        assert sample['img'].shape == (96, 160, 3)
