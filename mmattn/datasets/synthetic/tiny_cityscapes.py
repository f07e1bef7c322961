"""Small drawn streets in the layout of Cityscapes, to try a segmentor on a CPU."""

from pathlib import Path

import numpy as np
from PIL import Image

from mmattn.datasets.synthetic.drawing import (
    Canvas,
    centres,
    noise,
    shrink,
)
from mmattn.datasets.synthetic.scenes import (
    PARTS,
    ellipse,
    limb,
    person,
)
from mmattn.files.whole_folder import check_arguments, whole_folder

# Classes in the order of their train ids, with their label ids in the files of the benchmark.
LABEL_IDS = {
    'road': 7,
    'sidewalk': 8,
    'building': 11,
    'wall': 12,
    'fence': 13,
    'pole': 17,
    'traffic light': 19,
    'traffic sign': 20,
    'vegetation': 21,
    'terrain': 22,
    'sky': 23,
    'person': 24,
    'rider': 25,
    'car': 26,
    'truck': 27,
    'bus': 28,
    'train': 31,
    'motorcycle': 32,
    'bicycle': 33,
}
TRAIN_IDS = {name: train_id for train_id, name in enumerate(LABEL_IDS)}
IGNORED = 255
# The car that carries the camera has a label id, but no train id.
_EGO_VEHICLE = 1

_LAND = ('sky', 'terrain', 'sidewalk', 'road')
_COLOURS = {
    'sky': (190, 214, 232),
    'terrain': (172, 190, 112),
    'sidewalk': (208, 190, 186),
    'road': (112, 112, 120),
}
# What drives on the road besides a car, in turns.
_TRAFFIC = ('truck', 'bus', 'train', 'motorcycle', 'bicycle')
_GLASS = (176, 216, 236)
_TYRE = (48, 48, 56)


def make_tiny_cityscapes(
    out: str | Path,
    *,
    train: int = 64,
    val: int = 16,
    seed: int = 0,
    size: tuple[int, int] = (96, 192),
) -> None:
    """Draw a small data set in the layout of Cityscapes.

    The same arguments give the same bytes, and more images leave the first ones as they are.
    ``out`` gets the whole data set or nothing. Ten in a row show all 19 classes.

    Args:
        out: New or empty folder for ``leftImg8bit/{train,val}/<city>/*_leftImg8bit.png`` and
            ``gtFine/{train,val}/<city>/*_gtFine_{labelIds,labelTrainIds}.png``.
        train: Number of images to train on, at least 1.
        val: Number of images to validate on, at least 1.
        seed: Seed of all images, at least 0.
        size: Height and width of each image in pixels, at least 32.

    Raises:
        InputError: If ``out`` holds something already or cannot be written, or a number is too
            small.
    """
    check_arguments(train, val, seed, size)
    with whole_folder(out) as root:
        _write_split(root, 'train', 'aachen', train, (seed, 0), size)
        _write_split(root, 'val', 'frankfurt', val, (seed, 1), size)


def _write_split(
    root: Path, split: str, city: str, count: int, seed: tuple[int, int], size: tuple[int, int]
) -> None:
    images, annotations = (root / part / split / city for part in ('leftImg8bit', 'gtFine'))
    images.mkdir(parents=True)
    annotations.mkdir(parents=True)
    train_ids = np.full(256, IGNORED, np.uint8)
    train_ids[list(LABEL_IDS.values())] = np.arange(len(LABEL_IDS))
    for index in range(count):
        image, labels = draw_street(index, np.random.default_rng((*seed, index)), size)
        name = f'{city}_{index:06d}_000019'
        image.save(images / f'{name}_leftImg8bit.png')
        for kind, values in (('labelIds', labels), ('labelTrainIds', train_ids[labels])):
            Image.fromarray(values).save(annotations / f'{name}_gtFine_{kind}.png')


def draw_street(
    index: int, rng: np.random.Generator, size: tuple[int, int]
) -> tuple[Image.Image, np.ndarray]:
    """Draw a street, and the label id of each of its pixels.

    Args:
        index: Number of the picture, by which what drives on the road takes turns.
        rng: Source of chance.
        size: Height and width in pixels.

    Returns:
        The picture, and bytes of shape (H, W).
    """
    street = _Street(*size, LABEL_IDS['sky'], _COLOURS['sky'])
    end = rng.uniform((0.42, 0.42), (0.58, 0.48))
    street.lay_ground(end)
    for side in (-1, 1):
        street.build_houses(rng, end, side)
    street.plant_tree(rng, np.add(end, (rng.choice([-0.2, 0.2]), 0.1)))
    street.enclose(('wall', 'fence')[index % 2], rng, end)
    street.put_up_signs(rng, end)

    left, right = rng.permutation([0.3, 0.68]) + rng.uniform(-0.04, 0.04, 2)
    far, near = rng.uniform(0.66, 0.72), rng.uniform(0.84, 0.9)
    vehicle = _TRAFFIC[index % len(_TRAFFIC)]
    if vehicle in ('truck', 'bus', 'train'):
        street.drive(vehicle, np.array([left, far]), rng)
    else:
        street.ride(vehicle, np.array([left, near]), rng)
    street.stand('car', PARTS['car'], np.array([right, near]), rng.uniform(0.2, 0.26), rng)
    for x in (rng.uniform(0.04, 0.1), rng.uniform(0.9, 0.96)):
        street.stand('person', person(rng)[0], np.array([x, 0.93]), rng.uniform(0.36, 0.46), rng)
    street.cut_out(_EGO_VEHICLE, (70, 74, 84), ellipse(0.5, 1.02, 0.4, 0.08))
    return street.finish(rng)


class _Street(Canvas):
    """A canvas with the label ids of Cityscapes."""

    def draw(self, name: str, colour: tuple, outline: np.ndarray | list) -> None:
        self.cut_out(LABEL_IDS[name], colour, outline)

    def stand(
        self, name: str, parts: list, foot: np.ndarray, tall: float, rng: np.random.Generator
    ) -> None:
        tint = rng.normal(0, 9, 3)
        for colour, part in parts:
            tone = tuple((np.array(colour) + tint).clip(0, 255).astype(int).tolist())
            self.cut_out(LABEL_IDS[name], tone, self.at(part, foot, tall))

    def lay_ground(self, end: np.ndarray) -> None:
        x, y = end
        for name, top, bottom in (
            ('terrain', 1, 2),
            ('sidewalk', 0.09, 0.78),
            ('road', 0.04, 0.42),
        ):
            land = [(x - top, y), (x + top, y), (0.5 + bottom, 1), (0.5 - bottom, 1)]
            self.cut_out(LABEL_IDS[name], _COLOURS[name], land, outline=False)

    def build_houses(self, rng: np.random.Generator, end: np.ndarray, side: int) -> None:
        """Line one side with three houses, the nearest last and tallest."""
        for near in (0, 1, 2):
            inner = end[0] + side * (0.1 + 0.12 * near)
            outer = inner + side * 0.15
            roof, foot = rng.uniform(0.12, 0.2) - 0.06 * near, end[1] + 0.02 + 0.02 * near
            colour = tuple(int(c) for c in np.add((176, 124, 104), rng.normal(0, 14, 3)))
            walls = [(inner, foot), (inner, roof), (outer, roof), (outer, foot)]
            self.draw('building', colour, walls)
            for u in (0.3, 0.7):
                for v in (0.2, 0.5, 0.8):
                    window = ellipse(0, 0, 1, 1)[3::6] * (0.022, 0.03)
                    place = (inner + u * (outer - inner), roof + v * (foot - roof))
                    self.draw('building', (92, 96, 120), window + place)

    def plant_tree(self, rng: np.random.Generator, foot: np.ndarray) -> None:
        x, y = foot
        trunk = [(x - 0.012, y), (x - 0.012, y - 0.2), (x + 0.012, y - 0.2), (x + 0.012, y)]
        crown = ellipse(x, y - 0.28, rng.uniform(0.07, 0.1), rng.uniform(0.14, 0.18))
        self.draw('vegetation', (112, 84, 60), trunk)
        self.draw('vegetation', (72, 132, 64), crown)

    def enclose(self, name: str, rng: np.random.Generator, end: np.ndarray) -> None:
        """Put a wall or a fence along the left or the right sidewalk."""
        side = rng.choice([-1, 1])
        far, near = end[0] + side * 0.16, 0.5 + side * 0.55
        top, low = end[1] + 0.02, end[1] + 0.08
        colour = {'wall': (150, 140, 160), 'fence': (196, 148, 84)}[name]
        corners = [(far, top), (near, top - 0.03), (near, low + 0.16), (far, low)]
        self.draw(name, colour, corners)
        if name == 'fence':
            for u in np.linspace(0.08, 0.92, 9):
                x = far + u * (near - far)
                slat = [(x, top - 0.03 * u), (x, low + 0.16 * u)]
                self.draw(name, colour, [*slat, slat[0]])

    def put_up_signs(self, rng: np.random.Generator, end: np.ndarray) -> None:
        """Plant a traffic light on one side of the road and a traffic sign on the other."""
        first = rng.choice([-1, 1])
        for side, name in ((first, 'traffic light'), (-first, 'traffic sign')):
            x, foot, top = end[0] + side * rng.uniform(0.24, 0.3), 0.74, rng.uniform(0.2, 0.28)
            post = [(x - 0.006, foot), (x - 0.006, top), (x + 0.006, top), (x + 0.006, foot)]
            self.draw('pole', (124, 132, 140), post)
            if name == 'traffic sign':
                self.draw(name, (252, 216, 40), ellipse(x, top, 0.034, 0.068))
                continue
            case = [(-0.022, -0.11), (0.022, -0.11), (0.022, 0.11), (-0.022, 0.11)]
            self.draw(name, (40, 44, 40), np.add(case, (x, top)))
            for y, lamp in ((-0.07, (236, 56, 40)), (0, (248, 180, 32)), (0.07, (64, 208, 96))):
                self.draw(name, lamp, ellipse(x, top + y, 0.012, 0.024))

    def drive(self, name: str, foot: np.ndarray, rng: np.random.Generator) -> None:
        """Put a large vehicle on the road."""
        body = {'truck': (84, 132, 92), 'bus': (60, 84, 188), 'train': (168, 84, 176)}[name]
        parts: list[tuple] = [(body, [(-1, -0.12), (-1, -1), (0.98, -1), (0.98, -0.12)])]
        if name == 'truck':
            cab = [(0.42, -0.12), (0.42, -0.78), (0.8, -0.78), (0.98, -0.45), (0.98, -0.12)]
            parts = [
                ((204, 208, 196), [(-1, -0.12), (-1, -1), (0.38, -1), (0.38, -0.12)]),
                (body, cab),
            ]
        else:
            for x in np.linspace(-0.82, 0.62, 4 if name == 'bus' else 6):
                parts.append((_GLASS, [(x, -0.85), (x + 0.2, -0.85), (x + 0.2, -0.5), (x, -0.5)]))
        if name == 'train':
            parts.append(((236, 232, 220), [(-1, -0.36), (0.98, -0.36), (0.98, -0.2), (-1, -0.2)]))
        for x in (-0.68, 0.66):
            parts.append((_TYRE, ellipse(x, -0.14, 0.15, 0.15)))
        self.stand(name, parts, foot, rng.uniform(0.3, 0.36), rng)

    def ride(self, name: str, foot: np.ndarray, rng: np.random.Generator) -> None:
        """Put a rider on two wheels on the road."""
        tall = rng.uniform(0.42, 0.5)
        body, tank = {
            'bicycle': ((60, 168, 176), 0.025),
            'motorcycle': ((136, 40, 60), 0.075),
        }[name]
        seat, hub, front, bar = (
            np.array(place) for place in ((-0.1, -0.42), (-0.26, -0.16), (0.26, -0.16), (0.2, -0.5))
        )
        wheels = [ellipse(x, y, 0.16, 0.16) for x, y in (hub, front)]
        frame = [limb(a, b, tank) for a, b in ((hub, seat), (seat, front), (front, bar))]
        parts = [*((_TYRE, wheel) for wheel in wheels), *((body, stroke) for stroke in frame)]
        self.stand(name, parts, foot, tall, rng)
        neck, pedal = np.array((0.02, -0.78)), np.array((0.02, -0.16))
        strokes = [(seat, pedal, 0.05), (seat, neck, 0.08), (neck, bar, 0.035)]
        clothes = ((76, 72, 124), (236, 128, 48), (236, 128, 48))
        parts = [(c, limb(a, b, r)) for c, (a, b, r) in zip(clothes, strokes, strict=True)]
        parts.append(((232, 184, 148), ellipse(0.05, -0.91, 0.09, 0.1)))
        self.stand('rider', parts, foot, tall, rng)

    def finish(self, rng: np.random.Generator) -> tuple[Image.Image, np.ndarray]:
        labels = np.asarray(self.labels)
        pixels = shrink(np.asarray(self.picture))
        shape = pixels.shape[:2]
        land = shrink(np.isin(labels, [LABEL_IDS[name] for name in _LAND]))
        pixels += (6 * land + 2) * noise(shape, (1.5, 3), rng)[..., None]
        pixels += 4 * noise(shape, (30, 30), rng)[..., None]
        daylight = rng.uniform((0.94, 0.95, 0.92), (1.06, 1.03, 1.06))
        image = Image.fromarray((pixels * daylight).clip(0, 255).astype(np.uint8))
        return image, centres(labels).astype(np.uint8)
