"""Files of weights, read as data: PyTorch's own and safetensors."""

from pathlib import Path
from typing import BinaryIO

from mmattn.errors import InputError
from mmattn.layers.packages import import_optional
from mmattn.weights import torch_files
from mmattn.weights.plain_data import BadDataError, NotPlainDataError


def read_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint from the disk as data: no file runs code.

    Args:
        path: File to read: PyTorch's format, or that of safetensors if the name ends so.

    Returns:
        What was saved, with all tensors on the CPU: a state dict, or a dict that holds one.

    Raises:
        InputError: If there is no such file, it is damaged, holds no dict, or wants to run code.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f'checkpoint {path} is not a file; check the path')
    try:
        with path.open('rb') as file:
            return read_stream(file, str(path))
    except OSError as error:
        raise InputError(f'checkpoint {path} cannot be read ({error.strerror})') from error


def read_stream(file: BinaryIO, name: str) -> dict:
    """Read a checkpoint from an open file; see :func:`read_checkpoint`.

    Args:
        file: The file, which can be sought in.
        name: Its name, for the format and for messages.

    Returns:
        What was saved.

    Raises:
        InputError: As there.
    """
    if name.endswith('.safetensors'):
        return _read_safetensors(file, name)
    try:
        checkpoint = torch_files.read(file)
    except NotPlainDataError as error:
        raise InputError(
            f'checkpoint {name} is not plain data: reading it would run {_shown(error)}; if you '
            'trust where it comes from, repeat the command with --trust-checkpoint'
        ) from error
    # Damage shows in any way: a pickle with a flipped bit may do whatever a pickle can.
    except Exception as error:
        raise _damaged(file, name, error) from error
    if not isinstance(checkpoint, dict):
        raise InputError(
            f'checkpoint {name} holds a {type(checkpoint).__name__}; expected a state dict'
        )
    return checkpoint


def _read_safetensors(file: BinaryIO, name: str) -> dict:
    safetensors = import_optional('safetensors.torch', name)
    try:
        return safetensors.load(file.read())
    except Exception as error:
        raise _damaged(file, name, error) from error


def _damaged(file: BinaryIO, name: str, error: Exception) -> InputError:
    known = isinstance(error, BadDataError | EOFError)
    reason = f': {_shown(error)}' if known else ''
    return InputError(
        f'checkpoint {name} ({file.seek(0, 2)} bytes) is damaged or not a PyTorch checkpoint'
        f'{reason}; copy or download it again, or use an earlier one'
    )


def _shown(error: Exception) -> str:
    """Give a message, parts of which a file may have written, in one line and without escapes."""
    text = str(error)[:200]
    return text if text.isprintable() else ascii(text)
