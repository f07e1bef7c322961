"""A file is written whole or not at all."""

import contextlib
import errno
import os
import re
import resource
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mmattn.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT)


# What to do where a checkpoint cannot be written.
_RESUME = 'go on with --resume: the checkpoints before it are whole'


def write_whole(
    path: Path,
    write: Callable[[Path], Any],
    state: Callable[[], Any] | None = None,
    *,
    remedy: str = _RESUME,
) -> None:
    """Write a file that has its name only when it is complete and on the disk.

    It is begun under a name that nobody can foresee, and takes its own in one step: a link of that
    name is replaced, not followed.

    Args:
        path: The file; if there is one already, it stays until the new one is complete.
        write: Writes a file of the name that it is given.
        state: Gives what will be in it, for a message about the disk.
        remedy: What to do when there is room for it, as the end of that message.

    Raises:
        InputError: If it cannot be written. What was there before is still there.
    """
    try:
        descriptor, name = tempfile.mkstemp('.partial', f'{path.name}.', path.parent)
        os.close(descriptor)
    except OSError as error:
        raise _explain(error, path, state, remedy) from error
    partial = Path(name)
    try:
        write(partial)
        # mkstemp lets nobody else read what others of the group may.
        partial.chmod(0o666 & ~_umask())
        _flush(partial)
        partial.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise _explain(error, path, state, remedy) from error
    finally:
        # Where the folder is gone, this is not the error to tell of.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _umask() -> int:
    # It can only be read by setting it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# What write_whole calls a file of a run before it is complete.
_PARTIAL = re.compile(r'(.+\.pth|last_\w+|.+\.(py|json|ya?ml))\.[a-z0-9_]{8}\.partial')


def remove_partial(folder: Path) -> None:
    """Remove what a killed process was writing, by the names of :func:`write_whole`."""
    for path in folder.glob('*.partial'):
        if _PARTIAL.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):  # somebody else's
                path.unlink()


def _explain(
    error: OSError, path: Path, state: Callable[[], Any] | None, remedy: str
) -> InputError:
    """Say what is in the way of writing a file."""
    what = f'{path} cannot be written ({os.strerror(error.errno or errno.EIO)})'
    needed = f'it needs about {_in_mb(_bytes_of(state()))}, ' if state else ''
    if error.errno in _FULL:
        free = _in_mb(shutil.disk_usage(path.parent).free)
        what += f': {needed}{free} are free; make room'
    elif error.errno == errno.EFBIG:
        limit = _in_mb(resource.getrlimit(resource.RLIMIT_FSIZE)[0])
        what += f': {needed}a file may have {limit} here; raise ulimit -f'
    else:
        what += f'; look at {path.parent} and the rights there'
    return InputError(f'{what}, and {remedy}')


def _in_mb(count: int) -> str:
    return f'{count / 1e6:.1f} MB'


def _bytes_of(state: Any) -> int:
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        return sum(map(_bytes_of, state.values()))
    return sum(map(_bytes_of, state)) if isinstance(state, list | tuple) else 0
