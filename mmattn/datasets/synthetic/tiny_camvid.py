"""Small drawn streets in the layout of CamVid, to try a segmentor on a CPU."""

from pathlib import Path

import numpy as np
from PIL import Image

from mmattn.datasets.camvid import CLASSES, VOID
from mmattn.datasets.synthetic.tiny_cityscapes import LABEL_IDS, draw_street
from mmattn.files.whole_folder import check_arguments, whole_folder

# What CamVid calls the things of a street. Like there, what is none of the 11 classes is void.
_NAMES = {
    'road': 'road',
    'sidewalk': 'pavement',
    'building': 'building',
    'fence': 'fence',
    'pole': 'pole',
    'traffic light': 'sign',
    'traffic sign': 'sign',
    'vegetation': 'tree',
    'sky': 'sky',
    'person': 'pedestrian',
    'rider': 'bicyclist',
    'bicycle': 'bicyclist',
    'car': 'car',
    'truck': 'car',
    'bus': 'car',
}


def make_tiny_camvid(
    out: str | Path,
    *,
    train: int = 64,
    val: int = 16,
    seed: int = 0,
    size: tuple[int, int] = (96, 128),
) -> None:
    """Draw a small data set in the layout of CamVid.

    The same arguments give the same bytes, and more images leave the first ones as they are.
    ``out`` gets the whole data set or nothing. Five in a row show all 11 classes.

    Args:
        out: New or empty folder for ``{train,val,test}/*.png`` and
            ``{train,val,test}annot/*.png``.
        train: Number of images to train on, at least 1.
        val: Number of images to validate on, at least 1, and as many to test on.
        seed: Seed of all images, at least 0.
        size: Height and width of each image in pixels, at least 32.

    Raises:
        InputError: If ``out`` holds something already or cannot be written, or a number is too
            small.
    """
    check_arguments(train, val, seed, size)
    with whole_folder(out) as root:
        for part, (split, count) in enumerate((('train', train), ('val', val), ('test', val))):
            _write_split(root, split, count, (seed, part), size)


def _write_split(
    root: Path, split: str, count: int, seed: tuple[int, int], size: tuple[int, int]
) -> None:
    images, maps = root / split, root / f'{split}annot'
    images.mkdir()
    maps.mkdir()
    labels = np.full(256, VOID, np.uint8)
    for theirs, ours in _NAMES.items():
        labels[LABEL_IDS[theirs]] = CLASSES.index(ours)
    for index in range(count):
        image, label_ids = draw_street(index, np.random.default_rng((*seed, index)), size)
        image.save(images / f'0001TP_{index:06d}.png')
        Image.fromarray(labels[label_ids]).save(maps / f'0001TP_{index:06d}.png')
