"""Our loaders of images and label maps beside those of OpenMMLab, on files drawn for it."""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile

from mmattn.benchmark.cases import Candidate, Case, Conditions, Row
from mmattn.datasets.loading import LoadImage, LoadSegMap
from mmattn.layers.packages import import_optional

# Of an image, as ADE20K has them, in pixels.
SIZE = (512, 683)
CLASSES = 150


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    """Draw an image and its label map into a folder that goes with this process."""
    folder = tempfile.TemporaryDirectory(prefix='mmattn-benchmark-')
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (16, 21, 3), dtype=np.uint8)
    _write(f'{folder.name}/image.jpg', coarse, cv2.INTER_CUBIC)
    coarse = rng.integers(0, CLASSES + 1, (16, 21), dtype=np.uint8)
    _write(f'{folder.name}/labels.png', coarse, cv2.INTER_NEAREST)
    return folder


def _write(path: str, coarse: np.ndarray, interpolation: int) -> None:
    cv2.imwrite(path, cv2.resize(coarse, SIZE[::-1], interpolation=interpolation))


def _load(
    transform: Callable[[dict], Any], key: str, reduce_zero_label: bool = False
) -> Callable[[], np.ndarray]:
    """Give a function that loads what is kept under a key of the results."""
    folder = Path(_folder().name)

    def load() -> np.ndarray:
        results = dict(
            img_path=str(folder / 'image.jpg'),
            seg_map_path=str(folder / 'labels.png'),
            img_shape=SIZE,
            ori_shape=SIZE,
            reduce_zero_label=reduce_zero_label,
            label_map=None,
            seg_fields=[],
        )
        return transform(results)[key]

    return load


def _images(conditions: Conditions) -> Case:
    candidates = [
        Candidate('mmcv', _load(LoadImageFromFile(), 'img')),
        Candidate('ours', _load(LoadImage(), 'img')),
    ]
    return Case(candidates)


def _label_maps(reduce_zero_label: bool, conditions: Conditions) -> Case:
    peer = import_optional('mmseg.datasets.transforms', 'this peer').LoadAnnotations()
    candidates = [
        Candidate('mmseg', _load(peer, 'gt_seg_map', reduce_zero_label)),
        Candidate('ours', _load(LoadSegMap(CLASSES), 'gt_seg_map', reduce_zero_label)),
    ]
    return Case(candidates)


ROWS = [
    Row('data', 'LoadImage', _images),
    Row('data', 'LoadSegMap', functools.partial(_label_maps, False)),
    Row('data', 'LoadSegMap reduce_zero_label', functools.partial(_label_maps, True)),
]
