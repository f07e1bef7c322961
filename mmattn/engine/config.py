"""Read a config, and say in one line what is wrong with it."""

import difflib
import importlib.util
import inspect
import warnings
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from mmattn.errors import InputError
from mmattn.layers.packages import MissingPackage, installation


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
        raise MissingPackage(
            f'config {path} is written for {scope}, which is not installed; '
            f'pip install {installation(scope)}'
        )
    return cfg


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else ''
