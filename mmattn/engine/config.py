"""Read a config, and say in one line what is wrong with it."""

import contextlib
import difflib
import importlib.util
import inspect
import re
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

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
        with warnings.catch_warnings():
            # Python hides from a user that a library, here mmengine, calls a name a former one.
            warnings.filterwarnings('default', 'The config file .* will be deprecated')
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
        if close and key not in known:
            raise InputError(f'config {path} has the key {key}; did you mean {close[0]}?')
    scope = cfg.get('default_scope', 'mmengine')
    if importlib.util.find_spec(scope) is None:
        package, extra = _PACKAGES.get(scope, (scope, None))
        install = f"'mmattn[{extra}]' ({package})" if extra else package
        raise InputError(
            f'config {path} is written for {scope}, which is not installed; pip install {install}'
        )
    return cfg


def explain_build_error(error: Exception) -> str | None:
    """Say what in a config made the building of an object fail.

    Args:
        error: What was raised, with its traceback.

    Returns:
        One line that names the type or option, or None if the config is not to blame.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    building = [frame.f_locals for frame in frames if frame.f_code.co_name == 'build_from_cfg']
    if building and isinstance(error, KeyError) and building[-1].get('obj_cls', error) is None:
        name, registry = building[-1]['obj_type'], building[-1]['registry']
        return (
            f'config: type={name!r} is not in the registry {registry.scope}::{registry.name}'
            + _did_you_mean(name, _registered(registry))
        )
    if isinstance(error, TypeError):
        mistyped = re.match(r"(\w+).*got an unexpected keyword argument '(\w+)'", str(error))
        runners = [frame.f_locals['self'] for frame in frames if 'self' in frame.f_locals]
        cfg = next((runner.cfg for runner in runners if isinstance(runner, Runner)), {})
        place = mistyped and next(_places(cfg, mistyped[2]), None)
        if place:
            callee = frames[-1].f_globals.get(mistyped[1])
            obj_cls = building[-1].get('obj_cls') if building else callee
            names = _options(callee) + _options(obj_cls)
            # InsertAttention hands what it does not know to its host.
            outer = [f['obj_cls'] for f in building if inspect.isfunction(f.get('obj_cls'))]
            names += [name for function in outer for name in _options(function)]
            return f'config: {place} is not an option of {mistyped[1]}' + _did_you_mean(
                mistyped[2], names
            )
    missing = re.match(r'.* missing \d+ required .*arguments?: (.*)', str(error))
    if missing and building and frames[-1].f_code.co_name in ('build_from_cfg', 'check_and_run'):
        name, given = building[-1]['obj_type'], ', '.join(building[-1]['args']) or 'nothing'
        return f'config: type={name!r} needs {missing[1]}, got {given}'
    ours = frames and frames[-1].f_globals.get('__name__', '').startswith('mmattn.')
    if building and ours and isinstance(error, ValueError | TypeError):
        name = building[-1]['obj_cls'].__name__
        return f'config: {name}: {_first_line(error).removeprefix(f"{name}: ")}'
    return None


def _places(cfg: object, name: str, where: str = '') -> Iterator[str]:
    """Find the dotted places of a key in a config."""
    items = enumerate(cfg) if isinstance(cfg, list | tuple) else ()
    items = cfg.items() if isinstance(cfg, dict | Config) else items
    for key, value in items:
        place = f'{where}.{key}' if where else str(key)
        if key == name:
            yield place
        yield from _places(value, name, place)


def _registered(registry) -> list[str]:
    names = []
    while registry is not None:
        names += registry.module_dict
        registry = registry.parent
    return names


def _options(obj: object) -> list[str]:
    """List the options that a class, its bases or a function takes by name."""
    names = []
    for cls in inspect.getmro(obj) if inspect.isclass(obj) else [obj]:
        with contextlib.suppress(TypeError, ValueError):
            names += inspect.signature(cls).parameters
    return names


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean {close[0]!r}?' if close else '; check the spelling and custom_imports'


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else ''
