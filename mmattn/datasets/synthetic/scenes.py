"""Scenes of a few plain things on textured ground, and which pixels show which of them.

Each kind of thing has its own outline and colours, so that a small model learns it in minutes.
"""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from mmattn.datasets.synthetic.drawing import (
    Canvas,
    centres,
    noise,
    shrink,
)

# What a pixel of a scene shows; things count on from FIRST_THING, in the order of `Scene.things`.
NOTHING, SKY, GROUND, FIRST_THING = range(4)

# Colour, strength and grain (height and width in pixels) of what covers the ground.
GROUNDS = {
    'grass': ((142, 182, 108), 10, (3, 2)),
    'sand': ((226, 206, 162), 6, (2, 6)),
    'road': ((150, 151, 158), 7, (1.5, 2)),
    'sea': ((96, 148, 184), 8, (2, 22)),
}
_SKY = ((184, 212, 236), 5, (20, 40))
_CLOUD = (240, 244, 248)

# Names and order as in COCO, see https://cocodataset.org/#keypoints-eval; left is the person's.
KEYPOINTS = (
    'nose',
    'left_eye',
    'right_eye',
    'left_ear',
    'right_ear',
    'left_shoulder',
    'right_shoulder',
    'left_elbow',
    'right_elbow',
    'left_wrist',
    'right_wrist',
    'left_hip',
    'right_hip',
    'left_knee',
    'right_knee',
    'left_ankle',
    'right_ankle',
)

# Outlines stand on the origin and are 1 high; x runs to the right, y down. Later parts lie on top.
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 24, endpoint=False)) for f in (np.cos, np.sin)], 1)


def ellipse(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    """Outline of an ellipse around (x, y) with two radii."""
    return _CIRCLE * (rx, ry) + (x, y)


def octagon(x: float, y: float, half: float) -> np.ndarray:
    """Outline of a regular octagon around (x, y), with half of its width."""
    angles = (2 * np.arange(8) + 1) * np.pi / 8
    corners = np.stack([np.cos(angles), np.sin(angles)], 1) / np.cos(np.pi / 8)
    return half * corners + (x, y)


def limb(start: np.ndarray, end: np.ndarray, radius: float) -> np.ndarray:
    """Outline of a stroke with round ends."""
    along = (end - start) / np.linalg.norm(end - start)
    half = np.concatenate([_CIRCLE[18:], _CIRCLE[:7]])
    cap = half @ np.array([along, (-along[1], along[0])])
    return np.concatenate([end + radius * cap, start - radius * cap])


PARTS: dict[str, list] = {
    'airplane': [
        ((120, 130, 160), [(0.15, -0.5), (-0.25, -0.85), (-0.45, -0.85), (-0.2, -0.5)]),
        ((206, 72, 88), [(-0.9, -0.42), (-1, -1), (-0.74, -1), (-0.42, -0.5)]),
        ((244, 244, 240), ellipse(0, -0.42, 0.98, 0.17)),
        ((206, 72, 88), [(0.22, -0.36), (-0.3, 0), (-0.56, 0), (-0.22, -0.36)]),
    ],
    'boat': [
        ((120, 84, 60), [(-0.04, -1), (0.02, -1), (0.02, -0.25), (-0.04, -0.25)]),
        ((252, 248, 232), [(0.02, -0.97), (0.55, -0.3), (0.02, -0.3)]),
        ((240, 176, 72), [(-0.04, -0.82), (-0.44, -0.3), (-0.04, -0.3)]),
        ((44, 70, 128), [(-0.64, -0.31), (0.66, -0.31), (0.42, 0), (-0.44, 0)]),
    ],
    'bottle': [
        (
            (36, 116, 80),
            [
                (-0.17, 0),
                (-0.17, -0.56),
                (-0.07, -0.74),
                (-0.07, -0.95),
                (0.07, -0.95),
                (0.07, -0.74),
                (0.17, -0.56),
                (0.17, 0),
            ],
        ),
        ((212, 180, 72), [(-0.08, -1), (0.08, -1), (0.08, -0.87), (-0.08, -0.87)]),
        ((244, 236, 212), [(-0.17, -0.46), (0.17, -0.46), (0.17, -0.16), (-0.17, -0.16)]),
    ],
    'car': [
        (
            (224, 60, 48),
            [
                (-0.98, -0.16),
                (-0.98, -0.5),
                (-0.64, -0.56),
                (-0.36, -1),
                (0.32, -1),
                (0.6, -0.56),
                (0.98, -0.44),
                (0.98, -0.16),
            ],
        ),
        ((190, 224, 240), [(-0.46, -0.58), (-0.26, -0.88), (-0.03, -0.88), (-0.03, -0.58)]),
        ((190, 224, 240), [(0.05, -0.58), (0.05, -0.88), (0.24, -0.88), (0.43, -0.58)]),
        ((64, 64, 72), ellipse(-0.56, -0.19, 0.19, 0.19)),
        ((64, 64, 72), ellipse(0.58, -0.19, 0.19, 0.19)),
    ],
    'plant': [
        *(
            ((64, 148 + shade, 60), limb(np.array([0, -0.42]), np.array([x, y]), 0.09))
            for x, y, shade in (
                (-0.34, -0.6, 0),
                (0.34, -0.6, 0),
                (-0.2, -0.8, 16),
                (0.2, -0.8, 16),
                (0, -0.91, 32),
            )
        ),
        ((176, 108, 68), [(-0.23, -0.36), (0.23, -0.36), (0.17, 0), (-0.17, 0)]),
        ((196, 124, 80), [(-0.28, -0.46), (0.28, -0.46), (0.28, -0.34), (-0.28, -0.34)]),
    ],
    'stop sign': [
        ((248, 244, 240), octagon(0, -0.64, 0.36)),
        ((200, 32, 44), octagon(0, -0.64, 0.31)),
        ((248, 244, 240), [(-0.22, -0.7), (0.22, -0.7), (0.22, -0.58), (-0.22, -0.58)]),
    ],
}
# What holds a thing up and is no part of it.
_HELD_BY = {
    'stop sign': ((128, 132, 136), [(-0.03, -0.5), (0.03, -0.5), (0.03, 0), (-0.03, 0)]),
}
# What is drawn by turns; a stop sign is drawn where it is asked for.
THINGS = ('airplane', 'person', 'plant', 'boat', 'bottle', 'car')
_HALF_WIDTH = {
    **dict(airplane=1, boat=0.66, bottle=0.18, car=1, person=0.32, plant=0.44),
    'stop sign': 0.36,
}


@dataclass
class Thing:
    """One thing of a scene.

    Args:
        name: One of `THINGS`, or a stop sign.
        crowd: Whether it is a group of several.
        keypoints: Places of a person's `KEYPOINTS` in pixels, of shape (17, 2), as x and y.
    """

    name: str
    crowd: bool = False
    keypoints: np.ndarray | None = None


@dataclass
class Scene:
    """A drawn scene.

    Args:
        image: Picture in RGB of size (W, H).
        labels: What each pixel shows, of shape (H, W).
        ground: One of `GROUNDS`.
        things: Things in the order in which they were drawn; at least one pixel of each shows.
    """

    image: Image.Image
    labels: np.ndarray
    ground: str
    things: list[Thing] = field(default_factory=list)

    def masks(self) -> list[np.ndarray]:
        """Give the visible pixels of each thing, each of shape (H, W)."""
        return [self.labels == FIRST_THING + k for k in range(len(self.things))]


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Give left, top, and one past right and bottom, of the pixels of a mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def draw_scene(
    index: int, rng: np.random.Generator, size: tuple[int, int], first: str | None = None
) -> Scene:
    """Draw a scene of up to three things; each sixth has a crowd too, and each eighth nothing.

    Args:
        index: Number of the scene, from 0; six in a row show each kind of thing.
        rng: Source of chance.
        size: Mean height and width in pixels.
        first: Thing that is drawn first; None for one of `THINGS` by turns.
    """
    height, width = (int(rng.integers(n - n // 16, n + n // 16 + 1)) for n in size)
    ground = list(GROUNDS)[(index + index // 4) % len(GROUNDS)]
    canvas = _Canvas(height, width)
    horizon = rng.uniform(0.3, 0.45)
    canvas.cover_ground(horizon)
    # No list of classes has clouds.
    x, y = rng.uniform((0.1, 0.05), (0.9, 0.2))
    for shift in (-0.07, 0, 0.06):
        part = ellipse(x + shift, y, 0.08, 0.05)
        canvas.cut_out(NOTHING, _CLOUD, part, outline=False)

    if index % 8 != 7:
        if index % 6 == 4:
            canvas.add_crowd(rng, horizon)
        first = first or THINGS[index % len(THINGS)]
        others = rng.choice(THINGS, int(rng.integers(0, 3)))
        for name in (first, *others.tolist()):
            canvas.add(rng, name, horizon)
    return canvas.scene(rng, ground)


def draw_portrait(name: str, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw one large thing on any ground."""
    height, width = (int(rng.integers(n - n // 16, n + n // 16 + 1)) for n in size)
    canvas = _Canvas(height, width)
    horizon = rng.uniform(0.2, 0.6)
    canvas.cover_ground(horizon)
    tall = rng.uniform(0.6, 0.8) * min(1, width / height / 2 / _HALF_WIDTH[name])
    canvas.place(rng, name, np.array([rng.uniform(0.45, 0.55), 0.5 + tall / 2]), tall)
    return canvas.scene(rng, str(rng.choice(list(GROUNDS)))).image


class _Canvas(Canvas):
    """A canvas that remembers which things were placed on it."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width, SKY)
        self.things: list[Thing] = []
        self.boxes: list[np.ndarray] = []

    def cover_ground(self, horizon: float) -> None:
        # Both the sky and the ground are painted at the end, as they are no flat colours.
        land = [(0, horizon), (1, horizon), (1, 1), (0, 1)]
        self.cut_out(GROUND, (0, 0, 0), land, outline=False)

    def add(self, rng: np.random.Generator, name: str, horizon: float) -> None:
        """Place a thing where it hides little of the others; without such a place, leave it out."""
        half_width = _HALF_WIDTH[name] * self.size[1] / self.size[0]
        for _ in range(20):
            tall = rng.uniform(0.42, 0.62) * min(1, 0.45 / half_width)
            half = tall * half_width
            x = rng.uniform(0.7 * half, 1 - 0.7 * half)
            low, high = (tall, horizon + 0.1) if name == 'airplane' else (horizon + 0.2, 0.97)
            foot = np.array([x, rng.uniform(low, max(low, high))])
            place = np.array([x - half, foot[1] - tall, x + half, foot[1]])
            if all(_overlap(place, other) < 0.25 for other in self.boxes):
                self.boxes.append(place)
                self.place(rng, name, foot, tall)
                return

    def add_crowd(self, rng: np.random.Generator, horizon: float) -> None:
        """Place a group of small persons on the horizon, which counts as one thing."""
        centre, tall = rng.uniform(0.25, 0.75), rng.uniform(0.2, 0.25)
        label = FIRST_THING + len(self.things)
        for shift in np.linspace(-0.16, 0.16, 6) + rng.uniform(-0.01, 0.01, 6):
            foot = np.array([centre + shift, horizon + rng.uniform(0.06, 0.1)])
            for colour, part in person(rng)[0]:
                self.cut_out(label, colour, self.at(part, foot, tall))
        self.things.append(Thing('person', crowd=True))
        self.boxes.append(
            np.array([centre - 0.2, horizon + 0.08 - tall, centre + 0.2, horizon + 0.1])
        )

    def place(self, rng: np.random.Generator, name: str, foot: np.ndarray, tall: float) -> None:
        if name in _HELD_BY:
            colour, part = _HELD_BY[name]
            self.cut_out(NOTHING, colour, self.at(part, foot, tall))
        keypoints = None
        flip = np.array([rng.choice([-1, 1]), 1])
        light = rng.normal(0, 9, 3)
        if name == 'person':
            parts, joints = person(rng)
            flip[0] = 1
            keypoints = self.at(joints, foot, tall) * self.size
        else:
            parts = PARTS[name]
        for colour, part in parts:
            tone = tuple((np.array(colour) + light).clip(0, 255).astype(int).tolist())
            outline = self.at(np.array(part) * flip, foot, tall)
            self.cut_out(FIRST_THING + len(self.things), tone, outline)
        self.things.append(Thing(name, keypoints=keypoints))

    def scene(self, rng: np.random.Generator, ground: str) -> Scene:
        large, picture = np.asarray(self.labels), np.asarray(self.picture)
        pixels = shrink(np.where(np.isin(large, (SKY, GROUND))[..., None], 0, picture))
        for label, paint in ((SKY, _SKY), (GROUND, GROUNDS[ground])):
            share = shrink(large == label)
            colour, strength, grain = paint
            pixels += share * (colour + strength * noise(share.shape[:2], grain, rng)[..., None])
        daylight = rng.uniform((0.96, 0.97, 0.93), (1.06, 1.02, 1.06))
        pixels = pixels * daylight + rng.normal(0, 2, (*pixels.shape[:2], 1))
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))

        # What is hidden altogether is not in the scene.
        labels = centres(large)
        seen = [k for k in range(len(self.things)) if (labels == FIRST_THING + k).any()]
        renumbered = np.arange(FIRST_THING + len(self.things))
        renumbered[[FIRST_THING + k for k in seen]] = FIRST_THING + np.arange(len(seen))
        return Scene(image, renumbered[labels], ground, [self.things[k] for k in seen])


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the smaller of two boxes that the other one covers."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    return np.prod(sides.clip(0)) / min(np.prod(x[2:] - x[:2]) for x in (a, b))


def person(rng: np.random.Generator) -> tuple[list, np.ndarray]:
    """Pose a person who faces us; give colour and outline of each part, and the keypoints."""

    def reach(start: np.ndarray, angle: float, length: float, side: int) -> np.ndarray:
        return start + length * np.array([side * np.sin(angle), np.cos(angle)])

    skin, shirt, trousers = (232, 184, 148), (252, 208, 56), (76, 72, 124)
    joints = {'nose': np.array([0, -0.88])}
    parts = []
    for side, word in ((1, 'left'), (-1, 'right')):
        joints[f'{word}_eye'] = np.array([side * 0.035, -0.91])
        joints[f'{word}_ear'] = np.array([side * 0.085, -0.89])
        shoulder, hip = np.array([side * 0.115, -0.7]), np.array([side * 0.07, -0.42])
        arm, leg = rng.uniform(0.2, 1.1), rng.uniform(0.05, 0.3)
        elbow = reach(shoulder, arm, 0.15, side)
        wrist = reach(elbow, arm - rng.uniform(0.2, 0.8), 0.15, side)
        knee = reach(hip, leg, 0.2, side)
        ankle = np.array([knee[0], -0.045])
        names = ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
        limbs = (shoulder, elbow, wrist, hip, knee, ankle)
        joints |= {f'{word}_{name}': place for name, place in zip(names, limbs, strict=True)}
        parts += [
            (trousers, limb(hip, knee, 0.05)),
            (trousers, limb(knee, ankle, 0.045)),
            (skin, limb(elbow, wrist, 0.035)),
            (shirt, limb(shoulder, elbow, 0.042)),
        ]
    torso = [(-0.13, -0.74), (0.13, -0.74), (0.115, -0.38), (-0.115, -0.38)]
    parts += [(shirt, np.array(torso)), (skin, ellipse(0, -0.885, 0.1, 0.115))]
    return parts, np.array([joints[name] for name in KEYPOINTS])
