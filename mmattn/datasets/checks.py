"""Look at a user's copy of a data set before a run starts."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict

from mmattn.datasets.benchmarks import find_reader
from mmattn.datasets.layouts import Copy, check_label_maps
from mmattn.errors import InputError


def check_data(dataset: dict, name: str) -> None:
    """Check that the folders and files that a dataset config names are there.

    Data that a config reads over a network is not looked at.

    Args:
        dataset: Config of a dataset, or of a wrapper around one or several.
        name: Where it stands in the config, for the messages.

    Raises:
        InputError: If a folder or file is missing or empty, an image, a segmentation map or an
            annotation is missing, or it is another release than the one that is needed.
    """
    for where, cfg in datasets_in(dataset, name):
        if '://' not in str(cfg.get('data_root')):
            _check_dataset(cfg, where)


def check_evaluator(cfg: dict, mode: str) -> Iterator[str]:
    """Check that the annotation files that metrics read are there.

    Args:
        cfg: The whole config.
        mode: ``'val'`` or ``'test'``: whose evaluator.

    Yields:
        What deserves a warning: a file that is not that of the data set.

    Raises:
        InputError: If one is missing.
    """
    evaluator: Any = cfg.get(f'{mode}_evaluator')
    where = f'{mode}_evaluator'
    if isinstance(evaluator, dict) and 'metrics' in evaluator:
        evaluator, where = evaluator['metrics'], f'{where}.metrics'
    several = isinstance(evaluator, list | tuple)
    read = [
        Copy(dataset, place, '').ann_file
        for place, dataset in datasets_in(cfg[f'{mode}_dataloader'].dataset)
    ]
    for i, metric in enumerate(evaluator if several else [evaluator]):
        path = metric.get('ann_file') if isinstance(metric, dict) else None
        if not isinstance(path, str) or '://' in path:
            continue
        key = f'{where}{f".{i}" if several else ""}.ann_file'
        reads = f'{mode}_dataloader.dataset reads {" and ".join(map(str, read))}'
        if not Path(path).exists():
            raise InputError(
                f'{key} {path} does not exist; {reads}, and --data-root DIR moves both'
            )
        if len(read) == 1 and read[0] and not _is_copy(Path(path), read[0]):
            yield f'{key} {path} is another file than that of the data: {reads}'


def _is_copy(path: Path, other: Path) -> bool:
    """Tell whether two files may be the same; those of different kinds cannot be compared."""
    if path.suffix != other.suffix or not other.is_file():
        return True
    return path.stat().st_size == other.stat().st_size


def datasets_in(cfg: ConfigDict, where: str = 'dataset') -> Iterator[tuple[str, ConfigDict]]:
    """Walk through wrappers such as RepeatDataset, and give each dataset after its place."""
    if 'dataset' in cfg:
        yield from datasets_in(cfg['dataset'], f'{where}.dataset')
    elif 'datasets' in cfg:
        for i, inner in enumerate(cfg['datasets']):
            yield from datasets_in(inner, f'{where}.datasets.{i}')
    else:
        yield where, cfg


def _check_dataset(cfg: dict, where: str) -> None:
    hint = 'set it to your copy'
    check: Callable[[Copy], None] = check_label_maps
    if found := find_reader(cfg):
        benchmark, reader = found
        hint = (
            f'expected {reader.expected}, or try things out on generated data: '
            f'python tools/make_tiny_dataset.py {benchmark.name} --out DIR'
        )
        check = reader.check
    root = cfg.get('data_root')
    if root is not None and not Path(root).is_dir():
        raise InputError(f'{where}.data_root {root} is not a folder; {hint}')
    check(Copy(cfg, where, hint))
