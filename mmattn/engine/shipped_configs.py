"""The configs that come with the package, which a user names ``mmattn::PATH``."""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config

from mmattn.errors import InputError

PACKAGE = Path(__file__).resolve().parents[1]
# An installed package has the configs inside, a checkout beside it.
HOMES = (PACKAGE / '.mim', PACKAGE.parent)
PREFIX = 'mmattn::'


class NoSuchConfig(InputError):
    """No config of this name comes with the package."""


def configs_folder() -> Path:
    """Give the folder of the configs that come with the package.

    Raises:
        InputError: If this package came without any.
    """
    for home in HOMES:
        if (home / 'configs' / '_base_').is_dir():
            return home / 'configs'
    raise NoSuchConfig(
        f'shipped configs are neither in {HOMES[0]} nor in {HOMES[1]}; work in a clone of the '
        'repository, or install a wheel (pip wheel --no-deps CLONE)'
    )


def config_path(name: str) -> str:
    """Give the path of a config that comes with the package, for ``_base_`` in stock scripts.

    Args:
        name: Its path below ``configs``, such as ``'seg/upernet_van_b2_ade20k.py'``, or the same
            after ``mmattn::``.

    Raises:
        InputError: If there is no such config, or this package came without any.
    """
    name, folder = name.removeprefix(PREFIX), configs_folder()
    shipped = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob('*.py'))}
    if name in shipped:
        return str(shipped[name])
    # Only those that stay.
    known = [key for key, path in shipped.items() if '_deprecation_' not in path.read_text('utf-8')]
    close = difflib.get_close_matches(name, known, n=3)
    meant = f'; did you mean {" or ".join(PREFIX + key for key in close)}?' if close else ''
    raise NoSuchConfig(f'{PREFIX}{name} is no config in {folder}{meant}')


@contextmanager
def shipped_bases() -> Iterator[None]:
    """Let mmengine find bases of the form ``mmattn::PATH`` for as long as it reads a config.

    It looks for such bases in packages of a list of its own, and takes a package for the scope of
    all that they build, which here is that of the config.
    """
    find = Config._get_cfg_path

    def find_shipped(path: str, filename: str) -> tuple[str, str | None]:
        if path.startswith(PREFIX):
            return config_path(path), None
        return find(path, filename)

    Config._get_cfg_path = staticmethod(find_shipped)
    try:
        yield
    finally:
        Config._get_cfg_path = staticmethod(find)
