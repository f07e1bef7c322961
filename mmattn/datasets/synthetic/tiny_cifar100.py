"""Small drawn pictures in the layout of CIFAR-100, to try a classifier on a CPU."""

import pickle
from pathlib import Path

import numpy as np
from PIL import Image

from mmattn.datasets.cifar import FOLDER, SIDE
from mmattn.datasets.synthetic.scenes import THINGS, draw_portrait
from mmattn.files.whole_folder import check_arguments, whole_folder

# Class, of 100, and superclass, of 20, of what is drawn. What CIFAR-100 does not have goes as what
# is nearest: a rocket, and the sea.
LABELS = {
    'airplane': (69, 19),
    'boat': (71, 10),
    'bottle': (9, 3),
    'car': (58, 18),
    'person': (46, 14),
    'plant': (82, 2),
}


def make_tiny_cifar100(
    out: str | Path,
    *,
    train: int = 64,
    val: int = 16,
    seed: int = 0,
    size: tuple[int, int] = (64, 64),
) -> None:
    """Draw a small data set in the layout of CIFAR-100.

    The same arguments give the same bytes, and more images leave the first ones as they are.
    ``out`` gets the whole data set or nothing. Six in a row show each of the six classes that are
    drawn, of 100.

    Args:
        out: New or empty folder for ``cifar-100-python/{train,test}``, two pickles.
        train: Number of images to train on, at least 1.
        val: Number of images to test on, at least 1.
        seed: Seed of all images, at least 0.
        size: Mean height and width in which an image is drawn, at least 32, before it is made
            32x32.

    Raises:
        InputError: If ``out`` holds something already or cannot be written, or a number is too
            small.
    """
    check_arguments(train, val, seed, size)
    with whole_folder(out) as root:
        folder = root / FOLDER
        folder.mkdir()
        for index, (split, count) in enumerate((('train', train), ('test', val))):
            (folder / split).write_bytes(_draw_split(split, count, (seed, index), size))


def _draw_split(split: str, count: int, seed: tuple[int, int], size: tuple[int, int]) -> bytes:
    names = [THINGS[index % len(THINGS)] for index in range(count)]
    rows = []
    for index, name in enumerate(names):
        image = draw_portrait(name, np.random.default_rng((*seed, index)), size)
        pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))
        rows.append(pixels.transpose(2, 0, 1).ravel())
    content = dict(
        data=np.stack(rows),
        fine_labels=[LABELS[name][0] for name in names],
        coarse_labels=[LABELS[name][1] for name in names],
        filenames=[f'{name}_{index + 1:06d}.png' for index, name in enumerate(names)],
        batch_label=f'{split} of a drawn data set',
    )
    return pickle.dumps(content, protocol=2)
