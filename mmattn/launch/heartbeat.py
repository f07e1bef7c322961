"""Each rank shows that it lives, so that one that is stopped or cut off is missed."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import cast

import torch.distributed as dist

from mmattn.compat import are_stored
from mmattn.launch.ask import ask

# Seconds.
_INTERVAL = 0.5
# Seconds that a rank has to end by itself when another one has told of an error.
_GRACE = 8
# Seconds.
_SILENT = 3
_LEFT = b'left'


class Heartbeat(threading.Thread):
    """A thread that counts in the store, and looks whether the others do.

    Rank 0 looks at all of them and they at rank 0. Time is counted in what this thread lives, so
    that ranks that were stopped together, as Slurm suspends a job, do not miss each other after it.

    Args:
        store: A connection of its own, since one question to a store waits for the one before.
        rank: Number of this process.
        world_size: Number of processes.
        patience: Seconds that the store or a rank may be silent.
        miss: What to do about ranks that are missed, or about the store, which is None. It is
            called in the thread.
    """

    def __init__(
        self,
        store: dist.Store,
        rank: int,
        world_size: int,
        patience: float,
        miss: Callable[[list[int] | None], None],
    ) -> None:
        super().__init__(daemon=True, name='heartbeat')
        self.patience = patience
        self.failed = False
        self._store, self._miss = store, miss
        self._key = f'beat/{rank}'
        self._others = list(range(1, world_size)) if rank == 0 else [0]
        self._count = 0
        self._last: dict[int, bytes] = {}
        # Intervals since something was heard of a rank, or of the store (None).
        self._silence: dict[int | None, int] = {None: 0}
        self._left = threading.Event()

    def leave(self) -> None:
        """Say that this rank ends, and is not to be missed."""
        self._left.set()
        if self.is_alive():
            self.join(4 * _INTERVAL)

    def is_silent(self, rank: int) -> bool:
        """Tell whether nothing has been heard of a rank for longer than it takes one to end."""
        return self._silence.get(rank, 0) * _INTERVAL > _SILENT

    def run(self) -> None:
        """Beat until this rank leaves, or one is missed."""
        question = ask(self._beat)
        since_failure = 0
        while not self._left.wait(_INTERVAL):
            self._silence = {who: count + 1 for who, count in self._silence.items()}
            if question.done():
                self._hear(question)
                question = ask(self._beat)
            since_failure += self.failed
            if since_failure * _INTERVAL > _GRACE:
                # Another rank has told; this one waits for what will not come.
                os._exit(1)
            missed = [who for who, n in self._silence.items() if n * _INTERVAL > self.patience]
            if missed:
                self._miss(None if None in missed else cast('list[int]', missed))
                return
        # A thread that comes back from the store while Python ends would bring it down.
        # The stub knows of text alone.
        left = ask(lambda: self._store.set(self._key, _LEFT))  # type: ignore[arg-type]
        wait([question, left], 2 * _INTERVAL)

    def _beat(self) -> tuple[bool, dict[int, bytes]]:
        self._count += 1
        self._store.set(self._key, str(self._count))
        failed = are_stored(self._store, ['failed'])
        keys = [f'beat/{rank}' for rank in self._others]
        # Some may not have joined yet, and to get what is not there would wait for it.
        beats = self._store.multi_get(keys) if keys and are_stored(self._store, keys) else []
        return failed, dict(zip(self._others, beats, strict=False))

    def _hear(self, question: Future) -> None:
        if question.exception() is not None:
            # The store ended with its rank; this one may be about to end, too.
            return
        self._silence[None] = 0
        self.failed, beats = question.result()
        for rank, beat in beats.items():
            if beat != self._last.get(rank) or beat == _LEFT:
                self._silence[rank] = 0
        self._last = beats
