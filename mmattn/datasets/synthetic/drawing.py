"""Smooth edges and grain for drawn pictures, and labels that fit them."""

import numpy as np
from PIL import Image, ImageDraw

# Pictures are drawn this many times larger and averaged, which makes their edges smooth.
ZOOM = 3
_INK = (54, 56, 76)


class Canvas:
    """An enlarged picture and its labels; places on it are given in widths and heights.

    Args:
        height: Height of the picture in pixels.
        width: Width of the picture in pixels.
        label: Label of the empty canvas.
        colour: Colour of the empty canvas.
    """

    def __init__(self, height: int, width: int, label: int, colour: tuple = (0, 0, 0)) -> None:
        self.size = np.array([width, height])
        large = tuple((self.size * ZOOM).tolist())
        self.labels = Image.new('I', large, label)
        self.picture = Image.new('RGB', large, colour)
        self._pens = ImageDraw.Draw(self.labels), ImageDraw.Draw(self.picture)

    def cut_out(
        self, label: int, colour: tuple, corners: np.ndarray | list, *, outline: bool = True
    ) -> None:
        """Fill a polygon, whose outline belongs to it."""
        points = [tuple(point) for point in (np.array(corners) * self.size * ZOOM).tolist()]
        paints: list[tuple[int | tuple, int | tuple]] = [(label, label), (colour, _INK)]
        for pen, (fill, ink) in zip(self._pens, paints, strict=True):
            pen.polygon(points, fill=fill)
            if outline:
                pen.line([*points, points[0]], fill=ink, width=ZOOM, joint='curve')

    def at(self, part: np.ndarray | list, foot: np.ndarray, tall: float) -> np.ndarray:
        """Put an outline that stands on the origin and is 1 high on ``foot``, ``tall`` high."""
        return foot + tall * np.array(part) * (self.size[1] / self.size[0], 1)


def shrink(pixels: np.ndarray) -> np.ndarray:
    """Average an enlarged picture of shape (ZOOM * H, ZOOM * W, C), or a mask without C.

    Returns:
        Means of shape (H, W, C); for a mask C is 1, and the mean is the share that it covers.
    """
    height, width = (n // ZOOM for n in pixels.shape[:2])
    return pixels.reshape(height, ZOOM, width, ZOOM, -1).mean((1, 3))


def centres(labels: np.ndarray) -> np.ndarray:
    """Take the label at the centre of each pixel of an enlarged map."""
    return labels[ZOOM // 2 :: ZOOM, ZOOM // 2 :: ZOOM]


def noise(
    shape: tuple[int, int], grain: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Draw smooth noise of shape (H, W) and variance about 1.

    Args:
        shape: Height and width.
        grain: Height and width of one grain in pixels.
        rng: Source of chance.
    """
    cells = [int(n / g) + 2 for n, g in zip(shape, grain, strict=True)]
    small = Image.fromarray(rng.standard_normal(cells).astype(np.float32))
    return np.asarray(small.resize(shape[::-1], Image.Resampling.BICUBIC))
