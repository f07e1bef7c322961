"""Look at the header of an image before its pixels take memory."""

from pathlib import Path
from typing import BinaryIO

from PIL import Image


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
