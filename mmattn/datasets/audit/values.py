"""Values of JSON: what is a number in earnest."""

from typing import Any, TypeGuard

# Beyond every coordinate and area in pixels.
_LARGEST = 1e9


def is_number(value: Any) -> bool:
    """Tell whether it is a number in earnest, and not NaN, infinite, or a truth value."""
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST


def are_numbers(values: object) -> TypeGuard[list[float]]:
    """Tell whether it is a list of numbers."""
    return type(values) is list and all(map(is_number, values))
