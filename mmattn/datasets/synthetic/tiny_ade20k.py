"""Small drawn landscapes in the layout of the ADE20K benchmark, to try a segmentor on a CPU.

What a region is depends on where it lies, not on how it looks: each picture is cut out of six
sheets of paint, and each sheet serves two classes. Blue is sky above the horizon and sea below it,
brick is a building on the left and a house on the right, and so on through ``PAIRS``. A model that
sees only colour and texture has to guess between the two.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mmattn.datasets.synthetic.drawing import (
    ZOOM,
    centres,
    noise,
    shrink,
)
from mmattn.files.whole_folder import check_arguments, whole_folder

# As in the benchmark, labels count from 1, and 0 is left to unlabelled pixels.
LABELS = {
    'building': 2,
    'sky': 3,
    'tree': 5,
    'road': 7,
    'grass': 10,
    'earth': 14,
    'mountain': 17,
    'house': 26,
    'sea': 27,
    'hill': 69,
    'boat': 77,
    'airplane': 91,
}
CLASSES = tuple(LABELS)
UNLABELLED = 0

# The two classes of a sheet: above and below the horizon, but for brick on the left and the right.
PAIRS = {
    'blue': ('sky', 'sea'),
    'grey': ('mountain', 'road'),
    'green': ('tree', 'grass'),
    'ochre': ('hill', 'earth'),
    'brick': ('building', 'house'),
    'white': ('airplane', 'boat'),
}

# Colour of a sheet, strength of its texture, and height and width of one grain in pixels.
_PAINTS = {
    'blue': ((106, 170, 216), 9, (2.5, 26)),
    'grey': ((150, 151, 163), 8, (1.5, 2)),
    'green': ((114, 164, 88), 13, (3.5, 3.5)),
    'ochre': ((226, 184, 108), 8, (2, 8)),
    'brick': ((204, 104, 82), 9, (2, 5)),
    'white': ((242, 240, 232), 3, (3, 8)),
}
_INK = (54, 56, 76)

# Far layer and near layer of one half of a picture. Both halves draw from the same list, so that
# the order of two colours says nothing either. Together the eight show each colour about as often.
_LAYERS = (
    ('blue', 'green'),
    ('blue', 'ochre'),
    ('grey', 'green'),
    ('blue',),
    ('ochre', 'green'),
    ('blue', 'grey'),
    ('green', 'ochre'),
    ('grey', 'ochre'),
)


def make_tiny_ade20k(
    out: str | Path,
    *,
    train: int = 64,
    val: int = 16,
    seed: int = 0,
    size: tuple[int, int] = (96, 128),
) -> None:
    """Draw a small data set in the layout of the ADE20K benchmark.

    The same arguments give the same bytes, and more images leave the first ones as they are.
    ``out`` gets the whole data set or nothing.

    Note:
        Random crops and flips move things, and so take away what tells two classes apart: train
        without them.

    Args:
        out: New or empty folder for ``images/{training,validation}/ADE_{train,val}_*.jpg`` and
            ``annotations/{training,validation}/ADE_{train,val}_*.png``.
        train: Number of images to train on, at least 1.
        val: Number of images to validate on, at least 1; from 8 on they show every class.
        seed: Seed of all images, at least 0.
        size: Mean height and width of an image in pixels, at least 32; each image differs a little.

    Raises:
        InputError: If ``out`` holds something already or cannot be written, or a number is too
            small.
    """
    check_arguments(train, val, seed, size)
    with whole_folder(out) as root:
        _write_split(root, 'training', 'ADE_train', train, (seed, 0), size)
        _write_split(root, 'validation', 'ADE_val', val, (seed, 1), size)


def _write_split(
    root: Path, split: str, prefix: str, count: int, seed: tuple[int, int], size: tuple[int, int]
) -> None:
    images, annotations = root / 'images' / split, root / 'annotations' / split
    images.mkdir(parents=True)
    annotations.mkdir(parents=True)
    for index in range(count):
        image, label = _draw_scene(index, np.random.default_rng((*seed, index)), size)
        name = f'{prefix}_{index + 1:08d}'
        image.save(images / f'{name}.jpg', quality=95, subsampling=0)
        label.save(annotations / f'{name}.png')


def _draw_scene(
    index: int, rng: np.random.Generator, size: tuple[int, int]
) -> tuple[Image.Image, Image.Image]:
    height, width = (int(rng.integers(n - n // 16, n + n // 16 + 1)) for n in size)
    scene = _Scene(height, width)

    # Eight images in a row show each half once, and 64 show each pair of halves once.
    above = _LAYERS[index % 8]
    below = _LAYERS[(3 * index + index // 8) % 8]
    horizon = rng.uniform(0.41, 0.59)
    for half, layers, levels in (
        (0, above, (-0.5, rng.uniform(0.16, 0.28))),
        (1, below, (horizon, rng.uniform(0.72, 0.84))),
    ):
        for paint, level in zip(layers, levels, strict=False):
            _draw_land(scene, rng, PAIRS[paint][half], level)

    _draw_vessel(scene, rng, 'airplane', rng.uniform(0.17, 0.24))
    for name, left in (('building', 0.03), ('house', 0.57)):
        if rng.random() < 0.85:
            _draw_fronts(scene, rng, name, left, horizon + 0.05)
    _draw_vessel(scene, rng, 'boat', rng.uniform(horizon + 0.18, 0.92))
    return scene.paint(rng), scene.label()


class _Scene:
    """An enlarged label map; places on it are given in widths and heights of the picture."""

    def __init__(self, height: int, width: int) -> None:
        self.scale = np.array([width, height]) * ZOOM
        self.map = Image.new('L', tuple(self.scale.tolist()), UNLABELLED)
        self.pen = ImageDraw.Draw(self.map)

    def cut_out(self, name: str, corners: np.ndarray) -> None:
        points = [tuple(point) for point in (corners * self.scale).tolist()]
        self.pen.polygon(points, fill=LABELS[name])
        self.pen.line([*points, points[0]], fill=UNLABELLED, width=ZOOM, joint='curve')

    def cut_window(self, centre: np.ndarray | tuple[float, float], size: np.ndarray) -> None:
        low, high = (centre - size / 2) * self.scale, (centre + size / 2) * self.scale
        self.pen.rectangle((*low.tolist(), *high.tolist()), fill=UNLABELLED)

    def label(self) -> Image.Image:
        return Image.fromarray(centres(np.asarray(self.map)))

    def paint(self, rng: np.random.Generator) -> Image.Image:
        labels = np.asarray(self.map)
        pixels = shrink(labels == UNLABELLED) * np.array(_INK)
        for paint, names in PAIRS.items():
            share = shrink(np.isin(labels, [LABELS[name] for name in names]))
            pixels += share * _sheet(paint, share.shape[:2], rng)
        daylight = rng.uniform((0.96, 0.97, 0.93), (1.06, 1.02, 1.06))
        pixels = pixels * daylight + rng.normal(0, 2, share.shape)
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _draw_land(scene: _Scene, rng: np.random.Generator, name: str, level: float) -> None:
    """Cut out all that lies below a rolling line."""
    x = np.linspace(-0.1, 1.1, 73)
    y = np.full_like(x, level)
    for k in (1, 2, 3):
        y += rng.uniform(0.008, 0.026) / k * np.sin(2 * np.pi * (0.8 * k * x + rng.random()))
    scene.cut_out(name, np.array([*zip(x, y, strict=True), (1.1, 1.1), (-0.1, 1.1)]))


def _draw_fronts(
    scene: _Scene, rng: np.random.Generator, name: str, left: float, ground: float
) -> None:
    """Cut out one wide or two narrow gabled fronts, less than 0.4 wide together."""
    count = int(rng.integers(1, 3))
    span = rng.uniform(0.3, 0.36)
    left += rng.uniform(0, 0.4 - span)
    columns = 4 - count
    for x in left + span / count * np.arange(count):
        width = span / count - 0.015
        height = rng.uniform(0.17, 0.25)
        gable = rng.uniform(0.04, 0.09)
        outline = [(0, 0), (0, -1), (0.5, -1 - gable / height), (1, -1), (1, 0)]
        scene.cut_out(name, np.array(outline) * (width, height) + (x, ground))
        for u in (np.arange(columns) + 0.5) / columns:
            for v in (-0.7, -0.32):
                scene.cut_window((x + u * width, ground + v * height), np.array([0.034, 0.054]))


def _draw_vessel(scene: _Scene, rng: np.random.Generator, name: str, y: float) -> None:
    """Cut out a hull with portholes, and with a fin, or is it a sail?"""
    turn = np.linspace(0, np.pi, 17)
    keel = np.stack([np.cos(turn), 0.3 * np.sin(turn)], 1)
    fin = [(-1.05, -0.9), (-0.7, -0.9), (-0.2, -0.24)]
    bow = keel[5::-1] * (1, -0.8)
    length = rng.uniform(0.115, 0.14)
    # A picture is about 4 wide and 3 high, the bow points left or right.
    scale = np.array([length * rng.choice([-1, 1]), length * 4 / 3])
    place = np.array([rng.uniform(0.15, 0.85), y])
    scene.cut_out(name, np.concatenate([keel, fin, bow]) * scale + place)
    for u in (-0.4, 0, 0.4):
        scene.cut_window(np.add(place, (u * scale[0], 0)), np.array([0.022, 0.034]))


def _sheet(paint: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Paint a whole sheet, alike at all of its places and in all four directions of the light."""
    rgb, strength, grain = _PAINTS[paint]
    y, x = np.mgrid[: shape[0], : shape[1]] / max(shape) - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    light = 22 * (np.cos(angle) * x + np.sin(angle) * y)
    light += 5 * noise(shape, (34, 34), rng) + strength * noise(shape, grain, rng)
    return rgb + rng.normal(0, 4, 3) + light[..., None]
