"""Faults, warnings, and what there is to look at."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


class Fault(NamedTuple):
    """One fault.

    Args:
        kind: What is wrong, in the same words for all faults of this kind.
        place: The file, and what in it is meant.
        is_warning: Whether a training reads it nevertheless, or leaves it out.
    """

    kind: str
    place: str
    is_warning: bool = False


@dataclass
class Plan:
    """What there is to look at.

    Args:
        tasks: One per image; each gives the faults of an image and of what belongs to it.
        faults: What came to light while the plan was made.
        notes: What is left out, and why.
    """

    tasks: list[Callable[[], list[Fault]]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def name_outside(place: str, name: str, is_warning: bool = False) -> Fault:
    """Tell of a name that leads out of its folder; as a fault, it is not opened."""
    return Fault('name outside its folder', f'{place}: {name}', is_warning)
