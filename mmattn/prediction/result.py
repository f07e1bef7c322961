"""What a model makes of one picture, as arrays."""

import dataclasses
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from mmattn.datasets.names import visible
from mmattn.errors import InputError
from mmattn.prediction.drawing import SEGMENT, Painter


@dataclasses.dataclass(frozen=True)
class Result:
    """What a model makes of one picture of height H and width W, with C classes.

    ===================  ====================  ==================  ============  ==================
    task                 ``masks``             ``boxes``           ``labels``    ``scores``
    ===================  ====================  ==================  ============  ==================
    ``segmentation``     (H, W) int64          --                  (K,) int64    --
    ``detection``        --                    (N, 4) float32      (N,) int64    (N,) float32
    ``instance``         (N, H, W) bool        (N, 4) float32      (N,) int64    (N,) float32
    ``panoptic``         (N, H, W) bool        --                  (N,) int64    --
    ``classification``   --                    --                  (C,) int64    (C,) float32
    ===================  ====================  ==================  ============  ==================

    The masks of ``segmentation`` are one map: the class of each pixel, -1 where there is none; its
    labels are those that occur, the one of most pixels first. Boxes are x and y of the upper left
    corner, then of the lower right one, in pixels. Detections and instances come by falling scores,
    panoptic segments by falling areas, classes of a classification by falling scores. What a task
    lacks is an ``AttributeError``, so that ``hasattr`` tells.

    Args:
        image: The picture (H, W, 3), uint8, RGB.
        arrays: The arrays by their names.
        painter: Who draws it.
    """

    image: np.ndarray
    arrays: dict[str, np.ndarray]
    painter: Painter

    @property
    def task(self) -> str:
        """The task."""
        return self.painter.task

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.painter.classes

    @property
    def names(self) -> list[str]:
        """The names of ``labels``."""
        return [self.classes[label] for label in self.labels]

    def __getattr__(self, name: str) -> np.ndarray:
        # While a copy is made there are no arrays yet.
        arrays = self.__dict__.get('arrays', {})
        if name in arrays:
            return arrays[name]
        if name in ('masks', 'boxes', 'labels', 'scores') and arrays:
            raise AttributeError(
                f'a result of {self.task} has no {name}; it has {" and ".join(arrays)}'
            )
        raise AttributeError(f'{type(self).__name__!r} object has no attribute {name!r}')

    def only(
        self, classes: Sequence[str] | None = None, score_threshold: float | None = None
    ) -> 'Result':
        """Leave out what is of other classes, or is not sure enough.

        Args:
            classes: Names of the classes to keep; None for all. Pixels of others have none then.
            score_threshold: Least score of a detection or an instance; None for any.

        Returns:
            Another result.

        Raises:
            InputError: If there is no class of a name, or the task has no such scores.
        """
        arrays = dict(self.arrays)
        if score_threshold is not None:
            check_scores(self.task)
            arrays = _chosen(self.task, arrays, arrays['scores'] >= score_threshold)
        if classes is not None:
            labels = labels_of(classes, self.classes)
            arrays = _chosen(self.task, arrays, np.isin(arrays['labels'], labels))
            if self.task == 'segmentation':
                masks = self.arrays['masks']
                arrays['masks'] = np.where(np.isin(masks, labels), masks, -1)
        return dataclasses.replace(self, arrays=arrays)

    def draw(self, legend: bool = True) -> np.ndarray:
        """Draw the result over its picture.

        Args:
            legend: Whether to name beside it what is on it.

        Returns:
            A picture, uint8, RGB: (H, W, 3) without a legend, and wider with one.
        """
        return self.painter.paint(self.image, self.arrays, legend)


def check_scores(task: str) -> None:
    """Check that the results of a task have scores of which weak ones can be left out.

    Raises:
        InputError: If not.
    """
    if task not in ('detection', 'instance'):
        raise InputError(
            f'a score threshold is for detections and instances, and the task is {task}; leave it '
            'out'
        )


def labels_of(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Give the labels of some classes.

    Raises:
        InputError: If there is none of a name.
    """
    for name in names:
        if name not in classes:
            near = get_close_matches(name, classes, n=1, cutoff=0.5)
            hint = f'did you mean {visible(near[0])!r}?' if near else f'there are {len(classes)}'
            raise InputError(f'no class of the model is called {visible(name)!r}; {hint}')
    return [label for label, name in enumerate(classes) if name in names]


def arrays_of(task: str, sample: Any, classes: int) -> dict[str, np.ndarray]:
    """Take the arrays of a result out of what a model gives.

    Args:
        task: The task.
        sample: The data sample of OpenMMLab that the model gives.
        classes: Number of classes.
    """
    sample = sample.cpu()
    if task == 'segmentation':
        masks = sample.pred_sem_seg.data[0].numpy().astype(np.int64)
        labels, areas = np.unique(masks, return_counts=True)
        return dict(masks=masks, labels=labels[np.argsort(-areas, kind='stable')])
    if task == 'panoptic':
        return _segments(sample.pred_panoptic_seg.sem_seg[0].numpy(), classes)
    if task == 'classification':
        scores = sample.pred_score.numpy().astype(np.float32)
        labels = np.argsort(-scores, kind='stable')
        return dict(labels=labels, scores=scores[labels])
    instances = sample.pred_instances
    scores = instances.scores.numpy().astype(np.float32)
    order = np.argsort(-scores, kind='stable')
    boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
    arrays = dict(
        boxes=boxes.numpy().astype(np.float32)[order],
        labels=instances.labels.numpy().astype(np.int64)[order],
        scores=scores[order],
    )
    if task == 'instance':
        arrays = dict(masks=instances.masks.numpy().astype(bool)[order], **arrays)
    return arrays


def _segments(ids: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Take the map (H, W) of a panoptic result apart, in which the number of classes is void."""
    numbers, areas = np.unique(ids, return_counts=True)
    numbers = numbers[np.argsort(-areas, kind='stable')]
    numbers = numbers[numbers != classes]
    masks = ids == numbers[:, None, None]
    return dict(masks=masks, labels=(numbers % SEGMENT).astype(np.int64))


def _chosen(task: str, arrays: dict[str, np.ndarray], keep: np.ndarray) -> dict[str, np.ndarray]:
    """Choose among what a result has one of for each label: all but a map of labels."""
    return {
        name: array if (task, name) == ('segmentation', 'masks') else array[keep]
        for name, array in arrays.items()
    }
