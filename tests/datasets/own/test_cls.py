"""Class folders."""

import numpy as np
import pytest

from mmattn.datasets.own.cls import find_cls
from mmattn.errors import InputError
from tests.datasets.own.folders import save_image, save_map


def save_folders(root, *paths):
    for path in paths:
        save_image(root / path)


def test_reads_folders_as_they_are(tmp_path):
    for split in ('train', 'valid', 'test'):
        save_folders(tmp_path, f'{split}/cat/1.jpg', f'{split}/dog/1.png', f'{split}/dog/x/2.jpg')
    found = find_cls(tmp_path, None)
    assert found.classes == ('cat', 'dog')
    assert found.datasets['val'] == dict(data_prefix='valid')
    assert found.counts == dict(train=3, val=3, test=3)
    assert (found.files, found.troubles) == ({}, [])
    # Other names for the same folders.
    assert find_cls(tmp_path, ['Katze', 'Hund']).classes == ('Katze', 'Hund')


def test_lists_what_folders_do_not_say(tmp_path):
    save_folders(tmp_path, 'train/cat/1.jpg', 'train/dog/1.jpg', 'val/dog/1.webp', 'val/x.jpg')
    found = find_cls(tmp_path, None)
    assert found.datasets['val'] == dict(data_prefix='')
    assert found.files['val'] == ('.txt', 'val/dog/1.webp 1\n')
    assert found.troubles == [
        f'1 image in no class folder, left out: {tmp_path}/val/x.jpg',
        'val has no image of cat',
    ]


def test_divides_each_class(tmp_path):
    save_folders(tmp_path, *(f'{name}/{i}.jpg' for name in ('b c', 'a') for i in range(5)))
    found = find_cls(tmp_path, ['b c', 'a'])
    assert found.classes == ('b c', 'a')
    assert found.files['val'] == ('.txt', 'b c/4.jpg 0\na/4.jpg 1\n')
    assert found.counts == dict(train=8, val=2)


def test_wrong_number_of_names(tmp_path):
    save_folders(tmp_path, 'a/1.jpg', 'b/1.jpg')
    with pytest.raises(InputError) as raised:
        find_cls(tmp_path, ['x'])
    assert str(raised.value) == (
        f'{tmp_path} has 2 class folders (a, b), but 1 classes are named (x); give one name for '
        'each folder, in alphabetical order'
    )


def test_images_and_masks_are_no_classes(tmp_path):
    save_folders(tmp_path, 'images/1.jpg')
    save_map(tmp_path / 'masks' / '1.png', np.uint8([0, 1]))
    with pytest.raises(InputError) as raised:
        find_cls(tmp_path, None)
    assert str(raised.value) == (
        f'{tmp_path} has no class folders: 2 images (in images, masks); expected train/NAME/*.jpg '
        'and val/NAME/*.jpg, or NAME/*.jpg, for two names or more; for label maps: mmattn data '
        f'init seg --from {tmp_path}'
    )
