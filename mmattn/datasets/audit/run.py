"""Carry out an inspection on several processes."""

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from mmengine.utils import ProgressBar
from PIL import Image

from mmattn.datasets.audit.faults import Fault
from mmattn.datasets.benchmarks import BENCHMARKS
from mmattn.datasets.names import visible
from mmattn.errors import InputError

AUDITED = {name: entry.plan for name, entry in BENCHMARKS.items() if entry.plan}
_CHUNK = 16
_SHOWN = 5


@dataclass
class Report:
    """Result of an inspection.

    Args:
        images: How many images were looked at.
        faults: All faults.
        notes: What was left out, and why.
    """

    images: int
    faults: list[Fault]
    notes: list[str]

    def __str__(self) -> str:
        """List the first faults of each kind, a line each, and the sums."""
        kinds: dict[str, list[str]] = {}
        for kind, place in self.faults:
            kinds.setdefault(kind, []).append(place)
        lines = [f'note: {visible(note)}' for note in self.notes]
        for kind, places in sorted(kinds.items()):
            lines.append(f'{kind}: {len(places)}')
            lines += [f'  {visible(place)}' for place in places[:_SHOWN]]
            if len(places) > _SHOWN:
                lines.append(f'  and {len(places) - _SHOWN} more')
        lines.append(f'checked {self.images} images: {len(self.faults)} faults')
        return '\n'.join(lines)


def inspect_dataset(kind: str, root: str | Path, *, workers: int | None = None) -> Report:
    """Read every image of a data set and what belongs to it, with a progress bar on stderr.

    Args:
        kind: One of `AUDITED`.
        root: Folder of the data set; it may hold some splits only.
        workers: Number of processes; by default one per CPU.

    Raises:
        InputError: If ``root`` is no such data set, ``workers`` is below 1, or a process is
            killed.
    """
    root = Path(root).expanduser()
    if workers is not None and workers < 1:
        raise InputError(f'workers must be at least 1, got {workers}')
    if not os.path.isdir(root):
        raise InputError(f'{visible(root)} is not a folder; give the folder of a data set')
    plan = AUDITED[kind](root)
    if not plan.tasks and not plan.faults:
        left_out = f' ({visible(plan.notes[0])})' if plan.notes else ''
        raise InputError(f'{root} holds no image of {kind}{left_out}; give the folder of a copy')

    faults = plan.faults
    if plan.tasks:
        with ProcessPoolExecutor(workers or os.cpu_count(), initializer=_start_process) as pool:
            try:
                results = _map_uninterrupted(pool, plan.tasks)
                bar = ProgressBar(len(plan.tasks), file=sys.stderr)
                for found in results:
                    faults += found
                    bar.update()
            except BrokenProcessPool as error:
                raise InputError(
                    'a process ended abruptly, perhaps for lack of memory; try fewer workers'
                ) from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        print(file=sys.stderr)
    return Report(len(plan.tasks), faults, plan.notes)


def _map_uninterrupted(
    pool: ProcessPoolExecutor, tasks: list[Callable[[], list[Fault]]]
) -> Iterator[list[Fault]]:
    """Start the processes, which Ctrl-C must not reach, and hold it back here until they run.

    It reaches all processes of a terminal, and one message is enough.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.map(_carry_out, tasks, chunksize=_CHUNK)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _start_process() -> None:
    # An image that is too large is a fault, which needs no warning besides.
    warnings.simplefilter('ignore', Image.DecompressionBombWarning)


def _carry_out(task: Callable[[], list[Fault]]) -> list[Fault]:
    return task()
