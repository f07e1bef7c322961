"""Carry out an inspection on several processes."""

import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from mmattn.datasets.audit.faults import Fault, Plan
from mmattn.datasets.audit.progress import start_progress
from mmattn.datasets.benchmarks import BENCHMARKS
from mmattn.datasets.names import visible
from mmattn.errors import InputError

AUDITED = {name: entry.plan for name, entry in BENCHMARKS.items()}
_CHUNK = 16
_SHOWN = 5
# What a process of an inspection has to do.
_tasks: list[Callable[[], list[Fault]]] = []


@dataclass
class Report:
    """Result of an inspection.

    Args:
        images: How many images were looked at.
        faults: All faults, with which a training ends or learns nonsense.
        notes: What was looked at, or left out and why.
        warnings: What a training reads nevertheless, or leaves out.
    """

    images: int
    faults: list[Fault]
    notes: list[str]
    warnings: list[Fault] = field(default_factory=list)

    def __str__(self) -> str:
        """List the first faults of each kind, a line each, and the sums."""
        lines = [f'note: {visible(note)}' for note in self.notes]
        lines += [*_list(self.warnings, 'warning: '), *_list(self.faults, '')]
        sums = _count(len(self.faults), 'fault')
        if self.warnings:
            sums += f', {_count(len(self.warnings), "warning")}'
        lines.append(f'checked {_count(self.images, "image")}: {sums}')
        return '\n'.join(lines)


def _list(faults: list[Fault], prefix: str) -> Iterator[str]:
    kinds: dict[str, list[str]] = {}
    for fault in faults:
        kinds.setdefault(fault.kind, []).append(fault.place)
    for kind, places in sorted(kinds.items()):
        yield f'{prefix}{kind}: {len(places)}'
        yield from (f'  {visible(place)}' for place in places[:_SHOWN])
        if len(places) > _SHOWN:
            yield f'  and {len(places) - _SHOWN} more'


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}' if number == 1 else f'{number} {noun}s'


def inspect_dataset(kind: str, root: str | Path, *, workers: int | None = None) -> Report:
    """Read every image of a data set and what belongs to it.

    Args:
        kind: One of `AUDITED`.
        root: Folder of the data set; it may hold some splits only.
        workers: Number of processes; by default one per CPU.

    Raises:
        InputError: If ``root`` is no such data set, ``workers`` is below 1, or a process is
            killed.
    """
    root = Path(root).expanduser()
    if not os.path.isdir(root):
        raise InputError(f'{visible(root)} is not a folder; give the folder of a data set')
    plan = AUDITED[kind](root)
    if not plan.tasks and not plan.faults:
        left_out = f' ({visible(plan.notes[0])})' if plan.notes else ''
        raise InputError(f'{root} holds no image of {kind}{left_out}; give the folder of a copy')
    return carry_out(plan, workers=workers)


def carry_out(plan: Plan, *, workers: int | None = None) -> Report:
    """Do what is planned on several processes, with the progress on stderr.

    Args:
        plan: What there is to look at.
        workers: Number of processes; by default one per CPU.

    Raises:
        InputError: If ``workers`` is below 1, or a process is killed.
    """
    if workers is not None and workers < 1:
        raise InputError(f'workers must be at least 1, got {workers}')
    faults = list(plan.faults)
    if plan.tasks:
        # A fork has the tasks, and the data sets in them, without a copy.
        with ProcessPoolExecutor(
            workers or os.cpu_count(),
            mp_context=multiprocessing.get_context('fork'),
            initializer=_start_process,
            initargs=(plan.tasks,),
        ) as pool:
            try:
                results = _map_uninterrupted(pool, len(plan.tasks))
                progress = start_progress(len(plan.tasks))
                for found in results:
                    faults += found
                    progress()
            except BrokenProcessPool as error:
                raise InputError(
                    'a process ended abruptly, perhaps for lack of memory; try fewer workers'
                ) from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    serious = [fault for fault in faults if not fault.is_warning]
    others = [fault for fault in faults if fault.is_warning]
    return Report(len(plan.tasks), serious, plan.notes, others)


def _map_uninterrupted(pool: ProcessPoolExecutor, tasks: int) -> Iterator[list[Fault]]:
    """Start the processes, which Ctrl-C must not reach, and hold it back here until they run.

    It reaches all processes of a terminal, and one message is enough.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.map(_carry_out, range(tasks), chunksize=_CHUNK)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _start_process(tasks: list[Callable[[], list[Fault]]]) -> None:
    _tasks[:] = tasks
    # An image that is too large is a fault, which needs no warning besides.
    warnings.simplefilter('ignore', Image.DecompressionBombWarning)


def _carry_out(number: int) -> list[Fault]:
    return _tasks[number]()
