"""Small drawn landscapes in the layout of the ADE20K benchmark, to try a segmentor on a CPU.

What a region is depends on where it lies, and not on how it looks: each picture is cut out of six
sheets of paint, and each sheet serves two classes. Blue is sky above the horizon and sea below it,
brick is a building on the left and a house on the right, and so on through :data:`PAIRS`. A segmentor
that looks at colour and texture alone cannot do better than guess between the two.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageDraw

from mmattn.errors import InputError

# Labels of the ADE20K benchmark, which counts from 1 and keeps 0 for unlabelled pixels.
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

# Two classes that share one sheet of paint: (above, below) the horizon, the bricks (left, right).
PAIRS = {
    'blue': ('sky', 'sea'),
    'grey': ('mountain', 'road'),
    'green': ('tree', 'grass'),
    'ochre': ('hill', 'earth'),
    'brick': ('building', 'house'),
    'white': ('airplane', 'boat'),
}

# RGB of the sheet, amplitude of its texture, and height and width of a grain in pixels.
_PAINT = {
    'blue': ((112, 168, 208), 9, (2.5, 26)),
    'grey': ((142, 144, 156), 8, (1.5, 2)),
    'green': ((112, 154, 92), 13, (3.5, 3.5)),
    'ochre': ((214, 176, 112), 8, (2, 8)),
    'brick': ((188, 100, 82), 10, (2, 5)),
    'white': ((240, 238, 230), 3, (3, 8)),
}
_INK = (58, 58, 74)

# One or two sheets, the far one first. Eight make each colour about equally frequent, and are the
# same above and below the horizon, so that not even the edge between two sheets gives it away.
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

# The canvas is drawn enlarged and averaged down, which gives the picture smooth edges.
_ZOOM = 3
_UNLABELLED = 0
_SPLITS = ('training', 'validation')


def make_tiny_ade20k(
    out: str | Path,
    *,
    train: int = 64,
    val: int = 16,
    seed: int = 0,
    size: tuple[int, int] = (96, 128),
) -> None:
    """Draw a small data set in the layout of the ADE20K benchmark.

    The same arguments give the same bytes, and an image does not depend on how many there are.
    ``out`` appears complete or not at all.

    Args:
        out: New or empty folder; it gets ``images/{training,validation}/ADE_{train,val}_*.jpg`` and
            ``annotations/{training,validation}/ADE_{train,val}_*.png``.
        train: Number of images to train on.
        val: Number of images to validate on; 8 or more show every class.
        seed: Seed of all images, at least 0.
        size: Mean height and width of an image in pixels, at least 32 each; images vary around it.

    Raises:
        InputError: If ``out`` is a file, holds something or cannot be written, or if a number is
            too small.
    """
    ...


def draw_scene(index, size, rng):
    height, width = size
    canvas, horizon = _draw_layers(index, size, rng)
    return canvas


def _ridge(rng, height, width, level):
    x = np.linspace(-0.1, 1.1, 73)
    waves = sum(
        rng.uniform(0.3, 1) / k * np.sin(2 * np.pi * (0.8 * k * x + rng.random())) for k in (1, 2, 3)
    )
    return np.stack([x * width, (level + 0.022 * waves) * height], 1)


def draw(index, size, rng):
    h, w = size[0] * _ZOOM, size[1] * _ZOOM
    canvas = Image.new('L', (w, h))
    pen = ImageDraw.Draw(canvas)

    def cut(points, name):
        # Drawn twice, since the outline of a polygon would be thinner where it is steep.
        points = [(float(x), float(y)) for x, y in points]
        pen.polygon(points, fill=LABELS[name])
        pen.line([*points, points[0]], fill=_UNLABELLED, width=_ZOOM, joint='curve')

    def layer(level, name):
        ridge = _ridge(rng, h, w, level)
        cut([*ridge, (1.2 * w, 1.2 * h), (-0.2 * w, 1.2 * h)], name)

    above = _LAYERS[index % 8]
    below = _LAYERS[(3 * index + index // 8) % 8]
    horizon = rng.uniform(0.41, 0.59)
    layer(-0.5, PAIRS[above[0]][0])
    if len(above) == 2:
        layer(rng.uniform(0.16, 0.30), PAIRS[above[1]][0])
    layer(horizon, PAIRS[below[0]][1])
    if len(below) == 2:
        layer(rng.uniform(0.72, 0.84), PAIRS[below[1]][1])

    def glider(name, x, y):
        t = np.linspace(0, 2 * np.pi, 41)
        length = rng.uniform(0.11, 0.14) * w * rng.choice([-1, 1])
        t = np.linspace(0, np.pi, 15)
        belly = np.stack([np.cos(t), 0.26 * np.sin(t)], 1)
        t = np.linspace(np.pi, 1.4*np.pi, 15)
        back = np.array([(-0.86, -.1), (-.62, -.85), (-.42,-.85), (.12, -.2)])
        t = np.linspace(1.6 * np.pi, 2 * np.pi, 10)
        nose = np.stack([np.cos(t), 0.2 * np.sin(t)], 1)
        p = np.concatenate([belly, back, nose])
        cut(p * [length, abs(length)] + [x * w, y * h], name)

    if True:
        glider('airplane', rng.uniform(.14, .86), rng.uniform(.12, .22))
    for left, name in ((0.03, 'building'), (0.57, 'house')):
        if rng.random() < 0.2: continue
        n = rng.integers(1, 3)
        span = rng.uniform(.28, .36)
        start = left + rng.uniform(0, .4 - span)
        for i in range(n):
            x0 = start + span * i / n; x1 = start + span * (i + 1) / n - .015
            base = horizon + 0.05 
            eave = base - rng.uniform(.17, .25)
            top = eave - rng.uniform(.04, .09)
            cut([(x0*w, base*h), (x0*w, eave*h), ((x0+x1)/2*w, top*h), (x1*w, eave*h), (x1*w, base*h)], name)
            k = 2 if n == 2 else 3
            for u in (np.arange(k) + .5) / k:
                for v in (.3, .68):
                    cx = (x0 + (x1 - x0) * u)*w; cy = (eave + (base - eave) * v)*h
                    a = .018 * w; b = .028 * h
                    pen.rectangle([cx - a, cy - b, cx + a, cy + b], fill=0)
    glider('boat', rng.uniform(.14, .86), rng.uniform(horizon + .17, .9))
    canvas = np.asarray(canvas)
    img = np.empty((h, w, 3), np.float32)
    img[:] = _INK
    tint = rng.uniform([.95, .97, .92], [1.06, 1.02, 1.06])
    yy, xx = np.mgrid[:h, :w] / max(h, w) - .5
    for paint, (rgb, amp, grain) in _PAINT.items():
        a = rng.uniform(0, 2 * np.pi)
        light = 22 * (np.cos(a) * xx + np.sin(a) * yy) + 5 * noise(rng, h, w, (34*3, 34*3)) + amp * noise(rng, h, w, (grain[0]*3, grain[1]*3))
        sheet = (np.array(rgb) + rng.normal(0, 4, 3) + light[..., None]) 
        m = np.isin(canvas, [LABELS[n] for n in PAIRS[paint]])
        img[m] = sheet[m]
    img = img.reshape(size[0], 3, size[1], 3, 3).mean((1, 3)) * tint
    img += rng.normal(0, 2.5, img.shape[:2])[..., None]
    return img.clip(0, 255).astype(np.uint8), canvas[1::3, 1::3]


def noise(rng, h, w, cell):
    g = rng.standard_normal((int(h / cell[0]) + 2, int(w / cell[1]) + 2)).astype(np.float32)
    return np.asarray(Image.fromarray(g).resize((w, h), Image.Resampling.BICUBIC))
