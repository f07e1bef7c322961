"""Small drawn pictures in the layout of CUB-200-2011, to try a classifier on a CPU."""

from pathlib import Path

import numpy as np

from mmattn.datasets.synthetic.scenes import THINGS, draw_portrait
from mmattn.files.whole_folder import check_arguments, whole_folder

# Folder and label, from 1 to 200, of the bird that each thing stands for.
CLASSES = {
    'airplane': ('001.Black_footed_Albatross', 1),
    'boat': ('002.Laysan_Albatross', 2),
    'bottle': ('003.Sooty_Albatross', 3),
    'car': ('004.Groove_billed_Ani', 4),
    'person': ('005.Crested_Auklet', 5),
    'plant': ('006.Least_Auklet', 6),
}


def make_tiny_cub(
    out: str | Path,
    *,
    train: int = 64,
    val: int = 16,
    seed: int = 0,
    size: tuple[int, int] = (96, 96),
) -> None:
    """Draw a small data set in the layout of CUB-200-2011.

    The same arguments give the same bytes, and more images leave the first ones as they are.
    ``out`` gets the whole data set or nothing. Six in a row show each of the six classes that are
    drawn, of 200; they are no birds.

    Args:
        out: New or empty folder for ``images/<class>/*.jpg``, ``images.txt``,
            ``image_class_labels.txt`` and ``train_test_split.txt``.
        train: Number of images to train on, at least 1.
        val: Number of images to test on, at least 1.
        seed: Seed of all images, at least 0.
        size: Mean height and width of an image in pixels, at least 32; each image differs a little.

    Raises:
        InputError: If ``out`` holds something already or cannot be written, or a number is too
            small.
    """
    check_arguments(train, val, seed, size)
    lists: dict[str, list[str]] = {
        name: [] for name in ('images', 'image_class_labels', 'train_test_split')
    }
    with whole_folder(out) as root:
        for is_train, count in ((1, train), (0, val)):
            for index in range(count):
                thing = THINGS[index % len(THINGS)]
                folder, label = CLASSES[thing]
                part = 'train' if is_train else 'test'
                path = root / 'images' / folder / f'{folder[4:]}_{index + 1:04d}_{part}.jpg'
                path.parent.mkdir(parents=True, exist_ok=True)
                generator = np.random.default_rng((seed, 1 - is_train, index))
                draw_portrait(thing, generator, size).save(path, quality=95, subsampling=0)
                values = (f'{folder}/{path.name}', label, is_train)
                for lines, value in zip(lists.values(), values, strict=True):
                    lines.append(f'{len(lines) + 1} {value}\n')
        for name, lines in lists.items():
            (root / f'{name}.txt').write_text(''.join(lines))
