"""The numbers that files of COCO have for classes."""

from collections.abc import Sequence

from mmattn.datasets.synthetic.coco_categories import STUFF, THINGS

_THINGS = {name: number for group in THINGS.values() for number, name in group.items()}
_STUFF = {name: number for group in STUFF.values() for number, name in group.items()}


def category_ids(classes: Sequence[str]) -> list[int]:
    """Give the category of each class: COCO's own for its 80 or 133 classes, else 1, 2, ...

    Args:
        classes: Names of the classes.
    """
    for known in (_THINGS, {**_THINGS, **_STUFF}):
        if set(classes) == set(known):
            return [known[name] for name in classes]
    return list(range(1, len(classes) + 1))
