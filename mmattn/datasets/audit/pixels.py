"""Images and label maps, looked at as the loaders of a training decode them."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmattn.datasets.audit.faults import Fault
from mmattn.datasets.headers import (
    UnfitPixelsError,
    check_range,
    has_16_bits,
    open_image,
    oriented_size,
)


@dataclass(frozen=True)
class Decoder:
    """How a loader decodes images.

    Args:
        backend: Decoder of :func:`mmcv.imfrombytes`.
        flag: Its flag.
        scales: Whether pixels of 16 bits are scaled to 8, which Pillow alone does not do.
    """

    backend: str = 'pillow'
    flag: str = 'color'
    scales: bool = True

    def size_of(self, image: Image.Image) -> tuple[int, int]:
        """Give the width and height that an image has once it is loaded."""
        return oriented_size(image) if self.flag in ('color', 'grayscale') else image.size

    def check_depth(self, image: Image.Image) -> None:
        """Check that the pixels of a decoded image become pixels of 8 bits.

        Raises:
            UnfitPixelsError: If they do not.
        """
        if self.flag == 'unchanged':
            return
        if not has_16_bits(image):
            check_range(image)
        elif not self.scales:
            raise UnfitPixelsError(
                '16-bit pixels, which Pillow cuts off at 255; read it with LoadImage'
            )


CHECKED = Decoder()


def read_image(
    path: Path, decoder: Decoder = CHECKED
) -> tuple[tuple[int, int] | None, list[Fault]]:
    """Decode a whole image, and tell what is wrong with it.

    Returns:
        Its width and height as a loader gives it, or None if it cannot be read; and the faults.
    """
    image, faults = read(path, 'image', decoder)
    return (decoder.size_of(image) if image else None), faults


def read(
    path: Path, kind: str, decoder: Decoder | None = None
) -> tuple[Image.Image | None, list[Fault]]:
    """Decode a whole image or label map; without one, tell why.

    Args:
        path: File to read.
        kind: What it is, such as 'image' or 'label map'.
        decoder: Who decodes it in a training, if it becomes an image of 8 bits.
    """
    try:
        if not path.is_file():
            return None, [_missing(kind, path)]
        with open_image(path) as image:
            frames = getattr(image, 'n_frames', 1)
            image.load()
            if decoder:
                decoder.check_depth(image)
            # A photograph of the format MPO has others of the same scene.
            if frames == 1 or image.format == 'MPO':
                return image, []
            place = f'{path}: {frames}, of which the first is read'
            return image, [Fault('several frames', place, is_warning=True)]
    except UnfitPixelsError as error:
        return None, [Fault('pixels of too many bits', f'{path}: {error}')]
    # A decoder that is given any bytes may raise anything.
    except Exception as error:
        if decoder and decoder.backend != 'pillow' and isinstance(error, UnidentifiedImageError):
            # Other decoders know other formats.
            return None, []
        reason = ' '.join(str(error).split()) or type(error).__name__
        return None, [Fault(f'unreadable {kind}', f'{path}: {reason}')]


def _missing(kind: str, path: Path) -> Fault:
    name = path.name
    if '\\' in name:
        return Fault(f'missing {kind}', f'{path}: it has a backslash; write folders with /')
    for other in (path.with_suffix(path.suffix.swapcase()), path.with_suffix('.jpeg')):
        if other.is_file():
            return Fault(f'missing {kind}', f'{path}: there is {other.name}')
    return Fault(f'missing {kind}', str(path))


def check_sizes(
    path: Path, found: tuple[int, int], expected: tuple[float, float], whose: str
) -> list[Fault]:
    """Compare a size (W, H) with the size that something else gives it."""
    if found == expected:
        return []
    (w, h), (other_w, other_h) = found, expected
    hint = ' (turned, as by an EXIF orientation)' if (h, w) == expected else ''
    shown = f'{path}: {w}x{h}, but {other_w:g}x{other_h:g} {whose}{hint}'
    return [Fault('sizes that differ', shown)]


def check_map(path: Path, size: tuple[int, int] | None, allowed: Collection[int]) -> list[Fault]:
    """Check a label map of 8 bits, and that it is as large as its image of a size (W, H)."""
    labels, faults = read(path, 'label map')
    if labels is None:
        return faults
    if labels.mode not in ('L', 'P'):
        place = f'{path}: mode {labels.mode}, expected one label of 8 bits per pixel'
        return [Fault('label map of another format', place)]
    if size is not None:
        faults += check_sizes(path, labels.size, size, 'in its image')
    wrong = set(np.unique(np.asarray(labels)).tolist()) - set(allowed)
    if wrong:
        faults.append(Fault('label out of range', f'{path}: {list_labels(wrong)}'))
    return faults


def check_label_bits(path: Path) -> list[Fault]:
    """Check that a label map loses nothing where it is cut to 8 bits in silence."""
    labels, faults = read(path, 'label map')
    if labels is not None and labels.mode[0] in 'IF':
        pixels = np.asarray(labels)
        if not ((pixels >= 0) & (pixels < 256) & (pixels == np.floor(pixels))).all():
            place = f'{path}: labels from {pixels.min():g} to {pixels.max():g}, expected 8 bits'
            faults.append(Fault('label map of another format', place))
    return faults


def list_labels(labels: Collection[int]) -> str:
    """Write down some labels, in order."""
    listed = ', '.join(str(label) for label in sorted(labels)[:5])
    return f'{listed} and {len(labels) - 5} more' if len(labels) > 5 else listed
