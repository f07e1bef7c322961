"""One rank tells of a failure; the others end without a word."""

import os
import signal
import sys
import time
import traceback

import torch.distributed as dist

from mmattn.engine import distributed
from mmattn.engine.agreement import name_ranks

# Seconds that the ranks have to notice that one of them failed.
_ROLL_CALL = 3


def tell(message: str) -> None:
    """Print the one line of an error, unless another rank has told of one."""
    group = distributed.group()
    if group is None:
        print(f'error: {_who()}{message}', file=sys.stderr)
    elif _is_first(group):
        print(f'error: rank {group.rank}: {message}', file=sys.stderr, flush=True)
    _end_together(group)


def tell_of_exception(error: Exception) -> None:
    """Print a fault of the program with its traceback, or the loss of another rank in one line.

    It is for a rank of a group, and silent when another rank has told of an error.
    """
    group = distributed.group()
    if _is_first(group):
        message = f'{type(error).__name__}: {str(error).strip() or "no message"}'.splitlines()[0]
        if _is_of_a_collective(error):
            message = f'{_who_is_lost(group)} ({message})'
        else:
            traceback.print_exception(error)
        print(f'error: rank {group.rank}: {message}', file=sys.stderr, flush=True)
    _end_together(group)


def _who() -> str:
    """Name this rank before it has joined a group."""
    rank = os.environ.get('RANK')
    return f'rank {rank}: ' if rank is not None else ''


def _is_first(group: distributed.Group) -> bool:
    # torchrun ends the ranks that are left as soon as it sees that one has gone.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        group.store.set(f'ended/{group.rank}', '')
        return group.store.compare_set('failed', '', str(group.rank)) == str(group.rank).encode()
    except RuntimeError:
        # The store went with its rank.
        return True


def _is_of_a_collective(error: Exception) -> bool:
    # What gloo raises has no class of its own.
    return isinstance(error, dist.DistError) or 'gloo' in str(error)


def _who_is_lost(group: distributed.Group) -> str:
    lost = _wait_for_the_others(group)
    if lost is None:
        return 'rank 0 is lost, and with it the list of the others; look at its output'
    if not lost:
        return 'a collective failed on all ranks'
    return (
        f'{name_ranks(lost)} of {group.world_size} was killed, or hangs; look at the output there'
    )


def _end_together(group: distributed.Group | None) -> None:
    """Keep the store until the others have read it."""
    if group is not None and group.holds_store:
        # Those who wait for this rank in a collective notice.
        distributed.leave()
        _wait_for_the_others(group)


def _wait_for_the_others(group: distributed.Group) -> list[int] | None:
    """Give the ranks that do not end, or None if the store does not answer."""
    deadline = time.monotonic() + _ROLL_CALL
    missing = list(range(group.world_size))
    try:
        while missing := [i for i in missing if not group.store.check([f'ended/{i}'])]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
    except RuntimeError:
        return None
    return missing
