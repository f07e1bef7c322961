"""What a training has written down: curves, metrics, the best checkpoint."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmattn.errors import InputError

# Bytes, of some lines at least.
_TAIL = 16384


def read_scalars(work_dir: Path) -> list[tuple[str, int, float]]:
    """Read all that a training has logged, over all its starts.

    A training that goes on repeats the iterations since its last checkpoint; the later ones count.

    Args:
        work_dir: Folder of the training.

    Returns:
        Name, step and value, by name and step.
    """
    found: dict[tuple[str, int], float] = {}
    # Their folders are named after the time.
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for entry in _entries(path.read_text()):
            step = entry.get('step')
            for name, value in entry.items():
                if name != 'step' and type(step) is int and type(value) in (int, float):
                    found[name, step] = float(value)
    return [(name, step, value) for (name, step), value in sorted(found.items())]


def last_iteration(work_dir: Path) -> int:
    """Give how far a training has come, in the steps of its log; 0 if it has logged none."""
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    if not logs:
        return 0
    with logs[-1].open('rb') as file:
        # It is asked for every moment, and a log has many thousands of lines.
        file.seek(max(0, logs[-1].stat().st_size - _TAIL))
        tail = file.read().decode(errors='replace')
    return max((entry.get('iter', 0) for entry in _entries(tail)), default=0)


def _entries(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue  # the last line of a killed process
        if isinstance(entry, dict):
            yield entry


def noted(work_dir: Path) -> int:
    """Tell when a training has last noted a checkpoint, in nanoseconds; 0 if never."""
    record = work_dir / 'last_checkpoint'
    return record.stat().st_mtime_ns if record.is_file() else 0


def was_interrupted(work_dir: Path, since: int) -> bool:
    """Tell whether a training has ended by saving itself before its end.

    Args:
        work_dir: Its folder.
        since: What :func:`noted` gave when it began: one that was saved after its last iteration
            finds nothing left to train at its next start, and writes no checkpoint any more.
    """
    record = work_dir / 'last_checkpoint'
    return noted(work_dir) > since and record.read_text().strip().endswith('preempted.pth')


def best_checkpoint(work_dir: Path) -> Path:
    """Find the checkpoint that the validation chose.

    Raises:
        InputError: If there is none.
    """
    found = sorted(work_dir.glob('best_*.pth'), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError(
            f'no best checkpoint in {work_dir}: no validation gave a number; look at val_interval '
            'and the metric'
        )
    return found[-1]


def best_validation(work_dir: Path, metric: str, checkpoint: Path) -> dict[str, float]:
    """Give the metrics of the validation that chose the checkpoint.

    Args:
        work_dir: Folder of the training.
        metric: Name of the metric that counts.
        checkpoint: The best one, whose name ends in its iteration or epoch.

    Raises:
        InputError: If the log does not have it.
    """
    number = checkpoint.stem.rpartition('_')[2]
    found: dict[str, Any] = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for entry in _entries(path.read_text()):
            if metric in entry and str(entry.get('step')) == number:
                found = entry
    if not found:
        raise InputError(f'the log in {work_dir} has no {metric} of the validation at {number}')
    return _numbers(found)


def read_test(work_dir: Path) -> dict[str, float]:
    """Read the metrics that the last test has given.

    Raises:
        InputError: If there are none.
    """
    for folder in sorted(work_dir.glob('*/'), reverse=True):
        path = folder / f'{folder.name}.json'
        if path.is_file():
            return _numbers(json.loads(path.read_text()))
    raise InputError(f'{work_dir} has no metrics of a test; look at test_evaluator')


def _numbers(entry: dict[str, Any]) -> dict[str, float]:
    """Give the metrics of a validation or a test; how long it took is none, nor is a weight."""
    return {
        name: float(value)
        for name, value in entry.items()
        if type(value) in (int, float)
        and name not in ('step', 'time', 'data_time')
        and not name.startswith('blend/')
    }
