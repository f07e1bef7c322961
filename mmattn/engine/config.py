"""Read a config, and say in one line what is wrong with it."""

import difflib
import importlib.util
import inspect
from pathlib import Path
from types import TracebackType

from mmengine.config import Config
from mmengine.runner import Runner

from mmattn.errors import InputError

_PACKAGES = {
    'mmseg': ('onedl-mmsegmentation', 'seg'),
    'mmdet': ('onedl-mmdetection', 'det'),
    'mmpretrain': ('onedl-mmpretrain', 'cls'),
}


def load_config(path: str, options: dict | None = None) -> Config:
    """Read a config file and apply the options of the command line.

    Args:
        path: Config file.
        options: Values for dotted keys, as ``--cfg-options`` gives them.

    Returns:
        The merged config, with ``mmattn`` and its other ``custom_imports`` imported.

    Raises:
        InputError: If the file is missing or is no valid config, or its scope is not installed.
    """
    if not Path(path).is_file():
        raise InputError(f'config {path} is not a file; check the path')
    try:
        cfg = Config.fromfile(path)
        if options:
            cfg.merge_from_dict(options)
    except (
        OSError,
        ImportError,
        SyntaxError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        reason = f'{type(error).__name__}: {_first_line(error)}'
        raise InputError(f'config {path} cannot be read: {reason}') from error
    known = inspect.signature(Runner).parameters
    for key in cfg:
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.85)
        if close and key not in known and close[0] not in cfg:
            raise InputError(f'config {path} has the key {key}; did you mean {close[0]}?')
    scope = cfg.get('default_scope', 'mmengine')
    if importlib.util.find_spec(scope) is None:
        package, extra = _PACKAGES.get(scope, (scope, None))
        install = f'mmattn[{extra}]' if extra else package
        raise InputError(
            f'config {path} is written for {scope}, which is not installed; '
            f"pip install '{install}' ({package})"
        )
    return cfg


def explain_build_error(error: BaseException) -> str | None:
    """Say what in a config made the building of an object fail.

    Args:
        error: What was raised, with its traceback.

    Returns:
        One line that names the type and the option, or None if the config is not to blame.
    """
    frame, module = _building_frame(error.__traceback__)
    if frame is None:
        return None
    obj_cls, registry = frame.get('obj_cls'), frame['registry']
    if isinstance(error, KeyError) and obj_cls is None and 'obj_type' in frame:
        name = frame['obj_type']
        return f'config: type={name!r} is not in the registry {registry.scope}::{registry.name}' + (
            _did_you_mean(name, _registered(registry)) or '; check its spelling and custom_imports'
        )
    if isinstance(error, TypeError) and 'unexpected keyword argument' in str(error):
        if obj_cls is None or module != 'mmengine.registry.build_functions':
            return None
        name = str(error).rsplit("'", 2)[-2]
        return f'config: {obj_cls.__name__} has no option {name!r}' + (
            _did_you_mean(name, _options(obj_cls)) or f'; it has {", ".join(_options(obj_cls))}'
        )
    if isinstance(error, TypeError) and 'required' in str(error) and obj_cls is not None:
        if module != 'mmengine.registry.build_functions':
            return None
        return f'config: {obj_cls.__name__} {str(error).split(" ", 1)[-1]}'
    if isinstance(error, ValueError) and module.startswith('mmattn.') and obj_cls is not None:
        return f'config: {obj_cls.__name__}: {_first_line(error)}'
    return None


def _building_frame(traceback: TracebackType | None) -> tuple[dict | None, str]:
    """Find the locals of the innermost building from a config, and the module that raised."""
    found, module = None, ''
    while traceback is not None:
        frame = traceback.tb_frame
        module = frame.f_globals.get('__name__', '')
        if frame.f_code.co_name == 'build_from_cfg':
            found = frame.f_locals
        traceback = traceback.tb_next
    return found, module


def _registered(registry) -> list[str]:
    names = []
    while registry is not None:
        names += registry.module_dict
        registry = registry.parent
    return names


def _options(obj_cls) -> list[str]:
    classes = inspect.getmro(obj_cls) if inspect.isclass(obj_cls) else [obj_cls]
    names = []
    for cls in classes:
        names += [
            p.name
            for p in inspect.signature(cls).parameters.values()
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in names
        ]
        if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(cls).parameters.values()):
            break
    return names


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean {close[0]!r}?' if close else ''


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else ''
