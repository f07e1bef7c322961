"""Processes that take turns, on any host that shares the folder."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from mmattn.errors import InputError

# What file systems without locks say, some of those that clusters share.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def in_turn(path: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Let one process at a time into the body; the others wait for it.

    The kernel holds the lock and lets go of it when the process ends in whatever way, so that none
    is left of a killed one. Where a file system has no locks, nobody waits.

    Args:
        path: File that is locked; it is made, and gone after the body.
        wait: Called once before this process waits for another one.

    Raises:
        InputError: If the file cannot be made.
    """
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except OSError as error:
            raise InputError(
                f'{path.parent} cannot be written ({error.strerror}); look at its rights'
            ) from error
        with os.fdopen(file) as held:
            _lock(held.fileno(), wait)
            # The one before removes it while others wait for it.
            if not is_at(held.fileno(), path):
                continue
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    path.unlink()
            return


def _lock(file: int, wait: Callable[[], None]) -> None:
    try:
        # Not flock, which a child would inherit and go on holding.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return
        wait()
        fcntl.lockf(file, fcntl.LOCK_EX)


def is_at(file: int, path: Path) -> bool:
    """Tell whether an open file is still the one of its name."""
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except OSError:
        return False
