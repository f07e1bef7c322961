"""A legend beside a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

_FONT = Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')
_INK, _PALE, _PAPER = (25, 25, 25), (110, 110, 110), (255, 255, 255)
# Height of a letter in pixels, between these whatever the picture has, and as a part of that.
_LEAST, _MOST, _PART = 11, 28, 32
# Width of the column and height of a row, in letters.
_COLUMN, _ROW = 17, 1.6
# As many rows fit at least, however low the picture is.
_ROWS = 7


class Row(NamedTuple):
    """A row of a legend.

    Args:
        name: What is named.
        value: How much there is of it.
        colour: How it is drawn, RGB of 0 to 255; None where it is not.
    """

    name: str
    value: str
    colour: Sequence[int] | None


def add_legend(image: np.ndarray, title: str, rows: Sequence[Row]) -> np.ndarray:
    """Put a legend to the right of a picture.

    The size of the outcome depends on that of the picture alone, so that the pictures of a video
    stay of one size, and its sides are even, as encoders of videos want them.

    Args:
        image: The picture (H, W, 3), uint8, RGB.
        title: What the values are.
        rows: The rows; those that find no room are counted in the last one.

    Returns:
        A wider picture, uint8, RGB.
    """
    height, width = image.shape[:2]
    letter = min(max(height // _PART, _LEAST), _MOST)
    step = round(letter * _ROW)
    total = max(height, round((_ROWS + 1.5) * step))
    canvas = Image.new('RGB', (_even(width + letter * _COLUMN), _even(total)), _PAPER)
    canvas.paste(Image.fromarray(image), (0, 0))
    draw, font = ImageDraw.Draw(canvas), ImageFont.truetype(str(_FONT), letter)
    left, right = width + letter, canvas.width - letter
    draw.text((right, step * 0.75), title, _PALE, font, anchor='rm')
    fit = int(total / step - 1.5)
    shown = rows if len(rows) <= fit else rows[: fit - 1]
    for i, row in enumerate(shown):
        middle = round((i + 1.75) * step)
        start = left
        if row.colour is not None:
            box = (left, middle - letter // 2, left + letter, middle + letter // 2)
            draw.rectangle(box, tuple(row.colour), _INK)
            start += letter * 3 // 2
        draw.text((right, middle), row.value, _INK, font, anchor='rm')
        room = right - draw.textlength(row.value, font) - letter // 2 - start
        draw.text((start, middle), _cut(row.name, draw, font, room), _INK, font, anchor='lm')
    if len(shown) < len(rows):
        middle = round((len(shown) + 1.75) * step)
        draw.text((left, middle), f'and {len(rows) - len(shown)} more', _PALE, font, anchor='lm')
    elif not rows:
        draw.text((left, round(1.75 * step)), 'nothing', _PALE, font, anchor='lm')
    return np.asarray(canvas)


def _cut(name: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, room: float) -> str:
    """Leave out the end of a name that is too long."""
    # A name of several lines cannot be anchored.
    name = ' '.join(name.split())
    if draw.textlength(name, font) <= room:
        return name
    while name and draw.textlength(f'{name}…', font) > room:
        name = name[:-1]
    return f'{name.rstrip(" ,")}…'


def _even(length: int) -> int:
    return length + length % 2
