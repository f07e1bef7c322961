"""Results drawn over their pictures, with a legend beside."""

import warnings
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import VISUALIZERS
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from mmattn.prediction.legend import Row, add_legend

# What mmdet multiplies the number of a segment by, before it adds the label.
SEGMENT = 1000
# Share of the colour of a class where it is laid over a picture.
_OPACITY = 0.6
# Of a classification.
TOP = 5
# Where they serve. The names that mmseg puts onto a picture hide each other and what is below them,
# and searching for their places takes seconds; the text of mmpretrain runs out of the picture.
_KINDS = {
    'detection': 'mmdet.DetLocalVisualizer',
    'instance': 'mmdet.DetLocalVisualizer',
    'panoptic': 'mmdet.DetLocalVisualizer',
}
# Options of a visualizer that say where its pictures go: here they are given back.
_PLACES = ('type', 'name', 'vis_backends', 'save_dir')


class Painter:
    """The visualizer of a task, with the options that a config has for it.

    Args:
        cfg: The config.
        task: The task.
        classes: Names of the classes.
        palette: Their colours, RGB of 0 to 255.
    """

    def __init__(
        self,
        cfg: Config,
        task: str,
        classes: tuple[str, ...],
        palette: tuple[tuple[int, ...], ...],
    ) -> None:
        self.cfg = cfg
        self.task = task
        self.classes = classes
        self.palette = palette

    def paint(self, image: np.ndarray, arrays: dict[str, np.ndarray], legend: bool) -> np.ndarray:
        """Draw a result over its picture.

        Args:
            image: The picture (H, W, 3), uint8, RGB.
            arrays: What the result consists of, see :class:`mmattn.prediction.result.Result`.
            legend: Whether to name beside it what is on it.

        Returns:
            A picture, uint8, RGB, of the same size, or with a legend.
        """
        drawn = self._draw(image, arrays)
        if not legend:
            return drawn
        return add_legend(drawn, self._title, list(self._rows(arrays)))

    @cached_property
    def _visualizer(self) -> Any:
        kind = VISUALIZERS.get(_KINDS[self.task])
        given = self.cfg.get('visualizer') or {}
        named = given.get('type')
        options = {}
        if (VISUALIZERS.get(named) if isinstance(named, str) else named) is kind:
            options = {key: value for key, value in given.items() if key not in _PLACES}
        with warnings.catch_warnings():
            # It has no folder, and need have none.
            warnings.filterwarnings('ignore', '.*save_dir')
            visualizer = kind(**options)
        visualizer.dataset_meta = dict(classes=self.classes, palette=list(self.palette))
        return visualizer

    def _draw(self, image: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
        if not len(arrays['labels']) or self.task == 'classification':
            return image.copy()
        if self.task == 'segmentation':
            return self._with_colours(image, arrays['masks'])
        sample = self._segments(arrays) if self.task == 'panoptic' else self._boxes(arrays)
        if self.task == 'instance':
            image = self._with_masks(image, arrays)
        with warnings.catch_warnings():
            # As a box is that reaches the edge of the picture.
            warnings.filterwarnings('ignore', '.* is out of bounds')
            # What is left out of a result is not here any more, so no score is too low.
            self._visualizer.add_datasample('', image, sample, draw_gt=False, pred_score_thr=-1.0)
        return self._visualizer.get_image()

    def _with_colours(self, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Give each pixel the colour of its class, and leave one without a class as it is."""
        colours = np.asarray(self.palette)[labels]
        return np.where(labels[..., None] < 0, image, _mix(image, colours))

    def _with_masks(self, image: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Draw masks in the colours of their classes, which mmdet changes by chance."""
        image = image.copy()
        # The surest ones come last, on top.
        for mask, label in reversed(list(zip(arrays['masks'], arrays['labels'], strict=True))):
            image[mask] = _mix(image[mask], np.asarray(self.palette[label]))
            outlines, _ = cv2.findContours(
                mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
            )
            cv2.drawContours(image, outlines, -1, (255, 255, 255), 1)
        return image

    def _boxes(self, arrays: dict[str, np.ndarray]) -> BaseDataElement:
        instances = InstanceData(
            bboxes=torch.from_numpy(arrays['boxes']),
            labels=torch.from_numpy(arrays['labels']),
            scores=torch.from_numpy(arrays['scores']),
        )
        return _sample(pred_instances=instances)

    def _segments(self, arrays: dict[str, np.ndarray]) -> BaseDataElement:
        segments = np.full(arrays['masks'].shape[1:], len(self.classes), np.int64)
        for i, (mask, label) in enumerate(zip(arrays['masks'], arrays['labels'], strict=True), 1):
            segments[mask] = i * SEGMENT + label
        return _sample(pred_panoptic_seg=PixelData(sem_seg=torch.from_numpy(segments[None])))

    @property
    def _title(self) -> str:
        if self.task in ('segmentation', 'panoptic'):
            return '% of the pixels'
        return 'score' if self.task == 'classification' else 'number of objects'

    def _rows(self, arrays: dict[str, np.ndarray]) -> Iterator[Row]:
        labels = arrays['labels']
        if self.task == 'classification':
            for label, score in zip(labels[:TOP], arrays['scores'][:TOP], strict=True):
                yield Row(self.classes[label], f'{score:.2f}', None)
            return
        for label in dict.fromkeys(labels.tolist()):
            if self.task == 'segmentation':
                value = _percent((arrays['masks'] == label).mean())
            elif self.task == 'panoptic':
                value = _percent(arrays['masks'][labels == label].any(0).mean())
            else:
                value = str((labels == label).sum())
            yield Row(self.classes[label], value, self.palette[label])


def _mix(pixels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    return np.rint(pixels * (1 - _OPACITY) + colours * _OPACITY).astype(np.uint8)


def _percent(part: float) -> str:
    return f'{100 * part:.1f}' if part >= 0.0005 else '<0.1'


def _sample(**data: Any) -> BaseDataElement:
    sample = BaseDataElement()
    sample.set_data(data)
    return sample
