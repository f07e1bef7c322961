"""Images in the pickles of CIFAR-100."""

from functools import partial
from pathlib import Path

from mmattn.datasets.audit.faults import Fault, Plan
from mmattn.datasets.cifar import FOLDER, SPLITS, SUPERCLASSES, read_split
from mmattn.errors import InputError


def plan_cifar100(root: Path) -> Plan:
    """Plan to look at those splits of CIFAR-100 that are there."""
    plan = Plan()
    paths = [path for path in (root / FOLDER / split for split in SPLITS) if path.exists()]
    if not paths:
        raise InputError(
            f'{root} has no {FOLDER}/train or {FOLDER}/test; expected a copy of CIFAR-100, the '
            'version for Python'
        )
    for path in paths:
        try:
            _, labels = read_split(path)
        except InputError as error:
            plan.faults.append(Fault('unreadable file', str(error)))
            continue
        plan.tasks += [partial(_check_label, path, i, label) for i, label in enumerate(labels)]
    return plan


def _check_label(path: Path, index: int, label: int) -> list[Fault]:
    if 0 <= label < len(SUPERCLASSES):
        return []
    place = f'{path}: image {index}, {label}: expected 0 to {len(SUPERCLASSES) - 1}'
    return [Fault('label out of range', place)]
