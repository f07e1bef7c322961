"""How far two forms of a model agree, and which of them is faster."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]

# Two boxes of one class are one object from here on.
_OVERLAP = 0.5


def differences(task: str, expected: Arrays, found: Arrays) -> dict[str, float]:
    """Say how far two results of one image are from each other.

    Args:
        task: The task.
        expected: What the model gives, as :class:`mmattn.prediction.result.Result` has it.
        found: What its other form gives.

    Returns:
        Of a segmentation the share of pixels of another class; of a classification the largest
        difference of scores; of detections how many have no partner of their class that overlaps
        with them by half, and of the others the largest differences of scores and of sides in
        pixels.
    """
    if task == 'segmentation':
        return dict(other_pixels=float((expected['masks'] != found['masks']).mean()))
    if task == 'classification':
        scores = [each['scores'][np.argsort(each['labels'])] for each in (expected, found)]
        return dict(score=float(abs(scores[0] - scores[1]).max()))
    pairs = list(_pairs(expected, found))
    counts = len(expected['labels']) + len(found['labels'])
    boxes = [abs(expected['boxes'][i] - found['boxes'][j]).max() for i, j in pairs]
    scores = [abs(expected['scores'][i] - found['scores'][j]) for i, j in pairs]
    return dict(
        unmatched=counts - 2 * len(pairs),
        score=float(max(scores, default=0)),
        pixels=float(max(boxes, default=0)),
    )


def _pairs(expected: Arrays, found: Arrays) -> Sequence[tuple[int, int]]:
    """Pair detections of one class that overlap most, each with one at most."""
    overlaps = _overlaps(expected['boxes'], found['boxes'])
    overlaps[expected['labels'][:, None] != found['labels']] = 0
    pairs = []
    while overlaps.size and overlaps.max() >= _OVERLAP:
        i, j = np.unravel_index(overlaps.argmax(), overlaps.shape)
        pairs.append((int(i), int(j)))
        overlaps[i], overlaps[:, j] = 0, 0
    return pairs


def _overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Give intersection over union of each of N with each of M boxes, (N, M)."""
    sides = np.minimum(first[:, None, 2:], second[:, 2:]) - np.maximum(
        first[:, None, :2], second[:, :2]
    )
    common = sides.clip(0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1] - common
    # A box without area is itself alone.
    same = (first[:, None] == second).all(-1)
    return np.where(same, 1.0, common / np.maximum(union, 1e-9))


def largest(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """Give the largest of the differences of several images."""
    return {key: max(each[key] for each in found) for key in found[0]}


def times_in_turn(
    forms: Mapping[str, Callable[[], Any]], rounds: int, warm_up: int = 1
) -> dict[str, dict[str, float]]:
    """Measure how long each of several forms takes, one after the other in every round.

    What else the machine does then slows all of them alike.

    Args:
        forms: What is measured, by its name; the first one is that which the others are compared
            with.
        rounds: How often.
        warm_up: Rounds ahead of those that are measured.

    Returns:
        For each the median in seconds of wall time, and of the time of all processors; and what
        parts these are of those of the first one.
    """
    walls: dict[str, list[float]] = {name: [] for name in forms}
    processors: dict[str, list[float]] = {name: [] for name in forms}
    for i in range(warm_up + rounds):
        for name, run in forms.items():
            wall, processor = time.perf_counter(), time.process_time()
            run()
            if i >= warm_up:
                processors[name].append(time.process_time() - processor)
                walls[name].append(time.perf_counter() - wall)
    medians = {
        name: dict(wall=statistics.median(walls[name]), cpu=statistics.median(processors[name]))
        for name in forms
    }
    first = next(iter(medians.values()))
    return {
        name: dict(
            each, wall_ratio=each['wall'] / first['wall'], cpu_ratio=each['cpu'] / first['cpu']
        )
        for name, each in medians.items()
    }
