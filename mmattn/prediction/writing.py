"""Results written into a folder, each file whole or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np

from mmattn.datasets.names import visible
from mmattn.errors import InputError
from mmattn.files.whole_file import write_whole
from mmattn.layers.packages import import_optional
from mmattn.prediction.category_ids import category_ids
from mmattn.prediction.drawing import TOP
from mmattn.prediction.model import Predictor
from mmattn.prediction.result import Result

DRAWN, MASKS, PREDICTIONS = 'drawn', 'masks', 'predictions'
COCO_RESULTS, SUMMARY = 'coco_results.json', 'summary.json'


class Folder:
    """A folder of results.

    Args:
        path: The folder, which need not be there. What it has of the same names is replaced.

    Raises:
        InputError: If it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f'--out {visible(path)} is a file; expected a folder')

    def make(self, *names: str) -> None:
        """Make it, and folders in it.

        Raises:
            InputError: If they cannot be made.
        """
        try:
            for folder in (self.path, *(self.path / name for name in names)):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f'--out {visible(self.path)} cannot be written ({error.strerror}); give another '
                'folder'
            ) from error

    def holds(self, path: Path) -> bool:
        """Tell whether a file lies where results are written."""
        places = (self.path / name for name in (DRAWN, MASKS, PREDICTIONS))
        return any(path.resolve().is_relative_to(place.resolve()) for place in places)

    def write_json(self, name: str, content: Any) -> str:
        """Write a file of JSON, and give its name in this folder."""
        return self._write(name, lambda partial: partial.write_text(_as_json(content), 'utf-8'))

    def write_png(self, name: str, pixels: np.ndarray) -> str:
        """Write a picture (H, W, 3), RGB, or a map (H, W) of 8 or 16 bits; give its name here."""
        if pixels.ndim == 3:
            pixels = mmcv.rgb2bgr(pixels)
        _, content = cv2.imencode('.png', pixels)
        return self._write(name, lambda partial: partial.write_bytes(content.tobytes()))

    def _write(self, name: str, write: Callable[[Path], Any]) -> str:
        write_whole(self.path / name, write, remedy='repeat the command')
        return name


class Format:
    """How the results of a model are written.

    Args:
        model: The model.
    """

    def __init__(self, model: Predictor) -> None:
        self.task = model.task
        self.classes = model.classes
        self.palette = model.palette
        self.reduce_zero_label = model.reduce_zero_label
        self.categories = category_ids(model.classes)

    @property
    def has_masks(self) -> bool:
        """Whether there is a map for each picture."""
        return self.task in ('segmentation', 'panoptic')

    @property
    def has_coco_results(self) -> bool:
        """Whether COCO's tools evaluate results of this task."""
        return self.task in ('detection', 'instance', 'panoptic')

    def describe_classes(self) -> list[dict[str, Any]]:
        """Say what the labels, the values in maps, and the categories stand for."""
        described: list[dict[str, Any]] = []
        for label, name in enumerate(self.classes):
            entry: dict[str, Any] = dict(label=label, name=name)
            if self.task == 'segmentation':
                entry['value'] = label + self.reduce_zero_label
            if self.has_coco_results:
                entry['category_id'] = self.categories[label]
            if self.task != 'classification':
                entry['color'] = list(self.palette[label])
            described.append(entry)
        return described

    def mask(self, result: Result) -> np.ndarray:
        """Give the map of a result as a file has it.

        Returns:
            Of a segmentation (H, W), uint8 or uint16: what label maps of the data have, where that
            begins with 0 for "no label" else the labels, and 255, or 65535, for no class. Of a
            panoptic result (H, W, 3), uint8: the number of the segment, from 1 on, as COCO has it:
            R + 256 G + 65536 B, and 0 for none.
        """
        if self.task == 'panoptic':
            numbers = np.zeros(result.image.shape[:2], np.int64)
            for number, mask in enumerate(result.masks, 1):
                numbers[mask] = number
            return np.stack([numbers >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)
        wide = len(self.classes) + self.reduce_zero_label > 255
        none = 0 if self.reduce_zero_label else 65535 if wide else 255
        values = np.where(result.masks < 0, none, result.masks + self.reduce_zero_label)
        return values.astype(np.uint16 if wide else np.uint8)

    def describe(self, result: Result) -> dict[str, Any]:
        """Say what is on a picture."""
        height, width = result.image.shape[:2]
        size = dict(height=height, width=width)
        if self.task == 'classification':
            best = zip(result.labels[:TOP], result.scores[:TOP], strict=True)
            return dict(size, classes=[self._named(k, score=_rounded(s)) for k, s in best])
        if self.task == 'segmentation':
            shares = {k: float((result.masks == k).mean()) for k in result.labels}
            return dict(
                size, classes=[self._named(k, share=_rounded(s)) for k, s in shares.items()]
            )
        if self.task == 'panoptic':
            return dict(size, segments=self._segments(result))
        detections = []
        for i, (label, score) in enumerate(zip(result.labels, result.scores, strict=True)):
            found = self._named(label, score=_rounded(score), box=_box(result, i))
            if self.task == 'instance':
                found['segmentation'] = _run_lengths(result.masks[i])
            detections.append(found)
        return dict(size, detections=detections)

    def coco_results(self, result: Result, name: str) -> list[dict[str, Any]]:
        """Give what COCO's tools read of a result.

        Args:
            result: The result, with all its scores.
            name: Name of the image, whose number is its id if it is one.
        """
        image = dict(image_id=int(name) if name.isascii() and name.isdecimal() else name)
        if self.task == 'panoptic':
            segments = [
                dict(id=s['id'], category_id=s['category_id']) for s in self._segments(result)
            ]
            return [dict(image, file_name=f'{name}.png', segments_info=segments)]
        found = []
        for i, (label, score) in enumerate(zip(result.labels, result.scores, strict=True)):
            x, y, right, lower = _box(result, i)
            entry: dict[str, Any] = dict(
                image,
                category_id=self.categories[label],
                bbox=[x, y, _rounded(right - x), _rounded(lower - y)],
                score=_rounded(score),
            )
            if self.task == 'instance':
                entry['segmentation'] = _run_lengths(result.masks[i])
            found.append(entry)
        return found

    def _segments(self, result: Result) -> list[dict[str, Any]]:
        return [
            self._named(label, id=number, category_id=self.categories[label], area=int(mask.sum()))
            for number, (label, mask) in enumerate(zip(result.labels, result.masks, strict=True), 1)
        ]

    def _named(self, label: int, **others: Any) -> dict[str, Any]:
        return dict(label=int(label), name=self.classes[label], **others)


def _as_json(content: Any) -> str:
    """Give JSON with a line for each entry, and for each item of a list in it."""
    if isinstance(content, list):
        return f'{_listed(content)}\n'
    items = (
        f'{json.dumps(key)}: {_listed(value) if isinstance(value, list) else _dumped(value)}'
        for key, value in content.items()
    )
    return '{\n' + ',\n'.join(items) + '\n}\n'


def _listed(items: list) -> str:
    return '[' + ','.join(f'\n  {_dumped(item)}' for item in items) + ('\n]' if items else ']')


def _dumped(value: Any) -> str:
    # NaN is no JSON, and no score either.
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _box(result: Result, i: int) -> list[float]:
    return [_rounded(side) for side in result.boxes[i]]


def _rounded(value: float) -> float:
    """Give as many digits as 32 bits hold."""
    return float(f'{value:.7g}')


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """Encode a mask (H, W) as COCO does."""
    coder = import_optional('pycocotools.mask', 'the results of COCO')
    coded = coder.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=list(coded['size']), counts=coded['counts'].decode('ascii'))
