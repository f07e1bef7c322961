"""Weights from a file: read as data, loaded with an account of what fitted."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from zipfile import BadZipFile

import torch
from mmengine.logging import print_log
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
    from mmengine.runner.checkpoint import CheckpointLoader, get_torch_safe_globals

    os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    torch.serialization.add_safe_globals(get_torch_safe_globals())
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
        if path.stat().st_size == 0 or 'Unsupported' not in str(error):
            raise _damaged(path) from error
        name = re.search(r'(?:GLOBAL|global|class) ([\w.]+)', str(error))
        raise InputError(
            f'checkpoint {path} is more than data: it wants to run '
            f'{name.group(1) if name else "code"} while it is read; if you trust where it comes '
            'from, repeat the command with --trust-checkpoint'
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
    state_dict = checkpoint.get('state_dict', checkpoint)
    return {key.removeprefix('module.'): value for key, value in state_dict.items()}


def load_accounted(
    module: nn.Module,
    state_dict: dict[str, torch.Tensor],
    *,
    source: str,
    may_be_new: Callable[[str], bool] = lambda key: False,
) -> None:
    """Load weights, log one line of what fitted, and refuse those of another architecture.

    Args:
        module: Receiver of the weights; it renames published keys by itself.
        state_dict: The weights.
        source: Where they come from, for the messages.
        may_be_new: Whether the tensor of a key may keep its initial value when the weights have
            none of its shape.

    Raises:
        InputError: If a tensor of ``module`` that may not be new is missing or of another shape,
            or if nothing fits at all.
    """
    mismatched = {}
    try:
        missing, unused = module.load_state_dict(state_dict, strict=False)
    except RuntimeError as error:
        # PyTorch loads what fits before it complains about the sizes.
        for key, theirs, ours in _SIZE_MISMATCH.findall(str(error)):
            mismatched[key] = f'{key} has shape ({theirs}) there and ({ours}) here'
        if not mismatched:
            raise
        fitting = {key: value for key, value in state_dict.items() if key not in mismatched}
        missing, unused = module.load_state_dict(fitting, strict=False)
        missing = [key for key in missing if key not in mismatched]

    missing = [key for key in missing if not key.endswith('num_batches_tracked')]
    total = sum(not key.endswith('num_batches_tracked') for key in module.state_dict())
    wrong = [f'{key} is missing there' for key in missing if not may_be_new(key)]
    wrong += [text for key, text in mismatched.items() if not may_be_new(key)]
    new = len(missing) + len(mismatched)
    if wrong or (new == total and total):
        first = wrong[0] if wrong else f'{missing[0]} is missing there'
        raise InputError(
            f'{source} is of another architecture than {type(module).__name__}: '
            f'{total - new} of {total} tensors fit, {new} do not, {len(unused)} are left over '
            f'({first}); use weights of this architecture'
        )
    account = f'{source}: {total - new}/{total} tensors loaded'
    for count, word, keys in ((new, 'new', [*missing, *mismatched]), (len(unused), 'unused', unused)):
        if count:
            account += f', {count} {word} ({", ".join(_summary(keys))})'
    print_log(account, logger='current')


def _summary(keys: list[str], most: int = 3) -> list[str]:
    return keys[:most] + (['...'] if len(keys) > most else [])
