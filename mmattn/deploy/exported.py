"""Predictions of a file that a model was exported to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmattn.deploy import compiled, onnx, openvino, program
from mmattn.deploy.metadata import Described
from mmattn.deploy.pasting import paste
from mmattn.errors import InputError

# The ends of the names of files that a model is exported to.
ENDINGS = ('.onnx', '.pt2', '.xml')


def load_exported(path: str | Path, *, trusted: bool = False) -> 'Exported':
    """Make a file that ``mmattn deploy`` wrote ready to look at pictures, on the CPU.

    Args:
        path: The file.
        trusted: Whether code in it may run: PyTorch evaluates expressions of a ``.pt2``.

    Raises:
        InputError: If it is none, or code in it would run and may not.
    """
    name = str(path)
    if not Path(path).is_file():
        raise InputError(f'{name} is not a file; check the path')
    ending = Path(path).suffix
    if ending not in ENDINGS:
        raise InputError(f'{name} has to end in {", ".join(ENDINGS[:-1])} or {ENDINGS[-1]}')
    if ending == '.onnx':
        run, metadata = onnx.read(name)
    elif ending == '.xml':
        run, metadata = openvino.read(name)
    elif not trusted:
        raise InputError(
            f'reading {name} may run code that is in it; if you trust it: --trust-checkpoint'
        )
    elif compiled.is_compiled(name):
        run, metadata = compiled.read(name)
    else:
        run, metadata = program.read(name)
    return Exported(run, metadata, name)


class Exported(Described):
    """A file that a model was exported to, ready to look at pictures.

    Args:
        run: Gives the arrays of an image (1, C, H, W).
        metadata: What the file says of itself.
        path: Its name, for messages.
    """

    def __init__(self, run: Any, metadata: dict[str, Any], path: str) -> None:
        super().__init__(metadata, path)
        self._compute = run

    def run(self, batch: dict[str, list]) -> list[dict[str, np.ndarray]]:
        """Give the arrays of the results of prepared pictures; see :meth:`Predictor.run`."""
        # A file takes one image at a time.
        return [
            self._arrays(image.numpy(), sample)
            for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True)
        ]

    def _arrays(self, image: np.ndarray, sample: Any) -> dict[str, np.ndarray]:
        self._check_size(image.shape[1:])
        given = self.metadata['input']
        outputs = self._compute(np.ascontiguousarray(image[None], given['dtype']))
        found = dict(zip(self.metadata['outputs'], (o[0] for o in outputs), strict=True))
        size = getattr(sample, 'ori_shape', image.shape[1:])[:2]
        scale = getattr(sample, 'scale_factor', (1.0, 1.0))
        return arrays_in(self.task, found, size, scale, self.metadata.get('mask_threshold'))

    def _check_size(self, size: tuple[int, ...]) -> None:
        """Check that the file takes an image of a height and width.

        Raises:
            InputError: If it does not.
        """
        height, width = size
        expected = self.metadata['input']['shape'][2:]
        if expected == [None, None]:
            least, most = self.metadata['input']['sides']
            if not (least <= height <= most and least <= width <= most):
                raise InputError(
                    f'{self.path} takes images with sides of {least} to {most} pixels, and the '
                    f'pipeline made one of {width}x{height}'
                )
        elif [height, width] != expected:
            raise InputError(
                f'{self.path} takes images of {expected[1]}x{expected[0]} pixels only, and the '
                f'pipeline made one of {width}x{height}; deploy the model with --dynamic'
            )


def arrays_in(
    task: str,
    found: dict[str, np.ndarray],
    size: tuple[int, int],
    scale: Sequence[float],
    mask_threshold: float | None = None,
) -> dict[str, np.ndarray]:
    """Take the arrays of a result out of what a graph gives of one image.

    Args:
        task: The task.
        found: The outputs of the graph by their names.
        size: Height and width of the picture.
        scale: How much wider and higher the image is than the picture.
        mask_threshold: From which probability on a pixel is of its object, of instances.
    """
    if task == 'segmentation':
        masks = found['labels'].astype(np.int64)
        if masks.shape != tuple(size):
            # OpenCV has no 64 bits. It takes the value at the left and above; this is the middle.
            resized = cv2.resize(
                masks.astype(np.float32), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT
            )
            masks = resized.astype(np.int64)
        labels, areas = np.unique(masks, return_counts=True)
        return dict(masks=masks, labels=labels[np.argsort(-areas, kind='stable')])
    scores = found['scores'].astype(np.float32)
    if task == 'classification':
        labels = np.argsort(-scores, kind='stable')
        return dict(labels=labels, scores=scores[labels])
    kept = found['labels'] >= 0
    boxes = found['boxes'] / np.asarray([*scale, *scale], np.float32)
    arrays: dict[str, np.ndarray] = dict(
        boxes=boxes[kept].astype(np.float32),
        labels=found['labels'][kept].astype(np.int64),
        scores=scores[kept],
    )
    if mask_threshold is not None:
        masks = found['masks'][kept].astype(np.float32)
        arrays['masks'] = paste(masks, arrays['boxes'], size, mask_threshold)
    return arrays
