"""Names of classes in files such as class_dict.csv, labelmap.txt and codes.txt."""

import re
from dataclasses import dataclass
from pathlib import Path

_NAMES = re.compile(r'.*(class|label|codes|names|categories).*', re.I)
# What data sets call the pixels that nobody has labelled.
_VOID = re.compile(
    r'(void|ignored?|ignore[_ ]?region|un-?labell?ed|no[_ ]?label|don.?t[_ ]?care)', re.I
)


@dataclass
class Named:
    """What a file says about one class.

    Args:
        name: Its name.
        label: Its label; None if the file gives none.
        colour: Its colour, RGB; None if the file gives none.
    """

    name: str
    label: int | None = None
    colour: tuple[int, int, int] | None = None

    @property
    def is_void(self) -> bool:
        """Whether the name means "no label"."""
        return bool(_VOID.fullmatch(self.name))


def read_class_file(root: Path, files: dict[str, list[Path]]) -> tuple[Path, list[Named]] | None:
    """Read the file that names the classes, if there is one that can be read.

    A line has a name, and may have a label or a colour beside it.
    """
    for path in (p for suffix in ('.csv', '.txt') for p in files.get(suffix, [])):
        near = len(path.relative_to(root).parts) <= 2
        if near and _NAMES.fullmatch(path.stem) and (named := _read(path)):
            return path, named
    return None


def _read(path: Path) -> list[Named]:
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except (OSError, ValueError):
        return []
    named = []
    for line in lines[:1000]:
        line = line.strip()
        if not line or line.startswith('#'):
            continue
        words = [word for word in re.split(r'[,;:\t]+|\s+(?=\d)|(?<=\d)\s+', line) if word.strip()]
        numbers = [int(word) for word in words if word.strip().isdigit()]
        names = [word.strip() for word in words if not word.strip().isdigit()]
        if not names or len(numbers) not in (0, 1, 3, 4):
            # A header, or a file of another kind.
            continue
        colour = (numbers[-3], numbers[-2], numbers[-1]) if len(numbers) >= 3 else None
        label = numbers[0] if len(numbers) in (1, 4) else None
        if (colour and max(colour) > 255) or len(names) > 1:
            continue
        named.append(Named(names[0], label, colour))
    # Headers have no numbers where the other lines do.
    if any(entry.colour for entry in named):
        named = [entry for entry in named if entry.colour]
    elif any(entry.label is not None for entry in named):
        named = [entry for entry in named if entry.label is not None]
    different = {entry.name for entry in named}
    return named if len(named) >= 2 and len(different) == len(named) else []
