"""Options of the command line that would change nothing."""

import inspect
import re
import sys
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from mmattn.errors import InputError
from mmattn.probe.places import ending_in, listed, places
from mmattn.probe.signatures import PACKAGES

# What is read of a config: by the constructor of the runner, by its other methods, by ours, and by
# the commands. Everything else is a variable of the file, which has been used when it was read.
_READ = frozenset(
    (
        *inspect.signature(Runner).parameters,
        *('activation_checkpointing', 'compile', 'efficient_conv_bn_eval', 'env_cfg'),
        *('find_unused_parameters', 'fp16', 'model_wrapper_cfg', 'runner_type', 'strategy'),
        *('sync_bn', 'auto_scale_lr', 'resume_partial', 'resume_schedule', 'sharding'),
        *('tta_model', 'tta_pipeline', 'published', 'custom_imports'),
    )
)


def refuse_unread_options(cfg: Config, options: dict[str, Any]) -> None:
    """Refuse an option that nothing reads, and name those that are read.

    Args:
        cfg: The config as its file has it.
        options: Values for dotted keys, as ``--cfg-options`` gives them.

    Raises:
        InputError: If there is one. What code outside of OpenMMLab and of this project may read is
            let pass.
    """
    for key in options:
        top = key.partition('.')[0]
        if _is_read(top, cfg) or _is_for_others(top, cfg):
            continue
        found = _read_instead(key, cfg)
        raise InputError(
            f'--cfg-options {key} changes nothing, since nothing reads {top}'
            + (f'; what is read is {listed(found)}' if found else '; check the spelling')
            + ('; --data-root DIR sets them all' if key == 'data_root' and found else '')
        )


def _is_read(top: str, cfg: Config) -> bool:
    if top == 'data_preprocessor' and 'data_preprocessor' in (cfg.get('model') or {}):
        # The model's own wins.
        return False
    return top in _READ


def _is_for_others(top: str, cfg: Config) -> bool:
    """Tell whether code of somebody else is there that may read a key of this name."""
    runner = cfg.get('runner_type')
    if isinstance(runner, type):
        return runner.__module__.partition('.')[0] not in PACKAGES
    imports = (cfg.get('custom_imports') or {}).get('imports') or []
    imports = [imports] if isinstance(imports, str) else imports
    packages = {name.partition('.')[0] for name in imports} - {*PACKAGES}
    return any(
        re.search(rf'\b{re.escape(top)}\b', _source(name))
        for name in list(sys.modules)
        if name.partition('.')[0] in packages
    )


def _source(module: str) -> str:
    try:
        return inspect.getsource(sys.modules[module])
    except (OSError, TypeError):
        return ''


def _read_instead(key: str, cfg: Config) -> list[str]:
    """Find what a user may have meant: keys of the same name, or of the variable's value."""
    top, _, rest = key.partition('.')
    # Outermost first.
    read = [
        (where, value) for where, value in places(cfg) if _is_read(where.partition('.')[0], cfg)
    ]
    keys = [where for where, _ in read]
    if top in cfg and isinstance(cfg[top], dict | list | tuple):
        same = [where for where, value in read if value == cfg[top]]
        if same:
            return [f'{where}.{rest}' if rest else where for where in same]
    name = key
    while not (found := ending_in(name, keys)) and '.' in name:
        name = name.partition('.')[2]
    if not found and top in cfg:
        found = [where for where, value in read if value == cfg[top]]
    return found
