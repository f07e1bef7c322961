"""Write values as the Python source of a config."""

from typing import Any

_WIDTH = 100
_INDENT = 4


class Source(str):
    """Source that stands in a config as it is, such as the name of a variable."""


def to_source(value: Any, column: int = 0, indent: int = 0) -> str:
    """Write a value as source, in one line if it fits.

    Args:
        value: Numbers, texts, dicts, lists, tuples, and :class:`Source`.
        column: Where its first line begins.
        indent: Where the line begins that it stands in.
    """
    line = _in_one_line(value)
    # Something follows: a comma.
    if isinstance(value, Source) or not _is_long(value) or column + len(line) < _WIDTH:
        return line
    opening, closing = _brackets(value)
    inner = indent + _INDENT
    if not _has_dicts(value):
        lines = _fill([_in_one_line(item) for item in value], inner)
    else:
        lines = [f'{n}{to_source(v, inner + len(n), inner)},' for n, v in _items(value)]
    return '\n'.join([opening, *(' ' * inner + text for text in lines), ' ' * indent + closing])


def _has_dicts(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_has_dicts, value))
    return isinstance(value, dict | Source)


def _is_long(value: Any) -> bool:
    return isinstance(value, dict | list | tuple) and bool(value)


def _in_one_line(value: Any) -> str:
    if isinstance(value, Source) or not isinstance(value, dict | list | tuple):
        return str(value) if isinstance(value, Source) else repr(value)
    opening, closing = _brackets(value)
    only = ',' if isinstance(value, tuple) and len(value) == 1 else ''
    return opening + ', '.join(f'{n}{_in_one_line(v)}' for n, v in _items(value)) + only + closing


def _fill(items: list[str], indent: int) -> list[str]:
    """Put as many items into a line as fit."""
    lines = ['']
    for item in items:
        if lines[-1] and indent + len(lines[-1]) + len(item) + 2 > _WIDTH:
            lines.append('')
        lines[-1] += f'{" " if lines[-1] else ""}{item},'
    return lines


def _brackets(value: Any) -> tuple[str, str]:
    if isinstance(value, dict):
        return ('dict(', ')') if _has_names(value) else ('{', '}')
    return ('[', ']') if isinstance(value, list) else ('(', ')')


def _items(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        names = _has_names(value)
        return [(f'{key}=' if names else f'{key!r}: ', inner) for key, inner in value.items()]
    return [('', inner) for inner in value]


def _has_names(value: dict) -> bool:
    return all(isinstance(key, str) and key.isidentifier() for key in value)
