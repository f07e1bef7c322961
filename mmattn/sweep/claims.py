"""Which process a run belongs to, as the kernel knows it: there are no stale claims."""

import contextlib
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

from mmattn.errors import InputError
from mmattn.files.lock import NO_LOCKS, is_at


class Worker:
    """A process of a sweep, which others see to be alive by the lock that it holds.

    The lock belongs to the open file, so that a training that was started by this process holds it
    as well: one that outlives a killed sweep still counts. It ends with the last of them, in
    whatever way, on any host that shares the folder.

    Args:
        name: Name of its file in the folder ``workers``.
        file: The file, locked, which trainings inherit.
    """

    def __init__(self, name: str, file: int) -> None:
        self.name = name
        self.file = file


@contextlib.contextmanager
def working(folder: Path) -> Iterator[Worker]:
    """Make this process a worker, until the end of the body.

    Args:
        folder: Where workers have their files.

    Raises:
        InputError: If the file system has no locks, or the folder cannot be written.
    """
    name = f'{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}'
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise InputError(
                f'{folder} is on a file system without locks, so that two processes could train '
                'one run; give an --out elsewhere'
            ) from error
        raise InputError(
            f'{folder} cannot be written ({error.strerror}); give another --out'
        ) from error
    try:
        yield Worker(name, file)
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(file)


def is_alive(folder: Path, name: str) -> bool:
    """Tell whether a worker, or a training that it started, is still there.

    Args:
        folder: Where workers have their files.
        name: Its name.
    """
    path = folder / name
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Nobody will ask for it again.
        if is_at(file, path):
            path.unlink()
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(file)
