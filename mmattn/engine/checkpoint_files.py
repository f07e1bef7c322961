"""Checkpoint files: written whole or not at all, and the last whole one found again."""

import contextlib
import errno
import logging
import os
import re
import resource
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader

from mmattn.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_whole(
    path: Path, write: Callable[[Path], Any], state: Callable[[], Any] | None = None
) -> None:
    """Write a file that has its name only when it is complete and on the disk.

    It is begun under a name that nobody can foresee, and takes its own in one step: a link of that
    name is replaced, not followed.

    Args:
        path: The file; if there is one already, it stays until the new one is complete.
        write: Writes a file of the name that it is given.
        state: Gives what will be in it, for a message about the disk.

    Raises:
        InputError: If it cannot be written. What was there before is still there.
    """
    try:
        descriptor, name = tempfile.mkstemp('.partial', f'{path.name}.', path.parent)
        os.close(descriptor)
    except OSError as error:
        raise _explain(error, path, state) from error
    partial = Path(name)
    try:
        write(partial)
        # mkstemp lets nobody else read what others of the group may.
        partial.chmod(0o666 & ~_umask())
        _flush(partial)
        partial.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise _explain(error, path, state) from error
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


def note_last(work_dir: Path, checkpoint: str) -> None:
    """Write down which checkpoint is the last one, where :func:`find_last` looks."""
    write_whole(work_dir / 'last_checkpoint', lambda path: path.write_text(checkpoint))


def _explain(error: OSError, path: Path, state: Callable[[], Any] | None) -> InputError:
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
    return InputError(f'{what}, and go on with --resume: the checkpoints before it are whole')


def _in_mb(count: int) -> str:
    return f'{count / 1e6:.1f} MB'


def _bytes_of(state: Any) -> int:
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        return sum(map(_bytes_of, state.values()))
    return sum(map(_bytes_of, state)) if isinstance(state, list | tuple) else 0


def out_dir_of(cfg: Config) -> Path | None:
    """Give the folder that the checkpoints of a config go to if that is not its work dir."""
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    out_dir = hook.get('out_dir')
    if not out_dir or '://' in out_dir:
        return None
    # As mmengine puts it together.
    return Path(out_dir, Path(cfg.work_dir).name)


def find_last(work_dir: Path, out_dir: Path | None = None) -> str:
    """Find the last whole checkpoint of a run.

    Args:
        work_dir: Folder of the run.
        out_dir: Folder of its checkpoints if that is another one.

    Returns:
        What ``last_checkpoint`` names, looked for in these two folders only, which may have been
        moved since; if that file is damaged or gone, the one of the most iterations that a training
        can go on from, and there is a warning.

    Raises:
        InputError: If there is none.
    """
    record = work_dir / 'last_checkpoint'
    if not record.is_file():
        raise InputError(
            f'--resume finds nothing to go on from: {record} does not exist; '
            'start without --resume, or name a checkpoint: --resume PATH'
        )
    folders = [folder for folder in (out_dir, work_dir) if folder is not None]
    name, reason = _read_record(record)
    found = f'{record} {reason}'
    if reason is None:
        places = [folder / name for folder in folders]
        last = next((place for place in places if place.exists()), places[0])
        reason = find_damage(last)
        if reason is None:
            return str(last)
        found, reason = f'{last} {reason}', f'names {last}, which {reason}'
    progress = {}
    for path in (path for folder in folders for path in sorted(folder.glob('*.pth'))):
        iteration = _iteration_of(path)
        if iteration is not None:
            progress[path] = iteration
    if progress:
        path = max(progress, key=progress.get)
        print_log(f'{found}; going on from {path}', 'current', logging.WARNING)
        return str(path)
    raise InputError(
        f'--resume finds nothing to go on from: {record} {reason}, and there is no other whole '
        'checkpoint beside it; name one: --resume PATH'
    )


def _read_record(record: Path) -> tuple[str, str | None]:
    """Give the base name of the file that a record names, and what is wrong with the record."""
    text = record.read_bytes().decode(errors='replace').strip()
    if not text:
        return '', 'is empty'
    if '://' in text:
        return '', f'names the address {_printable(text)}'
    name = Path(text).name
    if not text.isprintable() or '\ufffd' in text or name in ('', '..'):
        return '', f'names no file ({_printable(text)})'
    return name, None


def _printable(text: str) -> str:
    return ascii(text if len(text) <= 80 else f'{text[:80]}...')


def find_damage(path: Path) -> str | None:
    """Look for damage in a checkpoint.

    Args:
        path: Checkpoint file. All of it is read, to compare it with its check sums.

    Returns:
        What is wrong as the end of a sentence, or None if the file is whole.
    """
    if not path.is_file():
        return 'is a folder' if path.is_dir() else 'does not exist'
    try:
        with zipfile.ZipFile(path) as archive:
            return 'is damaged (a check sum does not fit)' if archive.testzip() else None
    # A flipped bit in a name, a size or a flag shows in many ways.
    except Exception as error:
        return f'is damaged ({type(error).__name__}: {error})'


def _iteration_of(path: Path) -> int | None:
    """Give the iteration of a checkpoint, or None if no training can go on from it."""
    if not path.is_file() or find_damage(path) is not None:
        return None
    try:
        checkpoint = CheckpointLoader.load_checkpoint(str(path), 'cpu')
    except Exception:
        # A folder may hold anything.
        return None
    # The best weights are kept without an optimizer.
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get('optimizer'), dict):
        return None
    meta = checkpoint.get('meta')
    iteration = meta.get('iter') if isinstance(meta, dict) else None
    # One that does not tell comes last.
    return iteration if isinstance(iteration, int) else -1
