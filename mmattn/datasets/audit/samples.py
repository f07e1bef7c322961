"""Samples, loaded as a training loads them."""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmattn.datasets.audit.faults import Fault
from mmattn.datasets.audit.pixels import Decoder, check_label_bits, list_labels, read_image
from mmattn.errors import InputError

Check = Callable[[], list[Fault]]


@dataclass(frozen=True)
class Sample:
    """One sample of a data set: a check that gives its faults.

    Args:
        dataset: The data set, built as the config says.
        index: Place of the sample in it.
        checks: What looks at the annotations of an image, by its path.
        decoder: How images are decoded, or None if nobody can tell.
        ignored: Labels that a model ignores.
    """

    dataset: Any
    index: int
    checks: dict[Path, list[Check]]
    decoder: Decoder | None
    ignored: frozenset[int]

    def __call__(self) -> list[Fault]:
        """Look at the files first, which says more, and load the sample if they are whole."""
        info = self.dataset.get_data_info(self.index)
        faults = [fault for check in self._checks_of(info) for fault in check()]
        if any(not fault.is_warning for fault in faults):
            return faults
        return faults + self._load(info)

    def _checks_of(self, info: dict) -> Iterator[Check]:
        path, decoder = info.get('img_path'), self.decoder
        if isinstance(path, str):
            if Path(path) in self.checks:
                yield from self.checks[Path(path)]
            elif decoder:
                yield lambda: read_image(Path(path), decoder)[1]
        labels = info.get('seg_map_path')
        if decoder and isinstance(labels, str) and _reads_labels_of_mmseg(self.dataset):
            yield lambda: check_label_bits(Path(labels))

    def _load(self, info: dict) -> list[Fault]:
        place = str(info.get('img_path', f'number {self.index}'))
        try:
            results: Any = info
            with contextlib.redirect_stdout(io.StringIO()):
                for transform in transforms_of(self.dataset):
                    if is_loader(transform):
                        results = transform(results)
            if not isinstance(results, dict):
                return [Fault('sample that cannot be loaded', f'{place}: its loader gives nothing')]
        # Samples of any content may end in anything.
        except Exception as error:
            return self._load_whole(place, error)
        return [
            Fault(kind, f'{place}: {what}')
            for kind, what in (*self._wrong_labels(results), *_wrong_boxes(results))
        ]

    def _load_whole(self, place: str, reason: Exception) -> list[Fault]:
        """Try the whole pipeline: a loader may need what another transform adds."""
        try:
            self.dataset.prepare_data(self.index)
        except Exception:
            return [Fault('sample that cannot be loaded', f'{place}: {explain(reason)}')]
        return []

    def _wrong_labels(self, results: dict) -> Iterator[tuple[str, str]]:
        classes = self.dataset.metainfo.get('classes')
        labels, image = results.get('gt_seg_map'), results.get('img')
        if labels is not None and image is not None and labels.shape != image.shape[:2]:
            shapes = f'labels {labels.shape}, image {image.shape[:2]} (height, width)'
            yield 'sizes that differ', shapes
        if not isinstance(classes, list | tuple):
            return
        if labels is not None and is_of(self.dataset, 'mmseg'):
            # The label that a data set ignores is 255 by default.
            allowed = {*range(len(classes)), 255, *self.ignored}
            if wrong := set(np.unique(labels).tolist()) - allowed:
                yield 'label out of range', f'{list_labels(wrong)} of {len(classes)} classes'
        if 'gt_label' in results and is_of(self.dataset, 'mmpretrain'):
            given = set(np.atleast_1d(results['gt_label']).tolist())
            if wrong := given - set(range(len(classes))):
                yield 'label out of range', f'{list_labels(wrong)} of {len(classes)} classes'


def _wrong_boxes(results: dict) -> Iterator[tuple[str, str]]:
    boxes = results.get('gt_bboxes')
    if boxes is None or not is_of(boxes, 'mmdet'):
        return
    boxes = boxes.numpy()
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        return
    ignored = results.get('gt_ignore_flags', np.zeros(len(boxes), bool))
    for number, box in enumerate(boxes[~np.asarray(ignored, bool)], 1):
        shown = f'box {number}, {", ".join(f"{side:g}" for side in box)}'
        if not np.isfinite(box).all():
            yield 'box of no numbers', shown
        elif box[2] <= box[0] or box[3] <= box[1]:
            yield 'box without area', shown


def transforms_of(dataset: Any) -> list:
    """Give the transforms of the pipeline of a data set."""
    return getattr(getattr(dataset, 'pipeline', None), 'transforms', [])


def is_loader(transform: object) -> bool:
    """Tell whether a transform reads files or annotations, by the names of OpenMMLab."""
    return type(transform).__name__.startswith('Load')


def is_of(thing: object, package: str) -> bool:
    """Tell whether the class of an object, or one that it inherits from, is of a package."""
    return any(base.__module__.partition('.')[0] == package for base in type(thing).__mro__)


def explain(error: Exception) -> str:
    """Say in a line what an error says."""
    lines = str(error).strip().splitlines()
    line = lines[-1] if lines else ''
    return line if isinstance(error, InputError) else f'{type(error).__name__}: {line}'


def _reads_labels_of_mmseg(dataset: Any) -> bool:
    return any(
        type(t).__name__ == 'LoadAnnotations' and is_of(t, 'mmseg') for t in transforms_of(dataset)
    )
