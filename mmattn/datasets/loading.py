"""Loading transforms that name the file that is wrong."""

import io
import os
import sys

import mmcv
import numpy as np
import torch
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine import fileio
from mmengine.registry import TRANSFORMS
from PIL import Image, UnidentifiedImageError
from torch.utils.data import get_worker_info

from mmattn.datasets.headers import UnfitPixelsError, check_range, has_16_bits, open_image
from mmattn.datasets.names import visible
from mmattn.errors import InputError

_MAX_WORKERS = 1024


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Load an image from ``results['img_path']``, and refuse one that would become nonsense.

    OpenCV fills what is missing of a truncated JPEG with gray and says nothing; Pillow, the
    default here, notices. Pillow makes most of an image of 16 bits white; its values are scaled
    to 8 bits, as OpenCV does. Values of 32 bits that are not in the range of 8 are refused. An
    image of more than ``PIL.Image.MAX_IMAGE_PIXELS`` pixels is refused by its header, before its
    pixels take memory, whatever decodes it.

    Args:
        imdecode_backend: Decoder, see :func:`mmcv.imfrombytes`.
        max_skips: How often a training may meet such an image, warn, and take another one by
            chance instead. For training only: a test must not leave anything out.
        kwargs: Other options of :class:`mmcv.transforms.LoadImageFromFile`.

    Raises:
        InputError: If the file is missing, is not a whole image, is too large or has values that
            8 bits do not hold, and ``max_skips`` is used up.
        InputError: If ``max_skips`` is negative.
    """

    def __init__(self, imdecode_backend: str = 'pillow', max_skips: int = 0, **kwargs) -> None:
        super().__init__(imdecode_backend=imdecode_backend, **kwargs)
        if max_skips < 0:
            raise InputError(f'expected max_skips of 0 or more, got {max_skips}')
        self.max_skips = max_skips
        # Seen by all processes of a data loader, each of which writes to a place of its own.
        self._skips = torch.zeros(_MAX_WORKERS, dtype=torch.int64).share_memory_()

    @property
    def skips(self) -> int:
        """How many images the processes of this data loader have left out."""
        return int(self._skips.sum())

    def transform(self, results: dict) -> dict | None:
        """Add ``img`` of shape (H, W, 3) in BGR, ``img_shape`` and ``ori_shape``.

        Returns:
            The results, or None for a data set to take another image.
        """
        path = results['img_path']
        try:
            image = self._read(path)
        # A decoder that is given any bytes may raise anything.
        except Exception as error:
            if self.ignore_empty:
                return None
            explanation = _unreadable('image', path, error)
            if self.skips >= self.max_skips:
                raise explanation from error
            worker = get_worker_info()
            self._skips[worker.id % _MAX_WORKERS if worker else 0] += 1
            print(
                f'warning: {explanation}; left out, {self.skips} of at most {self.max_skips}',
                file=sys.stderr,
            )
            return None
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def _read(self, path: str) -> np.ndarray:
        if self.file_client_args is None:
            content = fileio.get(path, backend_args=self.backend_args)
        else:
            content = fileio.FileClient.infer_client(self.file_client_args, path).get(path)
        backend = self.imdecode_backend
        try:
            with open_image(io.BytesIO(content)) as header:
                if backend == 'pillow' and self.color_type != 'unchanged':
                    backend = self._decoder_of(header)
        except UnidentifiedImageError:
            # Other decoders know other formats.
            if backend == 'pillow':
                raise
        image = mmcv.imfrombytes(content, flag=self.color_type, backend=backend)
        if image is None:
            raise ValueError(f'{backend} cannot decode it')
        return image

    @staticmethod
    def _decoder_of(image: Image.Image) -> str:
        """Choose who decodes an image that Pillow has opened."""
        if image.mode[0] not in 'IF':
            return 'pillow'
        # OpenCV says nothing of a truncated one.
        image.load()
        if has_16_bits(image):
            return 'cv2'
        check_range(image)
        return 'pillow'


@TRANSFORMS.register_module()
class LoadSegMap(BaseTransform):
    """Load a segmentation map from ``results['seg_map_path']``, and refuse labels out of range.

    Zero is turned into the ignored label and the classes are renumbered as the dataset asks by
    ``reduce_zero_label`` and ``label_map``, in one look-up.

    Args:
        max_label: Largest label that may be in a file; 150 for ADE20K, whose 0 is "no label".
        ignore_index: Label above ``max_label`` that may be in a file as well and means "no label";
            255 for Pascal VOC and Cityscapes.

    Raises:
        InputError: If the file is missing, is not a whole image of one channel, has another size
            than its image, or holds another label than these.
    """

    def __init__(self, max_label: int, ignore_index: int | None = None) -> None:
        self.max_label = max_label
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map`` of shape (H, W), uint8, with 255 for what is ignored."""
        path = results['seg_map_path']
        try:
            content = fileio.get(path)
            open_image(io.BytesIO(content)).close()
            labels = mmcv.imfrombytes(content, flag='unchanged', backend='pillow')
        # A decoder that is given any bytes may raise anything.
        except Exception as error:
            raise _unreadable('segmentation map', path, error) from error
        if labels.ndim != 2 or labels.dtype != np.uint8:
            raise InputError(
                f'segmentation map {visible(path)} has shape {labels.shape} and type '
                f'{labels.dtype}; expected one 8-bit label per pixel'
            )
        if labels.shape != tuple(results['ori_shape']):
            shown = visible(results['img_path'])
            (h, w), (image_h, image_w) = labels.shape, results['ori_shape']
            raise InputError(
                f'segmentation map {visible(path)} is {w}x{h} pixels, its image {shown} is '
                f'{image_w}x{image_h}; expected the same size'
            )
        largest = int(labels.max(initial=0, where=labels != self.ignore_index))
        if largest > self.max_label:
            also = '' if self.ignore_index is None else f' and {self.ignore_index}'
            raise InputError(
                f'segmentation map {visible(path)} has the label {largest}; expected 0 to '
                f'{self.max_label}{also} (is it from another release or another data set?)'
            )
        results['gt_seg_map'] = self._lookup(results)[labels]
        results['seg_fields'].append('gt_seg_map')
        return results

    @staticmethod
    def _lookup(results: dict) -> np.ndarray:
        classes: np.ndarray = np.arange(256, dtype=np.uint8)
        if results['reduce_zero_label']:
            classes = np.concatenate([classes[-1:], classes[:-1]])
            classes[255] = 255
        if results.get('label_map'):
            renumbered = np.arange(256, dtype=np.uint8)
            for old, new in results['label_map'].items():
                renumbered[old] = new
            classes = renumbered[classes]
        return classes

    def __repr__(self) -> str:
        """Show the options."""
        name = type(self).__name__
        return f'{name}(max_label={self.max_label}, ignore_index={self.ignore_index})'


def _unreadable(kind: str, path: str, error: Exception) -> InputError:
    shown = visible(path)
    if not os.path.isfile(path) and '://' not in str(path):
        return InputError(f'{kind} {shown} does not exist; complete the data set')
    if isinstance(error, UnfitPixelsError):
        return InputError(f'{kind} {shown} has {error}')
    reason = visible(error) or type(error).__name__
    return InputError(f'{kind} {shown} cannot be read ({reason}); copy or download it again')
