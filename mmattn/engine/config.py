"""Read a config, and say in one line what is wrong with it."""

import difflib
import importlib.util
import inspect
import re
import textwrap
import warnings
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from mmattn.engine.shipped_configs import PREFIX, NoSuchConfig, config_path, shipped_bases
from mmattn.engine.unread_options import refuse_unread_options
from mmattn.errors import InputError
from mmattn.layers.packages import MissingPackage, installation

# What reading and merging end in.
_UNREADABLE = (
    *(OSError, ImportError, SyntaxError, AssertionError, LookupError),
    *(TypeError, ValueError, AttributeError),
)


def load_config(path: str, options: dict | None = None) -> Config:
    """Read a config file and apply the options of the command line.

    Args:
        path: Config file, or ``mmattn::PATH`` for one that comes with the package. Such a base is
            found, too.
        options: Values for dotted keys, as ``--cfg-options`` gives them.

    Returns:
        The merged config, with ``mmattn`` and its other ``custom_imports`` imported.

    Raises:
        InputError: If the file is missing or is no valid config, an option would change nothing, or
            the scope of the config is not installed.
    """
    if path.startswith(PREFIX):
        path = config_path(path)
    if not Path(path).is_file():
        raise InputError(f'config {path} is not a file; check the path')
    try:
        with warnings.catch_warnings(), shipped_bases():
            # Python hides from a user that a library, here mmengine, calls a name a former one.
            warnings.filterwarnings('default', 'The config file .* will be deprecated')
            cfg = Config.fromfile(path)
    except NoSuchConfig as error:
        raise InputError(f'config {path} has a base that cannot be found: {error}') from error
    except _UNREADABLE as error:
        raise InputError(f'config {path} cannot be read: {_reason(error)}') from error
    for key, value in (options or {}).items():
        _check_number(cfg, key, value)
    refuse_unread_options(cfg, options or {})
    try:
        cfg.merge_from_dict(options or {})
    except _UNREADABLE as error:
        raise InputError(f'--cfg-options do not fit config {path}: {_reason(error)}') from error
    known = inspect.signature(Runner).parameters
    for key in cfg:
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.85)
        if close and key not in known:
            raise InputError(f'config {path} has the key {key}; did you mean {close[0]}?')
    scope = cfg.get('default_scope', 'mmengine')
    if importlib.util.find_spec(scope) is None:
        raise MissingPackage(
            f'config {path} is written for {scope}, which is not installed; '
            f'pip install {installation(scope)}'
        )
    return cfg


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # mmengine shows the whole list that an index is not in.
    return f'{type(error).__name__}: {textwrap.shorten(lines[0], 200) if lines else ""}'


def _check_number(cfg: Config, key: str, value: Any) -> None:
    """Check an option that takes the place of a number, or of several."""
    old: Any = cfg
    for name in key.split('.'):
        if isinstance(old, list | tuple) and name.isdigit() and int(name) < len(old):
            old = old[int(name)]
        else:
            old = old.get(name) if isinstance(old, Config | dict) else None
    olds = old if isinstance(old, list | tuple) else [old]
    if not olds or not all(type(number) in (int, float) for number in olds):
        return
    for text in value if isinstance(value, list | tuple) else [value]:
        # There may be words, too, such as loss_scale='dynamic'.
        if isinstance(text, str) and re.match(r'[-+]?\.?\d', text):
            raise InputError(
                f'--cfg-options {key}: expected a number in the place of {old!r}, got {text!r}'
            )
