"""Lists of images, a line each, as the data sets read them."""

from pathlib import Path

from mmengine.fileio import list_from_file


def read_list(path: Path) -> list[str]:
    """Read the lines of a list.

    Raises:
        ValueError: If it is no text in UTF-8, starts with a byte order mark, or has an empty line,
            which would be an image without a name.
        OSError: If it cannot be read.
    """
    lines = list_from_file(path)
    if lines and lines[0].startswith('\ufeff'):
        raise ValueError('it starts with a byte order mark; save it as UTF-8 without one')
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise ValueError(f'line {number} is empty; remove it')
    return lines
