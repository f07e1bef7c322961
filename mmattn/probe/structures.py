"""Values inside tuples, lists, dicts and data classes, by the path that leads to them."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

Path = tuple[Any, ...]
"""Indices, keys or names of fields that lead to a value inside a structure."""


def children(value: Any) -> list[tuple[Any, Any]]:
    """List the items of a tuple, list, dict or data class with their keys; else nothing."""
    if isinstance(value, tuple | list):
        return list(enumerate(value))
    if _has_fields(value):
        return [(field.name, getattr(value, field.name)) for field in fields(value)]
    return list(value.items()) if isinstance(value, dict) else []


def get(value: Any, path: Path) -> Any:
    """Give what lies at ``path`` in ``value``."""
    for key in path:
        value = getattr(value, key) if _has_fields(value) else value[key]
    return value


def put(value: Any, path: Path, new: Any) -> Any:
    """Give ``value`` with ``new`` at ``path``; ``value`` itself stays as it is."""
    if not path:
        return new
    key, rest = path[0], path[1:]
    item = put(get(value, (key,)), rest, new)
    if isinstance(value, tuple | list):
        items = [*value[:key], item, *value[key + 1 :]]
        return type(value)(*items) if hasattr(value, '_fields') else type(value)(items)
    if _has_fields(value):
        return replace(value, **{key: item})
    changed = value.copy()
    changed[key] = item
    return changed


def _has_fields(value: Any) -> bool:
    # Dynamo runs these types, but cannot ask them whether they are data classes.
    plain = isinstance(value, tuple | list) or type(value) in (dict, OrderedDict)
    return not plain and is_dataclass(value)


def map_structure(function: Callable[[Any], Any], value: Any, leaf: type) -> Any:
    """Apply ``function`` to each ``leaf`` in tuples, lists, dicts and data classes."""
    if isinstance(value, leaf):
        return function(value)
    for key, item in children(value):
        value = put(value, (key,), map_structure(function, item, leaf))
    return value


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Iterate over the innermost values, each with its path."""
    items = children(value)
    if not items:
        yield path, value
    for key, item in items:
        yield from leaves(item, (*path, key))


def grids(value: Any, path: Path = ()) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Iterate over the pairs of integers, which beside tokens are a height and a width."""
    items = children(value)
    numbers = [item for _, item in items if isinstance(item, int) and not isinstance(item, bool)]
    if len(items) == 2 and len(numbers) == 2:
        yield path, (numbers[0], numbers[1])
        return
    for key, item in items:
        yield from grids(item, (*path, key))


def describe(value: object) -> str:
    """Write a structure with shapes in the place of tensors."""
    if hasattr(value, 'shape'):
        return str(tuple(value.shape))
    items = children(value)
    if not items:
        return repr(value) if isinstance(value, int | float | str) else type(value).__name__
    shown = [describe(item) for _, item in items[:4]] + (['...'] if len(items) > 4 else [])
    return f'{type(value).__name__}({", ".join(shown)})'
