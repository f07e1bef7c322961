"""What was found in a folder of data, and what a config says about it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmattn.datasets.names import visible

_SHOWN = 3


@dataclass
class Found:
    """Data that a config can read.

    Args:
        root: The folder.
        classes: Names of the classes, in the order of their labels.
        palette: A colour for each of them, RGB.
        datasets: Options of the dataset class for 'train', 'val' and, if there is one, 'test'.
        counts: How many images each of these has.
        sizes: Sizes (W, H) of the training images.
        loader: Options of `LoadSegMap`; None where no label maps are read.
        has_masks: Whether every annotation has the outline of its object.
        files: Suffix and text of files to be written beside the config, by split: `ann_file` there.
        notes: What was seen, a line each.
        troubles: What is left out or looks wrong, a line each.
    """

    root: Path
    classes: tuple[str, ...]
    palette: list[list[int]]
    datasets: dict[str, dict]
    counts: dict[str, int]
    sizes: list[tuple[int, int]]
    loader: dict | None = None
    has_masks: bool = False
    files: dict[str, tuple[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def side(self) -> int:
        """The short side in pixels that half of the training images do not exceed."""
        sides = sorted(map(min, self.sizes))
        return sides[len(sides) // 2]

    def describe(self) -> list[str]:
        """Say what was found, a line each."""
        images = ', '.join(f'{count} {split}' for split, count in self.counts.items())
        names = ', '.join(map(visible, self.classes[:20])) + (', ...' if self.classes[20:] else '')
        lines = [
            f'images: {images}; {describe_sizes(self.sizes)}',
            f'classes: {len(self.classes)} ({names})',
            *self.notes,
        ]
        return lines + [f'trouble: {line}' for line in self.troubles]


def describe_sizes(sizes: Sequence[tuple[int, int]]) -> str:
    """Say how large images (W, H) are."""
    [((w, h), count), *others] = Counter(sizes).most_common()
    if not others:
        return f'all {w}x{h}'
    widths, heights = zip(*sizes, strict=True)
    return (
        f'{min(widths)}x{min(heights)} to {max(widths)}x{max(heights)}, most often {w}x{h} '
        f'({count} of {len(sizes)})'
    )


def listed(names: Sequence[object]) -> str:
    """Show the first of several names."""
    shown = ', '.join(visible(name) for name in names[:_SHOWN])
    return shown + (f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else '')


def counted(number: int, what: str) -> str:
    """Give a number and a noun, in the plural unless it is one."""
    return f'{number} {what}' if number == 1 else f'{number} {what}s'


def colours(number: int) -> list[list[int]]:
    """Give the colours of Pascal VOC, which are different for 256 classes and go on from there."""
    palette = []
    for label in range(number):
        colour, rest = [0, 0, 0], label
        for bit in range(7, -1, -1):
            for channel in range(3):
                colour[channel] |= (rest >> channel & 1) << bit
            rest >>= 3
        palette.append(colour)
    return palette
