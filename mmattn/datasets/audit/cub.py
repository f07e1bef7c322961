"""CUB-200-2011: images with one class each, in three lists that share their numbers."""

from functools import partial
from pathlib import Path

from mmattn.datasets.audit.faults import Fault, Plan, name_outside
from mmattn.datasets.audit.label_maps import check_image
from mmattn.datasets.lists import CUB_LISTS, read_numbered
from mmattn.datasets.names import inside
from mmattn.errors import InputError

_CLASSES = 200


def plan_cub(root: Path) -> Plan:
    """Plan to look at the images of CUB-200-2011, and compare its lists."""
    if missing := [n for n in ('images', *CUB_LISTS) if not (root / n).exists()]:
        raise InputError(
            f'{root} has no {missing[0]}; expected a copy of CUB-200-2011 with images, '
            f'{", ".join(CUB_LISTS)}'
        )
    plan = Plan()
    lists = []
    for name in CUB_LISTS:
        try:
            lists.append(read_numbered(root / name))
        except (OSError, ValueError) as error:
            plan.faults.append(Fault('unreadable list', f'{root / name}: {error}'))
    if plan.faults:
        return plan
    names, labels, splits = lists
    plan.faults += _compare(names, labels, root / CUB_LISTS[1])
    plan.faults += _compare(names, splits, root / CUB_LISTS[2])
    plan.faults += _out_of_range('label out of range', labels, root / CUB_LISTS[1], 1, _CLASSES)
    plan.faults += _out_of_range('image in no split', splits, root / CUB_LISTS[2], 0, 1)
    for name in names.values():
        if image := inside(root / 'images', name):
            plan.tasks.append(partial(check_image, image))
        else:
            plan.faults.append(name_outside(str(root / CUB_LISTS[0]), name))
    return plan


def _compare(names: dict[int, str], found: dict[int, str], path: Path) -> list[Fault]:
    return [
        Fault('number that is not in both lists', f'{path}: {number}')
        for number in sorted(names.keys() ^ found.keys())
    ]


def _out_of_range(
    kind: str, values: dict[int, str], path: Path, least: int, most: int
) -> list[Fault]:
    return [
        Fault(kind, f'{path}: {number} {value}: expected {least} to {most}')
        for number, value in values.items()
        if not value.isdecimal() or not least <= int(value) <= most
    ]
