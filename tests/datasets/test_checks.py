import shutil

import pytest

from mmattn.datasets import check_data, make_tiny_ade20k
from mmattn.errors import InputError


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp('tiny') / 'ade'
    make_tiny_ade20k(root, train=3, val=1, size=(32, 32))
    return root


@pytest.fixture
def root(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / 'ade')
    return tmp_path / 'ade'


def dataset(root):
    prefix = dict(img_path='images/training', seg_map_path='annotations/training')
    return dict(type='ADE20KDataset', data_root=str(root), data_prefix=prefix)


def test_a_whole_data_set_passes(root):
    check_data(dataset(root), 'd')
    check_data(dict(type='RepeatDataset', times=50, dataset=dataset(root)), 'd')
    check_data(dict(type='ConcatDataset', datasets=[dataset(root), dataset(root)]), 'd')


def test_missing_root(tmp_path):
    with pytest.raises(
        InputError, match=r'd\.data_root .*nope is not a folder; .*make_tiny_dataset'
    ):
        check_data(dataset(tmp_path / 'nope'), 'd')


def test_wrappers_are_looked_into(tmp_path):
    inner = dict(type='ConcatDataset', datasets=[dataset(tmp_path / 'nope')])
    with pytest.raises(
        InputError, match=r'd\.dataset\.datasets\[0\]\.data_root .*nope is not a folder'
    ):
        check_data(dict(type='RepeatDataset', dataset=inner), 'd')


@pytest.mark.parametrize(
    'file',
    [
        'index_ade20k.pkl',
        'images/ADE/training/nature/beach/ADE_train_00000001.jpg',
        'images/training/b/beach/ADE_train_00000001_seg.png',
    ],
)
def test_full_release(tmp_path, file):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    with pytest.raises(
        InputError, match='is the full ADE20K release; expected the benchmark ADEChallenge'
    ):
        check_data(dataset(tmp_path), 'd')


def test_another_folder(tmp_path):
    with pytest.raises(InputError, match='has no folders images and annotations'):
        check_data(dataset(tmp_path), 'd')


def test_a_split_is_missing(root):
    shutil.rmtree(root / 'images' / 'training')
    with pytest.raises(InputError, match=r'd\.data_prefix\.img_path .*training is not a folder'):
        check_data(dataset(root), 'd')


def test_no_images(root):
    for path in (root / 'images' / 'training').iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r'images/training holds no \*\.jpg file'):
        check_data(dataset(root), 'd')


def test_a_map_is_missing(root):
    (root / 'annotations' / 'training' / 'ADE_train_00000002.png').unlink()
    with pytest.raises(InputError, match=r'1 of 3 images .*ADE_train_00000002\.png does not exist'):
        check_data(dataset(root), 'd')


def test_annotation_file_is_missing(root):
    with pytest.raises(InputError, match=r'd\.ann_file .*split\.txt does not exist'):
        check_data({**dataset(root), 'ann_file': 'split.txt'}, 'd')
