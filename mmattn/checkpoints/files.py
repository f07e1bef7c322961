"""Files of weights: read as data, PyTorch's own and safetensors."""

import os
import re
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from zipfile import BadZipFile

import numpy as np
import torch
from mmengine.runner.checkpoint import get_torch_safe_globals

from mmattn.errors import InputError


def refuse_code_in_checkpoints() -> None:
    """Make this process read checkpoints as data, whoever reads them and from wherever.

    A checkpoint is a pickle, and a pickle can run anything. Without this call mmengine reads one
    that is not plain data all the same.
    """
    os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    # Arrays of numbers, which mmengine allows of some types only.
    numbers = {type(np.dtype(code)) for code in np.typecodes['All'] if code not in 'OV'}
    torch.serialization.add_safe_globals([*get_torch_safe_globals(), *numbers])


def read_checkpoint(path: str | Path, map_location: str | torch.device | None = None) -> dict:
    """Read a checkpoint from the disk as data.

    Args:
        path: File to read: PyTorch's format, or that of safetensors if the name ends so.
        map_location: Device of the tensors, as in :func:`torch.load`.

    Returns:
        What was saved: a state dict, or a dict that holds one under ``state_dict``.

    Raises:
        InputError: If there is no such file, it is damaged, holds no dict, or wants to run code.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f'checkpoint {path} is not a file; check the path')
    if path.suffix == '.safetensors':
        return _read_safetensors(path, map_location)
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


def _read_safetensors(path: Path, map_location: str | torch.device | None) -> dict:
    safetensors = import_safetensors(path)
    try:
        return safetensors.torch.load_file(path, device=str(map_location or 'cpu'))
    except safetensors.SafetensorError as error:
        raise _damaged(path) from error


def import_safetensors(path: Path) -> ModuleType:
    """Import the library for a file that needs it.

    Raises:
        InputError: If it is not installed.
    """
    try:
        import safetensors.torch
    except ImportError as error:
        raise InputError(f'{path} needs safetensors: pip install safetensors') from error
    return safetensors


def _damaged(path: Path) -> InputError:
    return InputError(
        f'checkpoint {path} ({path.stat().st_size} bytes) is damaged or not a PyTorch checkpoint; '
        'copy or download it again, or use an earlier one'
    )


def find_state_dict(checkpoint: dict) -> dict[str, torch.Tensor]:
    """Take the state dict out of a checkpoint and strip what a DDP wrapper put before the keys."""
    state_dict = checkpoint.get('state_dict', checkpoint.get('model', checkpoint))
    return {key.removeprefix('module.'): value for key, value in state_dict.items()}
