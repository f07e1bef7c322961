"""Names and texts that come from files of others: shown harmlessly, and kept inside a folder."""

from collections.abc import Sequence
from pathlib import Path, PurePath

_LONGEST = 400
_MOST = 6


def visible(text: object) -> str:
    r"""Show a text in one line that a terminal prints and does not obey.

    Characters that move the cursor, change colours or turn the direction of writing around appear
    as escapes, and the middle of a long text is left out.

    Example:
        >>> print(visible('a\x1b[31m\n.jpg'))
        a\x1b[31m\n.jpg
    """
    text = str(text)
    if len(text) > _LONGEST:
        half = _LONGEST // 2
        text = f'{text[:half]}...{text[-half:]}'
    if text.isprintable():
        return text
    return ''.join(
        c if c.isprintable() else c.encode('unicode_escape').decode('ascii') for c in text
    )


def inside(folder: Path, name: str) -> Path | None:
    """Join a folder and a name that a file gives, or None if the name leads out of the folder.

    Links are followed: they are made by whoever owns the folder.
    """
    path = PurePath(name)
    return None if path.is_absolute() or '..' in path.parts else folder / path


def first_of(names: Sequence[object]) -> str:
    """Show names in a row; of many the first ones, and how many there are besides."""
    shown = ', '.join(visible(name) for name in names[:_MOST])
    left = len(names) - _MOST
    return f'{shown} and {left} more' if left > 0 else shown
