"""Small drawn pictures in the layout of ImageNet-21K, to try a pre-training on a CPU."""

from pathlib import Path

import numpy as np

from mmattn.datasets.synthetic.scenes import THINGS, draw_portrait
from mmattn.datasets.synthetic.tiny_imagenet import LABELS
from mmattn.files.whole_folder import check_arguments, whole_folder


def make_tiny_imagenet21k(
    out: str | Path,
    *,
    train: int = 64,
    val: int = 16,
    seed: int = 0,
    size: tuple[int, int] = (96, 96),
) -> None:
    """Draw a small data set in the layout of ImageNet-21K.

    The same arguments give the same bytes, and more images leave the first ones as they are.
    ``out`` gets the whole data set or nothing. Six in a row show each of the six classes that are
    drawn, which are labelled in the order of their folders.

    Args:
        out: New or empty folder for ``train/<WordNet id>/*.JPEG`` and ``meta/{train,val}.txt``.
        train: Number of images to train on, at least 1.
        val: Number of images in the same folders that are held back, at least 1.
        seed: Seed of all images, at least 0.
        size: Mean height and width of an image in pixels, at least 32; each image differs a little.

    Raises:
        InputError: If ``out`` holds something already or cannot be written, or a number is too
            small.
    """
    check_arguments(train, val, seed, size)
    with whole_folder(out) as root:
        _write_list(root, 'train', train, (seed, 0), size)
        _write_list(root, 'val', val, (seed, 1), size)


def _write_list(
    root: Path, name: str, count: int, seed: tuple[int, int], size: tuple[int, int]
) -> None:
    folders = sorted(folder for folder, _ in LABELS.values())
    lines = []
    for index in range(count):
        thing = THINGS[index % len(THINGS)]
        folder, _ = LABELS[thing]
        path = root / 'train' / folder / f'{folder}_{name}_{index + 1}.JPEG'
        path.parent.mkdir(parents=True, exist_ok=True)
        image = draw_portrait(thing, np.random.default_rng((*seed, index)), size)
        image.save(path, quality=95, subsampling=0)
        lines.append(f'{folder}/{path.name} {folders.index(folder)}\n')
    (root / 'meta').mkdir(exist_ok=True)
    (root / 'meta' / f'{name}.txt').write_text(''.join(lines))
