"""The schedule of a benchmark, in proportion to other data."""

import math
from typing import Any

import numpy as np
from mmengine.config import Config

# With fewer iterations nothing is learnt, however few the images are.
FEWEST_ITERATIONS = 1000
VALIDATIONS = 10  # Of a training by iterations.
# Of a training that is warmed up, at most.
_WARMUP = 0.1
# Batches of an epoch, at least, before a batch is made smaller.
_BATCHES = 8
# Images to train on, by the classes that read them.
_BENCHMARKS = {
    'ADE20KDataset': 20210,
    'CityscapesDataset': 2975,
    'PascalVOCDataset': 10582,
    'CocoDataset': 117266,
}
# Options of schedulers that count epochs or iterations.
_TIMES = ('begin', 'end', 'T_max', 'milestones')


def fit_batch(usual: int, images: int) -> int:
    """Give the images of a batch: as usual, or fewer so that an epoch has some batches."""
    return min(usual, max(2, 2 ** int(math.log2(max(images / _BATCHES, 1)))))


def fit_length(cfg: Config, dataset: str, images: int, batch: int) -> tuple[str, int, int]:
    """Give a length of training that is in proportion to the data, on one GPU.

    A training by iterations sees each image as often as on the benchmark, one by epochs has as
    many epochs; both have :data:`FEWEST_ITERATIONS` iterations or more.

    Args:
        cfg: The shipped config.
        dataset: Class that reads its data.
        images: Images to train on.
        batch: Images of a batch.

    Returns:
        'max_iters' or 'max_epochs', the number of the shipped config, and the new one.
    """
    if 'max_iters' not in cfg.train_cfg:
        old = cfg.train_cfg.max_epochs
        return 'max_epochs', old, max(old, math.ceil(FEWEST_ITERATIONS / math.ceil(images / batch)))
    old = cfg.train_cfg.max_iters
    total_batch = cfg.get('auto_scale_lr', {}).get('base_batch_size') or batch
    seen = old * total_batch / _BENCHMARKS.get(dataset, images)
    wanted = min(old, max(FEWEST_ITERATIONS, seen * images / batch))
    return 'max_iters', old, round(wanted / VALIDATIONS / 10) * 10 * VALIDATIONS


def fit_schedulers(schedulers: Any, old: int, new: int, iterations: int) -> list[dict]:
    """Fit schedulers to a training of another length.

    What comes at a part of the training comes at the same part; a warmup that counts iterations
    keeps its length, up to a tenth of the training.

    Args:
        schedulers: Configs of them, or the only one.
        old: What ``max_iters`` or ``max_epochs`` was.
        new: What it is to be.
        iterations: Iterations of the new training.
    """
    schedulers = [dict(s) for s in (schedulers if isinstance(schedulers, list) else [schedulers])]
    by_iterations = new == iterations and not any(s.get('by_epoch', True) for s in schedulers)
    warmups = [s.get('end', old) for s in schedulers if not s.get('by_epoch', True)]
    warmup = warmups[0] if warmups and warmups[0] != old else 0
    for scheduler in schedulers:
        moves = [(0, 0)]
        if warmup and not scheduler.get('by_epoch', True):
            moves.append((warmup, min(warmup, max(1, int(_WARMUP * iterations)))))
        if by_iterations or scheduler.get('by_epoch', True):
            moves.append((old, new))
        for key in _TIMES:
            if key in scheduler:
                before, after = zip(*moves, strict=True)
                times = np.interp(scheduler[key], before, after)
                scheduler[key] = np.round(times).astype(int).tolist()
    return schedulers
