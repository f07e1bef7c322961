"""Packages that not everybody has, imported when something needs them."""

import functools
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from mmattn.errors import InputError

# What to install, and the extra of mmattn that does.
_PACKAGES = {
    'mmdet': ('onedl-mmdetection', 'det'),
    'mmpretrain': ('onedl-mmpretrain', 'cls'),
    'mmseg': ('onedl-mmsegmentation', 'seg'),
    'safetensors': ('safetensors', None),
    'timm': ('timm', None),
}


class MissingPackage(ImportError, InputError):
    """A package is not installed: the message tells who needs it and how to get it."""


def installation(package: str) -> str:
    """Give what comes behind ``pip install`` for a package."""
    distribution, extra = _PACKAGES.get(package, (package, None))
    return f"'mmattn[{extra}]' ({distribution})" if extra else distribution


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
