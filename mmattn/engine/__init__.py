"""What trains: a runner that loses nothing, and what it is made of."""

import warnings
from importlib import import_module
from typing import Any

# Names that this room had in 0.1.0, and where they are now; they go with 0.2.0.
_FORMER_NAMES = {
    'NonFiniteLossGuard': 'hooks.loss_guard',
    'PreemptionHook': 'hooks.preemption',
    'ResumableEpochLoop': 'resume.loops',
    'ResumableIterLoop': 'resume.loops',
    'Runner': 'runner',
    'SafeCheckpointHook': 'hooks.checkpoint_hook',
    'ShardedRunner': 'sharding',
    'load_config': 'config',
}


def __getattr__(name: str) -> Any:
    if name not in _FORMER_NAMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = f'{__name__}.{_FORMER_NAMES[name]}'
    warnings.warn(f'{__name__}.{name} is {module}.{name} now', FutureWarning, stacklevel=2)
    return getattr(import_module(module), name)
