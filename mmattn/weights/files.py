"""Files of weights: PyTorch's own, read as data unless that is told otherwise, and others."""

from pathlib import Path
from typing import Any, BinaryIO

import torch

from mmattn.errors import InputError
from mmattn.layers.packages import import_optional
from mmattn.weights import mxnet_files, torch_files
from mmattn.weights.other_files import refuse_other_files
from mmattn.weights.plain_data import BadDataError, NotPlainDataError


def read_checkpoint(path: str | Path, *, run_code: bool = False) -> dict:
    """Read a checkpoint from the disk.

    Args:
        path: File to read: PyTorch's format, or that of safetensors or MXNet if the name ends in
            ``.safetensors`` or ``.params``.
        run_code: Whether to let PyTorch run the code that is in it. Otherwise it is read as data.

    Returns:
        What was saved, with all tensors on the CPU: a state dict, or a dict that holds one.

    Raises:
        InputError: If there is no such file, it is none, it is damaged, holds no dict, or wants to
            run code and may not.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f'checkpoint {path} is not a file; check the path')
    try:
        with path.open('rb') as file:
            return read_stream(file, str(path), run_code=run_code)
    except OSError as error:
        raise InputError(f'checkpoint {path} cannot be read ({error.strerror})') from error


def read_stream(file: BinaryIO, name: str, *, run_code: bool = False) -> dict:
    """Read a checkpoint from an open file; see :func:`read_checkpoint`.

    Args:
        file: The file, which can be sought in.
        name: Its name, for the format and for messages.
        run_code: As there.

    Returns:
        What was saved.

    Raises:
        InputError: As there.
    """
    refuse_other_files(file, name)
    if name.endswith('.safetensors'):
        checkpoint = _read_safetensors(file, name)
    elif name.endswith('.params'):
        checkpoint = _read_mxnet(file, name)
    elif run_code:
        checkpoint = _read_code(file, name)
    else:
        checkpoint = _read_data(file, name)
    if not isinstance(checkpoint, dict):
        raise InputError(
            f'checkpoint {name} holds a {type(checkpoint).__name__}; expected a state dict'
        )
    return checkpoint


def _read_data(file: BinaryIO, name: str) -> Any:
    try:
        return torch_files.read(file)
    except NotPlainDataError as error:
        raise InputError(
            f'checkpoint {name} is not plain data: reading it would run {_shown(error)}; if you '
            'trust where it comes from, repeat the command with --trust-checkpoint'
        ) from error
    # Damage shows in any way: a pickle with a flipped bit may do whatever a pickle can.
    except Exception as error:
        known = isinstance(error, BadDataError | EOFError)
        raise _damaged(file, name, _shown(error) if known else '') from error


def _read_code(file: BinaryIO, name: str) -> Any:
    try:
        return torch.load(file, 'cpu', weights_only=False)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f'checkpoint {name} needs code that is not here ({_shown(error)}); install it, or name '
            'its folder in PYTHONPATH'
        ) from error
    # So may whatever runs in it.
    except Exception as error:
        raise _damaged(file, name, f'{type(error).__name__}, {_shown(error)}') from error


def _read_safetensors(file: BinaryIO, name: str) -> dict:
    safetensors = import_optional('safetensors.torch', name)
    try:
        return safetensors.load(file.read())
    except Exception as error:
        raise _damaged(file, name) from error


def _read_mxnet(file: BinaryIO, name: str) -> dict:
    try:
        return mxnet_files.read(file)
    except (BadDataError, EOFError) as error:
        raise _damaged(file, name, _shown(error)) from error


def _damaged(file: BinaryIO, name: str, reason: str = '') -> InputError:
    return InputError(
        f'checkpoint {name} ({file.seek(0, 2)} bytes) is damaged{": " if reason else ""}{reason}; '
        'copy or download it again, or use an earlier one'
    )


def _shown(error: Exception) -> str:
    """Give a message, parts of which a file may have written, in one line and without escapes."""
    text = next(iter(str(error).splitlines()), '')[:200]
    return text if text.isprintable() else ascii(text)
