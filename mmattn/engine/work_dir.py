"""One run at a time has a work dir."""

import contextlib
import fcntl
import getpass
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from mmattn.errors import InputError
from mmattn.files.lock import NO_LOCKS, is_at

# How often a file may be gone that was there a moment before.
_TRIES = 10


@contextlib.contextmanager
def locked(work_dir: str) -> Iterator[None]:
    """Keep other runs out of a work dir, from any host that shares it.

    The kernel holds the lock for this process, not for its children, and lets go of it when the
    process ends in whatever way: there are no stale ones. The file ``.lock`` says whose it is, and
    goes with the lock.

    Args:
        work_dir: The folder. The main process of a distributed run locks it for all.

    Raises:
        InputError: If another run has it, which the message names, on all ranks; or if the folder
            is no longer there or cannot be written any more.
    """
    refusal: list[str | None] = [None]
    file: BinaryIO | None = None
    if is_main_process():
        try:
            file = _lock(Path(work_dir))
        except InputError as error:
            refusal[0] = str(error)
    # Where rank 0 must not go on, the others need not find that out by a time limit.
    broadcast_object_list(refusal)
    if refusal[0] is not None:
        raise InputError(refusal[0])
    try:
        yield
    except OSError as error:
        # The log and the curves are written by others.
        if not _lies_in(error.filename, work_dir):
            raise
        raise InputError(
            f'{error.filename} cannot be written ({error.strerror}); see whether {work_dir} is '
            'still there and can be written'
        ) from error
    finally:
        if file is not None:
            with file:
                _remove(file, Path(work_dir, '.lock'))


def _lock(work_dir: Path) -> BinaryIO:
    """Give the lock file, which is locked until it is closed."""
    path = work_dir / '.lock'
    file = _open_locked(path, work_dir)
    for _ in range(_TRIES):
        if is_at(file.fileno(), path):
            break
        # The one before removed it between the two.
        file.close()
        file = _open_locked(path, work_dir)
    since = time.strftime('%Y-%m-%d %H:%M:%S')
    note = f'{_user()}@{socket.gethostname()}, process {os.getpid()}, since {since}\n'
    try:
        file.truncate(0)
        file.write(note.encode())
    except OSError as error:
        with file:
            _remove(file, path)
        raise InputError(f'{path} cannot be written ({error.strerror}); make room') from error
    return file


def _remove(file: BinaryIO, path: Path) -> None:
    """Remove the lock file while it is locked: whoever has opened it finds out that it is gone."""
    with contextlib.suppress(OSError):
        if is_at(file.fileno(), path):
            path.unlink()


def _open_locked(path: Path, work_dir: Path) -> BinaryIO:
    try:
        # What is no plain file is not waited for.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        file = open(os.open(path, flags, 0o666), 'r+b', buffering=0)  # noqa: SIM115
    except OSError as error:
        raise InputError(
            f'{path} cannot be opened ({error.strerror}); remove it, or give another --work-dir'
        ) from error
    try:
        # Not flock, which a child would inherit and go on holding.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            holder = ascii(file.read(200).decode(errors='replace').strip())[1:-1] or 'somebody'
            file.close()
            raise InputError(
                f'work dir {work_dir} is in use by {holder}; wait for that run, or give '
                'another --work-dir'
            ) from error
        print_log(
            f'{work_dir} is on a file system without locks: nothing keeps a second run out',
            'current',
            logging.WARNING,
        )
    return file


def _lies_in(name: str | None, folder: str) -> bool:
    return isinstance(name, str) and Path(name).absolute().is_relative_to(Path(folder).absolute())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        return f'user {os.getuid()}'
