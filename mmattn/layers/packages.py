"""Packages that not everybody has, imported when something needs them."""

import functools
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import distributions
from traceback import walk_tb
from types import ModuleType
from typing import Any

from mmattn.errors import InputError

# What to install: of the stock packages of OpenMMLab; of the forks, and the extra of mmattn that
# brings it.
_OPENMMLAB = {
    'mmdet': ('mmdet', 'onedl-mmdetection', 'det'),
    'mmpretrain': ('mmpretrain', 'onedl-mmpretrain', 'cls'),
    'mmseg': ('mmsegmentation', 'onedl-mmsegmentation', 'seg'),
}

# Packages whose name for pip is not that for Python.
_PIP_NAMES = {'pytorch_grad_cam': 'grad-cam'}


class MissingPackage(ImportError, InputError):
    """A package is not installed: the message tells who needs it and how to get it."""


def installation(package: str) -> str:
    """Give what comes behind ``pip install`` for a package."""
    if package not in _OPENMMLAB:
        return _PIP_NAMES.get(package, package)
    stock, fork, extra = _OPENMMLAB[package]
    # A fork lies in the same folders as the stock package: one over the other breaks both.
    return stock if _is_stock() else f"'mmattn[{extra}]' ({fork})"


def _is_stock() -> bool:
    """Tell whether mmengine is the stock one."""
    return any(distributions(name='mmengine')) and not any(distributions(name='onedl-mmengine'))


def explain_missing_ops(error: Exception) -> str | None:
    """Say what needs the compiled ops of mmcv, which mmcv-lite does not have.

    Args:
        error: What an import raised.

    Returns:
        One line with what to do, or None if the error is another one.
    """
    if not isinstance(error, ModuleNotFoundError) or error.name != 'mmcv._ext':
        return None
    modules = [frame.f_globals.get('__name__', '') for frame, _ in walk_tb(error.__traceback__)]
    users = [name.split('.')[0] for name in modules if name.split('.')[0] in _OPENMMLAB]
    return (
        f'{users[-1] if users else "this"} needs the compiled ops of mmcv (mmcv._ext), which are '
        'not installed; mmcv-lite has none: install mmcv itself, see docs/install.md'
    )


def import_optional(module: str, user: object) -> ModuleType:
    """Import a module of a package that may not be installed.

    Args:
        module: Its dotted name.
        user: What needs it, for the message.

    Raises:
        MissingPackage: If the package is not installed. Whatever else is missing in it speaks for
            itself.
    """
    package = module.split('.')[0]
    try:
        import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingPackage(
            f'{user} needs {package}: pip install {installation(package)}'
        ) from error
    return import_module(module)


def imported_on_use(package: str, module: str) -> Callable[[Callable], Callable]:
    """Let a function build the class of its own name that lies in a module to be imported then.

    So a config can name the class while nobody who does not use it needs the package.

    Args:
        package: Package that the module needs.
        module: Dotted name of the module.
    """

    def decorate(function: Callable) -> Callable:
        name = function.__name__

        def load() -> type:
            import_optional(package, name)
            return getattr(import_module(module), name)

        @functools.wraps(function)
        def build(*args: Any, **kwargs: Any) -> Any:
            return load()(*args, **kwargs)

        build.stands_for = load  # type: ignore[attr-defined]  # functions take any
        return build

    return decorate
