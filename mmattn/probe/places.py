"""Where options stand in a config, by their keys as ``--cfg-options`` takes them."""

from collections.abc import Iterable, Iterator
from typing import Any

from mmengine.config import Config

# As many as a message names.
_SHOWN = 4


def places(node: Any, where: str = '') -> Iterator[tuple[str, Any]]:
    """Give every key inside a config with its value, those around others first.

    Args:
        node: The config, or a part of it.
        where: Key of the part in the whole config.
    """
    items = node.items() if isinstance(node, dict | Config) else enumerate(node)
    for name, value in items:
        key = f'{where}.{name}' if where else str(name)
        yield key, value
        if isinstance(value, dict | list | tuple):
            yield from places(value, key)


def ending_in(name: str, keys: Iterable[str]) -> list[str]:
    """Choose the keys that end in a dotted name."""
    return [key for key in keys if f'.{key}'.endswith(f'.{name}')]


def listed(keys: list[str]) -> str:
    """Name keys in a message; of many the first ones."""
    shown = keys[:_SHOWN]
    left = len(keys) - len(shown)
    if left:
        return f'{", ".join(shown)} and {left} more'
    return ' and '.join([', '.join(shown[:-1]), shown[-1]] if shown[1:] else shown)
