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


# Of CUB-200-2011: the names of the images, their classes, and whether each is trained on.
CUB_LISTS = ('images.txt', 'image_class_labels.txt', 'train_test_split.txt')


def read_numbered(path: Path) -> dict[int, str]:
    """Read a list of CUB-200-2011, whose lines have a number from 1 on, a blank and a value.

    Raises:
        ValueError: If it is no such list, or has a number twice.
        OSError: If it cannot be read.
    """
    values: dict[int, str] = {}
    for line, text in enumerate(read_list(path), 1):
        parts = text.split()
        if len(parts) != 2 or not parts[0].isdecimal() or int(parts[0]) < 1:
            raise ValueError(f'line {line} is {text!r}; expected a number, a blank and a value')
        if int(parts[0]) in values:
            raise ValueError(f'line {line} has the number {parts[0]} again')
        values[int(parts[0])] = parts[1]
    if not values:
        raise ValueError('it is empty')
    return values
