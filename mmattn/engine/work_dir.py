"""One run at a time has a work dir."""

import contextlib
import errno
import fcntl
import getpass
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.logging import print_log

from mmattn.errors import InputError

# What file systems without locks say, some of those that clusters share.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def locked(work_dir: str) -> Iterator[None]:
    """Keep other runs out of a work dir, from any host that shares it.

    The kernel holds the lock for this process, not for its children, and lets go of it when the
    process ends in whatever way: there are no stale ones. The file ``.lock`` says whose it is.

    Args:
        work_dir: The folder. Only the main process of a distributed run locks it.

    Raises:
        InputError: If another run has it; it says which one.
    """
    if not is_main_process():
        yield
        return
    path = Path(work_dir, '.lock')
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise InputError(
            f'{path} cannot be opened ({error.strerror}); remove it, or give another --work-dir'
        ) from error
    with open(descriptor, 'r+') as file:
        try:
            # Not flock, which a child would inherit and go on holding.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                holder = ascii(file.read(200).strip())[1:-1] or 'somebody'
                raise InputError(
                    f'work dir {work_dir} is in use by {holder}; wait for that run, or give '
                    'another --work-dir'
                ) from error
            print_log(
                f'{work_dir} is on a file system without locks: nothing keeps a second run out',
                'current',
                logging.WARNING,
            )
        since = time.strftime('%Y-%m-%d %H:%M:%S')
        file.truncate()
        file.write(f'{_user()}@{socket.gethostname()}, process {os.getpid()}, since {since}\n')
        file.flush()
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        return f'user {os.getuid()}'
