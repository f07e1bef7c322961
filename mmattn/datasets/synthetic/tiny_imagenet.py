"""Small drawn pictures in the layout of ImageNet, to try a classifier on a CPU."""

from pathlib import Path

import numpy as np

from mmattn.datasets.synthetic.scenes import THINGS, draw_portrait
from mmattn.files.whole_folder import check_arguments, whole_folder

# WordNet id and label, of 1000, of what is drawn.
LABELS = {
    'airplane': ('n02690373', 404),
    'boat': ('n04612504', 914),
    'bottle': ('n02823428', 440),
    'car': ('n03100240', 511),
    'person': ('n09835506', 981),
    'plant': ('n03991062', 738),
}


def make_tiny_imagenet(
    out: str | Path,
    *,
    train: int = 64,
    val: int = 16,
    seed: int = 0,
    size: tuple[int, int] = (96, 96),
) -> None:
    """Draw a small data set in the layout of ImageNet.

    The same arguments give the same bytes, and more images leave the first ones as they are.
    ``out`` gets the whole data set or nothing. Six in a row show each of the six classes that are
    drawn, of 1000; the lists in ``meta`` give them their labels.

    Args:
        out: New or empty folder for ``{train,val}/<WordNet id>/*.JPEG`` and
            ``meta/{train,val}.txt``.
        train: Number of images to train on, at least 1.
        val: Number of images to validate on, at least 1.
        seed: Seed of all images, at least 0.
        size: Mean height and width of an image in pixels, at least 32; each image differs a little.

    Raises:
        InputError: If ``out`` holds something already or cannot be written, or a number is too
            small.
    """
    check_arguments(train, val, seed, size)
    with whole_folder(out) as root:
        _write_split(root, 'train', train, (seed, 0), size)
        _write_split(root, 'val', val, (seed, 1), size)


def _write_split(
    root: Path, split: str, count: int, seed: tuple[int, int], size: tuple[int, int]
) -> None:
    lines = []
    for index in range(count):
        name = THINGS[index % len(THINGS)]
        folder, label = LABELS[name]
        stem = f'{folder}_{index + 1}' if split == 'train' else f'ILSVRC2012_val_{index + 1:08d}'
        path = root / split / folder / f'{stem}.JPEG'
        path.parent.mkdir(parents=True, exist_ok=True)
        image = draw_portrait(name, np.random.default_rng((*seed, index)), size)
        image.save(path, quality=95, subsampling=0)
        lines.append(f'{folder}/{path.name} {label}\n')
    (root / 'meta').mkdir(exist_ok=True)
    (root / 'meta' / f'{split}.txt').write_text(''.join(lines))
