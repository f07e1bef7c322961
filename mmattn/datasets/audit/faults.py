"""What may be wrong with an image or a label map."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mmattn.datasets.headers import open_image


class Fault(NamedTuple):
    """One fault.

    Args:
        kind: What is wrong, in the same words for all faults of this kind.
        place: The file, and what in it is meant.
    """

    kind: str
    place: str


@dataclass
class Plan:
    """What there is to look at.

    Args:
        tasks: One per image; each gives the faults of an image and of what belongs to it.
        faults: What came to light while the plan was made.
        notes: What is left out, and why.
    """

    tasks: list[Callable[[], list[Fault]]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read(path: Path, kind: str) -> tuple[Image.Image | None, list[Fault]]:
    """Decode a whole image; without one, tell why.

    Args:
        path: File to read.
        kind: What it is, such as 'image' or 'label map'.
    """
    try:
        if not path.is_file():
            return None, [Fault(f'missing {kind}', str(path))]
        with open_image(path) as image:
            image.load()
            return image, []
    # A decoder that is given any bytes may raise anything.
    except Exception as error:
        reason = ' '.join(str(error).split()) or type(error).__name__
        return None, [Fault(f'unreadable {kind}', f'{path}: {reason}')]


def check_sizes(
    path: Path, found: tuple[int, int], expected: tuple[int, int], whose: str
) -> list[Fault]:
    """Compare a size (W, H) with the size that something else gives it."""
    if found == expected:
        return []
    (w, h), (other_w, other_h) = found, expected
    return [Fault('sizes that differ', f'{path}: {w}x{h}, but {other_w}x{other_h} {whose}')]


def check_map(path: Path, image: Image.Image | None, allowed: Collection[int]) -> list[Fault]:
    """Check a label map of 8 bits, and that it is as large as its image."""
    labels, faults = read(path, 'label map')
    if labels is None:
        return faults
    if labels.mode not in ('L', 'P'):
        place = f'{path}: mode {labels.mode}, expected one label of 8 bits per pixel'
        return [Fault('label map of another format', place)]
    if image is not None:
        faults += check_sizes(path, labels.size, image.size, 'in its image')
    wrong = set(np.unique(np.asarray(labels)).tolist()) - set(allowed)
    if wrong:
        listed = ', '.join(str(label) for label in sorted(wrong)[:5])
        more = f' and {len(wrong) - 5} more' if len(wrong) > 5 else ''
        faults.append(Fault('label out of range', f'{path}: {listed}{more}'))
    return faults


def name_outside(place: str, name: str) -> Fault:
    """Tell of a name that leads out of its folder, and is not opened therefore."""
    return Fault('name outside its folder', f'{place}: {name}')


def check_box(
    place: str, box: tuple[float, float, float, float], size: tuple[int, int]
) -> list[Fault]:
    """Check a box (left, top, right, bottom); it may be rounded by less than a pixel."""
    left, top, right, bottom = box
    shown = ', '.join(f'{side:g}' for side in box)
    if not all(map(math.isfinite, box)):
        return [Fault('box of no numbers', f'{place}: {shown}')]
    if right <= left or bottom <= top:
        return [Fault('box without area', f'{place}: {shown}')]
    if left <= -1 or top <= -1 or right >= size[0] + 1 or bottom >= size[1] + 1:
        return [Fault('box outside its image', f'{place}: {shown} in {size[0]}x{size[1]}')]
    return []
