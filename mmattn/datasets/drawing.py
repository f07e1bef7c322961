"""Smooth edges and grain for drawn pictures."""

import numpy as np
from PIL import Image

# Pictures are drawn this many times larger and averaged, which makes their edges smooth.
ZOOM = 3


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
