"""What mmattn cannot be imported without: torch; mmengine and mmcv, each installed once."""

import os
from typing import NamedTuple

from mmattn.doctor.environment import Environment
from mmattn.doctor.repair import install, pip, reinstall, separate
from mmattn.doctor.versions import is_below

REQUIRED = ('mmengine', 'mmcv')
_TO_REPAIR = '(mmattn doctor tells more); to repair:'


class Fault(NamedTuple):
    """What is wrong, and the command that puts it right."""

    remark: str
    remedy: str


def find_fault(env: Environment) -> str | None:
    """Look whether mmattn can be imported, without importing anything.

    Returns:
        What is wrong and what to do, in one line; None if nothing is.
    """
    missing = [package for package in REQUIRED if env.is_missing(package)]
    if missing:
        needs = f'mmattn needs {" and ".join(missing)}, not installed here'
        return f'{needs} {_TO_REPAIR} {install(env, missing)}'
    for package in REQUIRED:
        for find in (find_sharing, find_old, find_emptied):
            if fault := find(env, package):
                return f'{fault.remark} {_TO_REPAIR} {fault.remedy}'
    if env.is_missing('torch'):
        # As after pip install --no-deps.
        remedy = pip('install', 'torch', 'torchvision')
        return f'mmattn needs torch, not installed here {_TO_REPAIR} {remedy}'
    return None


def find_sharing(env: Environment, package: str) -> Fault | None:
    """Look for distributions that have overwritten each other's files."""
    sharing = env.find_sharing(package)
    if not sharing:
        return None
    *others, last = map(str, sharing)
    folder = env.locate(package) or sharing[0].folder / package
    return Fault(
        f'{", ".join(others)} and {last} share the folder {folder}, and the '
        'last one installed has overwritten the files of the other',
        separate(env),
    )


def find_old(env: Environment, package: str) -> Fault | None:
    """Look for mmcv of the first generation, which knows no mmengine."""
    old = [each for each in env.find(package)[:1] if is_below(each.version, '2.0.0rc0')]
    if package != 'mmcv' or not old:
        return None
    return Fault(
        f'{old[0]} is mmcv 1.x, which does not go with mmengine: mmcv 2 is needed',
        f'{pip("uninstall", "-y", old[0].name)} && {install(env, [package])}',
    )


def find_emptied(env: Environment, package: str) -> Fault | None:
    """Look for a package that is recorded as installed while its files are gone."""
    found = env.find(package)
    if not found or env.locate(package) is not None:
        return None
    folder = found[0].folder / package
    state = 'holds no package' if os.path.isdir(folder) else 'is gone'
    return Fault(
        f'{found[0]} is recorded as installed, but its folder {folder} {state}, as after '
        'uninstalling another one that shared it',
        reinstall(found[0]),
    )
