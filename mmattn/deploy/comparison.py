"""How far two forms of a model agree."""

from collections.abc import Sequence

import numpy as np
import torch

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
        pixels, and of instances the largest share of pixels that are in one mask only.
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
    largest_of_pairs = dict(
        unmatched=counts - 2 * len(pairs),
        score=float(max(scores, default=0)),
        pixels=float(max(boxes, default=0)),
    )
    if task == 'instance':
        shares = [(expected['masks'][i] != found['masks'][j]).mean() for i, j in pairs]
        largest_of_pairs['other_pixels'] = float(max(shares, default=0))
    return largest_of_pairs


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
    from torchvision.ops import box_iou

    # A box without area is itself alone.
    same = (first[:, None] == second).all(-1)
    return np.where(same, 1.0, box_iou(torch.from_numpy(first), torch.from_numpy(second)))


def largest(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """Give the largest of the differences of several images."""
    return {key: max(each[key] for each in found) for key in found[0]}
