"""Where in a checkpoint the weights are, and what wrappers of models put into their names."""

import re
from typing import Any

from torch import Tensor

from mmattn.errors import InputError

# What frameworks call the entry with the weights: of the model first, of its averages then. What
# mmengine calls ema_state_dict is none: in its files state_dict has the average already.
_ENTRIES = (
    *('state_dict', 'model', 'model_state_dict', 'module', 'net', 'network', 'weights', 'params'),
    *('state_dict_ema', 'model_ema', 'ema', 'params_ema', 'teacher', 'student'),
)
# An entry may hold entries again.
_MOST_LEVELS = 3
# torch.compile, FSDP and checkpointing wrap any part, DDP the whole.
_WRAPPERS = re.compile(
    r'(^|\.)(?:(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.)+'
)


def find_entry(checkpoint: dict) -> tuple[dict, str]:
    """Find the state dict in a checkpoint.

    Args:
        checkpoint: A state dict, or a dict that holds one or several.

    Returns:
        The state dict, and which one it is if there are several: ``' [model, not model_ema]'``,
        else nothing.
    """
    choice = ''
    for _ in range(_MOST_LEVELS):
        entries = [entry for entry in _ENTRIES if _holds_weights(checkpoint.get(entry))]
        if not entries:
            break
        found = checkpoint[entries[0]]
        # One state dict may have two names.
        names = [entry for entry in entries if checkpoint[entry] is found]
        others = [entry for entry in entries if entry not in names]
        choice += f' [{names[-1]}, not {" or ".join(others)}]' if others else ''
        checkpoint = found
    return checkpoint, choice


def _holds_weights(value: Any, levels: int = _MOST_LEVELS) -> bool:
    if not isinstance(value, dict) or not levels:
        return False
    if any(isinstance(item, Tensor) for item in value.values()):
        return True
    return any(_holds_weights(value.get(entry), levels - 1) for entry in _ENTRIES)


def find_state_dict(checkpoint: dict) -> dict[str, Tensor]:
    """Take the state dict out of a checkpoint, without what wrappers put into the keys.

    Args:
        checkpoint: See :func:`find_entry`.

    Returns:
        Its tensors; what else stands among them is no weight.

    Raises:
        InputError: If there is something else where a state dict should be.
    """
    state_dict, _ = find_entry(checkpoint)
    named = next((e for e in _ENTRIES if not isinstance(state_dict.get(e, {}), dict)), None)
    if named and not _holds_weights(state_dict):
        raise InputError(
            f'the {named} of a checkpoint is a {type(state_dict[named]).__name__}; expected a dict '
            'of tensors'
        )
    return {
        bare_name(key): value
        for key, value in state_dict.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }


def bare_name(key: str) -> str:
    """Give the name that a tensor has in the model itself.

    Example:
        >>> bare_name('module.backbone._orig_mod.conv1.weight')
        'backbone.conv1.weight'
    """
    return _WRAPPERS.sub(r'\1', key).removeprefix('module.')


def lay_open(checkpoint: dict) -> None:
    """Put the weights where mmengine and the hosts look, under their bare names; in place."""
    state_dict, _ = find_entry(checkpoint)
    renamed = {bare_name(k) if isinstance(k, str) else k: v for k, v in state_dict.items()}
    if renamed.keys() != state_dict.keys():
        state_dict.clear()
        state_dict.update(renamed)
    if state_dict is not checkpoint:
        checkpoint['state_dict'] = state_dict
