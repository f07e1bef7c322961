"""Look at the header of an image before its pixels take memory, and at how deep they are."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

_ORIENTATION = 0x0112
# Orientations that turn an image by a quarter.
_TURNED = (5, 6, 7, 8)


class UnfitPixelsError(ValueError):
    """Pixels that 8 bits do not hold."""


def open_image(source: Path | BinaryIO) -> Image.Image:
    """Open an image with Pillow without decoding it, and refuse one that is not safe to decode.

    A file of a kilobyte may announce gigabytes of pixels. The limit is Pillow's,
    `PIL.Image.MAX_IMAGE_PIXELS`: 89 million by default, for which a network would need more than
    1 GB for the pixels alone. Pillow itself goes up to twice as many, and OpenCV 12 times.

    Raises:
        ValueError: If there are more pixels than that, or it is PostScript, for which Pillow would
            start another program.
        OSError: If it is no image that Pillow knows.
    """
    try:
        image = Image.open(source)
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
    (w, h), limit = image.size, Image.MAX_IMAGE_PIXELS
    if limit is not None and w * h > limit:
        image.close()
        raise ValueError(
            f'{w}x{h} pixels are more than {limit}; raise PIL.Image.MAX_IMAGE_PIXELS if need be'
        )
    if image.format == 'EPS':
        image.close()
        raise ValueError('it is PostScript, a program and not an image')
    return image


def has_16_bits(image: Image.Image) -> bool:
    """Tell whether pixels have 16 bits, which Pillow cuts off at 255 where OpenCV scales them."""
    # Pillow gives some files of 16 bits the mode of 32.
    return image.mode.startswith('I;16') or (image.mode == 'I' and image.format in ('PNG', 'PPM'))


def check_range(image: Image.Image) -> None:
    """Check that 8 bits hold the pixels of a decoded image of 32, whole numbers or floats.

    Raises:
        UnfitPixelsError: If they do not.
    """
    if image.mode not in ('I', 'F'):
        return
    pixels = np.asarray(image)
    low, high = pixels.min(), pixels.max()
    # From 0 to 1, floats would all become black.
    if not (low >= 0 and high <= 255) or (image.mode == 'F' and 0 < high <= 1):
        raise UnfitPixelsError(
            f'32-bit pixels from {low:g} to {high:g}; save it with 8 bits, from 0 to 255, or '
            'with 16'
        )


def oriented_size(image: Image.Image) -> tuple[int, int]:
    """Give the width and height of an image that is turned as its EXIF orientation says."""
    width, height = image.size
    return (height, width) if image.getexif().get(_ORIENTATION) in _TURNED else (width, height)


def is_upright(image: Image.Image) -> bool:
    """Tell whether an image is neither turned nor flipped by its EXIF orientation."""
    # Pillow turns by nothing else, such as 0.
    return image.getexif().get(_ORIENTATION) not in range(2, 9)
