"""Weights from a file: read as data, loaded with an account of what fitted."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from zipfile import BadZipFile

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader, get_torch_safe_globals
from torch import nn

from mmattn.errors import InputError

_SIZE_MISMATCH = re.compile(
    r'size mismatch for (\S+): copying a param with shape torch\.Size\((.*?)\) from checkpoint, '
    r'the shape in current model is torch\.Size\((.*?)\)'
)


def refuse_code_in_checkpoints() -> None:
    """Make this process read checkpoints as data, whoever reads them and from wherever.

    A checkpoint is a pickle, and a pickle can run anything. Without this call mmengine reads one
    that is not plain data all the same.
    """
    os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    # Arrays of numbers, which mmengine allows of some types only.
    numbers = {type(np.dtype(code)) for code in np.typecodes['All'] if code not in 'OV'}
    torch.serialization.add_safe_globals([*get_torch_safe_globals(), *numbers])
    CheckpointLoader.register_scheme('', read_checkpoint, force=True)


def read_checkpoint(path: str | Path, map_location: str | torch.device | None = None) -> dict:
    """Read a checkpoint from the disk as data.

    Args:
        path: File to read.
        map_location: Device of the tensors, as in :func:`torch.load`.

    Returns:
        What was saved: a state dict, or a dict that holds one under ``state_dict``.

    Raises:
        InputError: If there is no such file, it is damaged, holds no dict, or wants to run code.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f'checkpoint {path} is not a file; check the path')
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except UnpicklingError as error:
        name = re.search(r'GLOBAL ([\w.]+)', str(error))
        raise InputError(
            f'checkpoint {path} is not plain data: reading it would run '
            f'{name[1] if name else "code of its own"}; if you trust where it comes from, repeat '
            'the command with --trust-checkpoint'
        ) from error
    except (EOFError, RuntimeError, BadZipFile, ValueError, KeyError) as error:
        raise _damaged(path) from error
    if not isinstance(checkpoint, dict):
        raise InputError(
            f'checkpoint {path} holds a {type(checkpoint).__name__}; expected a state dict'
        )
    return checkpoint


def _damaged(path: Path) -> InputError:
    return InputError(
        f'checkpoint {path} ({path.stat().st_size} bytes) is damaged or not a PyTorch checkpoint; '
        'copy or download it again, or use an earlier one'
    )


def find_state_dict(checkpoint: dict) -> dict[str, torch.Tensor]:
    """Take the state dict out of a checkpoint and strip what a DDP wrapper put before the keys."""
    state_dict = checkpoint.get('state_dict', checkpoint.get('model', checkpoint))
    return {key.removeprefix('module.'): value for key, value in state_dict.items()}


def load_accounted(
    module: nn.Module,
    state_dict: dict[str, torch.Tensor],
    *,
    source: str,
    may_differ: Callable[[str], bool],
) -> None:
    """Load weights, log one line of what fitted, and refuse those of another architecture.

    Args:
        module: Receiver of the weights; it renames published keys by itself.
        state_dict: The weights.
        source: Where they come from, for the messages.
        may_differ: Whether the tensor of a key may be missing, left over or of another shape; it
            then keeps its initial value.

    Raises:
        InputError: If another tensor is missing, left over or of another shape.
    """
    mismatched, found = {}, []
    # A hook hears what is missing and left over even where shapes differ and loading ends in an
    # error; what fits is loaded by then.
    hook = module.register_load_state_dict_post_hook(lambda _, keys: found.append(keys))
    try:
        module.load_state_dict(state_dict, strict=False)
    except RuntimeError as error:
        mismatches = _SIZE_MISMATCH.findall(str(error))
        if not mismatches:
            raise
        mismatched = {key: f'({theirs}) there, ({ours}) here' for key, theirs, ours in mismatches}
    finally:
        hook.remove()
    [(missing, unused)] = found
    missing = [key for key in missing if not _is_counter(key)]
    reasons = [
        f'{key}: shape {shapes}' for key, shapes in mismatched.items() if not may_differ(key)
    ]
    reasons += [f'{key}: missing there' for key in missing if not may_differ(key)]
    reasons += [f'{key}: missing here' for key in unused if not may_differ(key)]
    total = sum(not _is_counter(key) for key in module.state_dict())
    new = [*missing, *mismatched]
    account = f'{source}: {total - len(new)}/{total} tensors loaded'
    if reasons:
        raise InputError(
            f'{source} is of another architecture than this {type(module).__name__}: '
            f'{total - len(new)} of {total} tensors fit, {len(reasons)} do not '
            f'({"; ".join(reasons[:2])}{"; ..." if len(reasons) > 2 else ""}); '
            'use weights of this architecture'
        )
    for word, keys in (('new', new), ('unused', unused)):
        if keys:
            account += f', {len(keys)} {word} ({keys[0]}{", ..." if len(keys) > 1 else ""})'
    print_log(account, logger='current')


def _is_counter(key: str) -> bool:
    return key.endswith('num_batches_tracked')
