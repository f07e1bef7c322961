import shutil

import numpy as np
import pytest
from PIL import Image

from mmattn import CamVidDataset
from mmattn.datasets.audit.run import inspect_dataset
from mmattn.datasets.synthetic.tiny_camvid import make_tiny_camvid
from mmattn.errors import InputError

CLASSES = 'sky building pole road pavement tree sign fence car pedestrian bicyclist'.split()
LOADERS = [dict(type='LoadImage'), dict(type='LoadSegMap', max_label=11, ignore_index=255)]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('camvid') / 'CamVid'
    make_tiny_camvid(root, train=5, val=2, size=(96, 128))
    return root


def maps(root, split='train'):
    return [np.asarray(Image.open(path)) for path in sorted((root / f'{split}annot').glob('*'))]


def test_files_are_named_as_in_the_data_set(root):
    names = {path.relative_to(root).as_posix() for path in root.rglob('*.png')}
    assert len(names) == 2 * (5 + 2 + 2)
    assert {'train/0001TP_000004.png', 'trainannot/0001TP_000004.png'} < names
    assert {'val/0001TP_000001.png', 'testannot/0001TP_000001.png'} < names


def test_five_images_show_every_class_and_void(root):
    shown = np.stack(maps(root))
    assert np.unique(shown).tolist() == list(range(12))
    # The upper edge is sky and the lower one the car that carries the camera.
    assert (shown[:, 0] == 0).mean() > 0.5
    assert (shown[:, -1, 60:68] == 11).all()


@pytest.mark.parametrize('void', [11, 255])
@pytest.mark.parametrize('loader', ['ours', 'stock'])
def test_void_is_ignored_whichever_number_it_has(root, tmp_path, loader, void):
    make_tiny_camvid(tmp_path / 'data', train=2, val=1, size=(32, 48))
    expected = maps(tmp_path / 'data')
    for path in (tmp_path / 'data' / 'trainannot').glob('*'):
        labels = np.asarray(Image.open(path))
        Image.fromarray(np.where(labels == 11, np.uint8(void), labels)).save(path)
    pipeline = LOADERS
    if loader == 'stock':
        pytest.importorskip('mmseg.datasets', reason='needs mmseg')
        pipeline = [dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')]
    data = CamVidDataset(str(tmp_path / 'data'), pipeline=pipeline)
    assert list(data.metainfo['classes']) == CLASSES
    assert len(data) == 2 == len(expected)
    for sample, labels in zip(data, expected, strict=True):
        assert (labels == 11).any()
        np.testing.assert_array_equal(sample['gt_seg_map'], np.where(labels == 11, 255, labels))


def test_images_with_another_suffix(root, tmp_path):
    (tmp_path / 'train').mkdir()
    for path in (root / 'train').glob('*.png'):
        Image.open(path).save(tmp_path / 'train' / f'{path.stem}.jpg')
    (tmp_path / 'trainannot').symlink_to(root / 'trainannot')
    data = CamVidDataset(str(tmp_path), img_suffix='.jpg', pipeline=LOADERS)
    for sample, labels in zip(data, maps(root), strict=True):
        np.testing.assert_array_equal(sample['gt_seg_map'], np.where(labels == 11, 255, labels))


def test_other_classes_are_refused(root):
    with pytest.raises(InputError, match='got sky, road as metainfo.classes; leave it out'):
        CamVidDataset(str(root), metainfo=dict(classes=('sky', 'road')))


def test_a_split_without_labels_is_left_out_and_a_folder_without_splits_refused(root, tmp_path):
    (tmp_path / 'train').symlink_to(root / 'train')
    shutil.copytree(root / 'trainannot', tmp_path / 'trainannot')
    (tmp_path / 'test').symlink_to(root / 'test')
    [path, *_] = sorted((tmp_path / 'trainannot').glob('*'))
    Image.fromarray(np.full((96, 128), 255, np.uint8)).save(path)
    found = inspect_dataset('camvid', tmp_path, workers=1)
    assert found.faults == []
    assert found.notes == [f'test is left out: there is no folder {tmp_path / "testannot"}']
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='has no folder train, val or test; expected CamVid of'):
        inspect_dataset('camvid', tmp_path / 'empty')
