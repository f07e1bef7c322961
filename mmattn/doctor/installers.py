"""setuptools and mim: what packages are built and found with."""

import re
import sys

from mmattn.doctor.environment import Environment
from mmattn.doctor.repair import BUILD_TOOLS, pip
from mmattn.doctor.requirements import find_emptied, find_sharing
from mmattn.doctor.row import Row
from mmattn.doctor.versions import is_below

_IMPORT = re.compile(rb'^\s*(import|from) pkg_resources\b', re.MULTILINE)


def check_setuptools(env: Environment) -> Row:
    """Look whether setuptools still has pkg_resources, and reads what packages are built from."""
    version = env.version('setuptools')
    row = Row('setuptools', 'fine', version, env.where('setuptools'))
    remedy = pip('install', BUILD_TOOLS[0])
    users = _users_of_pkg_resources(env)
    if users and (env.locate('pkg_resources') is None or not is_below(version, '82')):
        has = f'setuptools {version} does not have' if version else 'comes with setuptools'
        return row.broken(f'{users} needs pkg_resources, which {has}', remedy)
    if version is None:
        return Row('setuptools', 'absent', remark="needed to compile mmcv's ops", remedy=remedy)
    # It asks Python for something that went with 3.12.
    if users and sys.version_info >= (3, 12) and is_below(version, '66.1'):
        return row.broken(f'its pkg_resources, which {users} needs, is too old for Python', remedy)
    if is_below(version, '61'):
        return row.warning(
            'it reads no pyproject.toml, so nothing that is built without isolation gets its '
            'dependencies; openmim holds it at 60.2',
            remedy,
        )
    if not is_below(version, '82'):
        return row.warning('it has no pkg_resources, and torch compiles no ops with it', remedy)
    return row


def _users_of_pkg_resources(env: Environment) -> str:
    """Name what imports pkg_resources when it runs: by its own lines, not by its version."""
    users = []
    for package in ('mmengine', 'mim'):
        folder = env.locate(package)
        files = folder.rglob('*.py') if folder else ()
        if any(_IMPORT.search(file.read_bytes()) for file in files):
            users += [str(each) for each in env.find(package)[:1]] or [package]
    return ' and '.join(users)


def check_mim(env: Environment) -> Row:
    """Look whether mim is there once."""
    found = env.find('mim')
    if not found:
        return Row('mim', 'absent', remark='needed for the command mim')
    row = Row('mim', 'fine', str(found[0]), str(found[0].folder))
    fault = find_sharing(env, 'mim') or find_emptied(env, 'mim')
    return row.broken(*fault) if fault else row
