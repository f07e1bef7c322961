"""One rank tells of a failure; the others end without a word."""

import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import TimeoutError

import torch.distributed as dist

from mmattn.compat import DIST_ERRORS, are_stored, is_first, is_of_a_collective
from mmattn.launch.agreement import name_ranks
from mmattn.launch.ask import ask
from mmattn.launch.group import Group, group
from mmattn.launch.store import connect

# Seconds that the ranks have to notice that one of them failed.
_ROLL_CALL = 3
# Seconds after which a rank that has failed is gone, whatever still waits in it.
_END = 12

# Who tells in this process: the main thread of an exception, or the heartbeat of a loss.
_telling = threading.RLock()
_nowhere = None


def tell(message: str) -> None:
    """Print the one line of an error, unless another rank has told of one."""
    ours = group()
    if ours is None:
        if _is_first_to_fail():
            print(f'error: {_who()}{message}', file=sys.stderr, flush=True)
        return
    if _is_first(ours):
        _print(ours, message)
    _end_together(ours)


def tell_of_exception(error: Exception) -> None:
    """Print a fault of the program with its traceback, or the loss of another rank in one line.

    It is for a rank of a group, and silent when another rank has told of an error.
    """
    ours = group()
    assert ours is not None
    if _is_first(ours):
        message = f'{type(error).__name__}: {str(error).strip() or "no message"}'.splitlines()[0]
        if is_of_a_collective(error):
            lost = _wait_for_the_others(ours)
            what = 'a collective failed on all ranks' if lost == [] else _describe_loss(ours, lost)
            message = f'{what} ({message})'
        else:
            traceback.print_exception(error)
        _print(ours, message)
    _end_together(ours)


def tell_of_loss(ranks: list[int] | None) -> None:
    """Print which ranks have no heartbeat any more, and end this process.

    It is for the thread of the heartbeat: the main thread may wait for what will not come.

    Args:
        ranks: The ranks, or None if the store does not answer.
    """
    ours = group()
    assert ours is not None
    if not _telling.acquire(blocking=False):
        return
    if _is_elected(ours):
        silence = f'{ours.heartbeat.patience:g} s without a sign of life'
        _print(ours, f'{_describe_loss(ours, ranks)} ({silence})')
    if ours.server is not None:
        _wait_for_the_others(ours)
    os._exit(1)


def _is_first_to_fail() -> bool:
    """Elect who tells before the ranks have joined, if torchrun has a store by then."""
    if os.environ.get('TORCHELASTIC_USE_AGENT_STORE') != 'True':
        return True
    host, port, me = (os.environ.get(name, '') for name in ('MASTER_ADDR', 'MASTER_PORT', 'RANK'))

    def elect() -> bool:
        return _elect(connect(host, int(port), _ROLL_CALL), me)

    try:
        return ask(elect).result(_ROLL_CALL)
    except (*DIST_ERRORS, RuntimeError, ValueError, TimeoutError):
        return True


def _elect(store: dist.Store, me: str) -> bool:
    store.set(f'ended/{me}', '')
    return is_first(store, 'failed', me)


def _who() -> str:
    """Name this rank before it has joined a group."""
    rank = os.environ.get('RANK')
    return f'rank {rank}: ' if rank is not None else ''


def _print(ours: Group, message: str) -> None:
    print(f'error: rank {ours.rank}: {message}', file=sys.stderr, flush=True)


def _is_first(ours: Group) -> bool:
    global _nowhere
    # The heartbeat that tells ends the process.
    _telling.acquire()
    # torchrun ends the ranks that are left as soon as it sees that one has gone.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # It needs no interpreter, and so ends one that cannot end.
    _nowhere = open(os.devnull, 'w')  # noqa: SIM115
    faulthandler.dump_traceback_later(_END, exit=True, file=_nowhere)
    return _is_elected(ours)


def _is_elected(ours: Group) -> bool:
    try:
        return ask(lambda: _elect(ours.store, str(ours.rank))).result(_ROLL_CALL)
    except (*DIST_ERRORS, RuntimeError, TimeoutError):
        # The store is gone with rank 0, or stopped, or cut off with this host.
        return not ours.heartbeat.failed and ours.rank == _first_left_here(ours)


def _first_left_here(ours: Group) -> int:
    """Give the first rank on this host, of those that can live without the store."""
    if not ours.ranks:
        return ours.rank
    here = [i for i, r in enumerate(ours.ranks) if r['host'] == ours.ranks[ours.rank]['host']]
    return min((i for i in here if i > 0), default=ours.rank)


def _describe_loss(ours: Group, ranks: list[int] | None) -> str:
    # The store is where rank 0 is.
    silent, ranks = ranks is None, ranks or [0]
    where = ''
    if ours.ranks:
        where = f' (on {", ".join(sorted({ours.ranks[i]["host"] for i in ranks}))})'
    if silent and os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True':
        where += ', or the torchrun that started it,'
    return (
        f'{name_ranks(ranks)} of {ours.world_size}{where} was killed, stopped or cut off, or '
        'hangs; look at the output there'
    )


def _end_together(ours: Group) -> None:
    """Keep the store until the others have read it."""
    if ours.server is not None:
        # Those who wait for this rank in a collective notice.
        if dist.is_initialized():
            dist.destroy_process_group()
        _wait_for_the_others(ours)
    ours.heartbeat.leave()


def _wait_for_the_others(ours: Group) -> list[int] | None:
    """Give the ranks that do not end, or None if the store does not answer."""
    deadline = time.monotonic() + _ROLL_CALL
    missing = list(range(ours.world_size))

    def call() -> None:
        nonlocal missing
        while missing := [i for i in missing if not are_stored(ours.store, [f'ended/{i}'])]:
            if time.monotonic() > deadline or all(map(ours.heartbeat.is_silent, missing)):
                break
            time.sleep(0.05)

    try:
        ask(call).result(_ROLL_CALL + 1)
    except (*DIST_ERRORS, RuntimeError, TimeoutError):
        return None
    return missing
