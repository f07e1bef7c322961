"""The store in which the ranks of a run leave notes for each other."""

import datetime
import os

import torch.distributed as dist

from mmattn.launch.ask import ask

# Seconds that a store which is stopped, and so keeps no limit of its own, is given beyond it.
_MARGIN = 10


def connect(host: str, port: int, timeout: float) -> dist.Store:
    """Connect with the store.

    Args:
        host: Where it is.
        port: Where it listens there.
        timeout: Seconds that it has for an answer.

    Returns:
        The part of it that belongs to this start of this job.

    Raises:
        DistError: If there is none; one of :data:`mmattn.compat.DIST_ERRORS`.
        TimeoutError: If it does not answer.
    """
    limit = datetime.timedelta(seconds=timeout)
    connection = ask(
        lambda: dist.TCPStore(host, port, is_master=False, timeout=limit, wait_for_workers=False)
    )
    # A store that is stopped takes the connection, and nothing comes of it.
    store = connection.result(timeout + _MARGIN)
    # A store may serve several starts, and a port may by mistake be that of another job.
    job = os.environ.get('TORCHELASTIC_RUN_ID', os.environ.get('SLURM_JOB_ID', ''))
    attempt = os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')
    return dist.PrefixStore(f'mmattn/{job}/{attempt}', store)
