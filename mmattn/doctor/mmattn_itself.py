"""Python, and mmattn with its configs."""

import sys
from pathlib import Path

from mmattn.doctor.environment import Environment, read_literals
from mmattn.doctor.judgement import judge_import
from mmattn.doctor.repair import pip, reinstall
from mmattn.doctor.row import Row

_PACKAGE = Path(__file__).resolve().parents[1]
_TRIED = ((3, 10), (3, 13))


def check_python(env: Environment) -> Row:
    """Look whether mmattn is tried with this Python."""
    version = '.'.join(map(str, sys.version_info[:3]))
    row = Row('Python', 'fine', version, sys.prefix)
    oldest, newest = ('.'.join(map(str, pair)) for pair in _TRIED)
    if sys.version_info < _TRIED[0]:
        return row.broken(f'mmattn needs Python {oldest} or newer', f'python{newest} -m venv .venv')
    if sys.version_info[:2] > _TRIED[1]:
        return row.warning(
            f'mmattn is tried with Python {oldest} to {newest}', f'python{newest} -m venv .venv'
        )
    return row


def check_mmattn(env: Environment) -> Row:
    """Look whether mmattn can be imported, once its requirements can."""
    version = read_literals(_PACKAGE / '__init__.py').get('__version__')
    row = Row('mmattn', 'fine', version, str(_PACKAGE.parent))
    found = env.find('mmattn')
    remedy = reinstall(found[0]) if found else pip('install', '--no-deps', str(_PACKAGE.parent))
    return judge_import(env, row, 'mmattn', remedy)


def check_configs(env: Environment) -> Row:
    """Look whether the configs are there that ``mmattn::`` and ``mim`` read."""
    for home in (_PACKAGE / '.mim', _PACKAGE.parent):
        if (home / 'configs' / '_base_').is_dir():
            return Row('configs', 'fine', where=str(home / 'configs'))
    found = env.find('mmattn')
    remedy = reinstall(found[0]) if found else None
    row = Row('configs', 'fine', where=str(_PACKAGE / '.mim'))
    return row.warning('the configs of mmattn are not there', remedy)
