"""Loading transforms that name the file that is wrong."""

import io
import os
import reprlib
import sys
from collections.abc import Iterable, Sequence
from numbers import Integral

import cv2
import mmcv
import numpy as np
import torch
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine import fileio
from mmengine.registry import TRANSFORMS
from PIL import Image, UnidentifiedImageError
from torch.utils.data import get_worker_info

from mmattn.datasets.headers import (
    UnfitPixelsError,
    check_range,
    has_16_bits,
    is_upright,
    open_image,
)
from mmattn.datasets.names import visible
from mmattn.errors import InputError

_MAX_WORKERS = 1024
_IGNORED = 255  # What mmseg's losses and metrics leave out.
# Maps of nothing but 0 and 255 before a word is said.
_BLACK_AND_WHITE = 32
_UPRIGHT_COLOUR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Load an image from ``results['img_path']``, and refuse one that would become nonsense.

    OpenCV fills what is missing of a truncated JPEG with gray and says nothing; Pillow, the
    default here, notices. A JPEG that has its end is decoded by OpenCV nevertheless, which gives
    the same pixels in two thirds of the time. Pillow makes most of an image of 16 bits white; its
    values are scaled to 8 bits, as OpenCV does. Values of 32 bits that are not in the range of 8
    are refused. An image of more than ``PIL.Image.MAX_IMAGE_PIXELS`` pixels is refused by its
    header, before its pixels take memory, whatever decodes it.

    Args:
        imdecode_backend: Whose pixels they are, see :func:`mmcv.imfrombytes`.
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
                    # In gray OpenCV takes the brightness of a JPEG, and Pillow mixes its colours.
                    if self.color_type == 'color' and _is_plain_jpeg(header, content):
                        image = cv2.imdecode(np.frombuffer(content, np.uint8), _UPRIGHT_COLOUR)
                        # Pillow says what is wrong with what OpenCV refuses.
                        if image is not None:
                            return image
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

    The labels of the file are renumbered by ``palette``, ``label_map`` and ``ignore_index``; then
    zero is turned into the ignored label and the classes are renumbered as the dataset asks by
    ``reduce_zero_label`` and a ``label_map`` of its own. All of it is one look-up.

    Args:
        max_label: Largest label of a class, in a file and behind ``label_map``: 150 for ADE20K,
            whose 0 is "no label", and 1 for two classes.
        ignore_index: Label that may be in a file as well and means "no label", such as 255 for
            Pascal VOC and Cityscapes; it becomes 255.
        label_map: Labels of a file that become others, such as ``{255: 1}`` for masks of 0 and 255.
        palette: Colours of shape (K, 3), RGB, of maps that show classes in colour: the first one
            becomes label 0, and so on. None for maps that hold labels.

    Raises:
        InputError: If an option is none of these, or 255, which means "no label", is to be a class.
        InputError: If the file is missing, is not a whole image of one label or one colour per
            pixel, has another size than its image, or holds another label or colour than these.
    """

    def __init__(
        self,
        max_label: int,
        ignore_index: int | None = None,
        label_map: dict[int, int] | None = None,
        palette: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self.max_label = max_label
        self.ignore_index = ignore_index
        self.label_map = {} if label_map is None else dict(label_map)
        self.palette = palette
        self._check_options()
        self._classes = np.arange(256, dtype=np.uint8)
        renumbered = dict(self.label_map)
        if ignore_index is not None:
            renumbered[ignore_index if 0 <= ignore_index < 256 else _IGNORED] = _IGNORED
        for old, new in renumbered.items():
            self._classes[old] = new
        # The labels of a file that are larger than that of any class.
        self._above = [label for label in renumbered if label > max_label]
        # How many more maps there may be of nothing but 0 and 255.
        self._suspicious = _BLACK_AND_WHITE if palette is None else 0
        if palette is not None:
            codes = _codes(np.array(palette, np.uint8))
            self._order = np.argsort(codes).astype(np.uint8)
            self._codes = codes[self._order]

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map`` of shape (H, W), uint8, with 255 for what is ignored."""
        path = results['seg_map_path']
        try:
            with open_image(io.BytesIO(fileio.get(path))) as image:
                pixels = np.asarray(image)
        # A decoder that is given any bytes may raise anything.
        except Exception as error:
            raise _unreadable('segmentation map', path, error) from error
        labels = self._labels(pixels, path)
        if labels.shape != tuple(results['ori_shape']):
            shown = visible(results['img_path'])
            (h, w), (image_h, image_w) = labels.shape, results['ori_shape']
            raise InputError(
                f'segmentation map {visible(path)} is {w}x{h} pixels, its image {shown} is '
                f'{image_w}x{image_h}; expected the same size'
            )
        # Comparisons take a tenth of the time of a look-up.
        unknown = labels > self.max_label
        for label in self._above if unknown.any() else ():
            unknown &= labels != label
        if unknown.any():
            largest = int(labels[unknown].max())
            also = [*self.label_map, *([] if self.ignore_index is None else [self.ignore_index])]
            listed = ''.join(f' and {label}' for label in also if label > self.max_label)
            reason = 'is it from another release or another data set?'
            if largest == _IGNORED and np.isin(labels, (0, _IGNORED)).all():
                reason = 'masks of 0 and 255 need label_map={255: 1}, void of 255 ignore_index=255'
            raise InputError(
                f'segmentation map {visible(path)} has the label {largest}; expected 0 to '
                f'{self.max_label}{listed} ({reason})'
            )
        if self._suspicious and self._classes[_IGNORED] == _IGNORED:
            self._look_for_two_classes(labels, path)
        classes = _dataset_lookup(results)[self._classes]
        is_same = (classes == np.arange(256)).all()
        results['gt_seg_map'] = labels.copy() if is_same else cv2.LUT(labels, classes)
        results['seg_fields'].append('gt_seg_map')
        return results

    def _look_for_two_classes(self, labels: np.ndarray, path: str) -> None:
        """Warn once where all that is not background is ignored."""
        if ((labels != 0) & (labels != _IGNORED)).any():
            self._suspicious = 0
        elif (labels == _IGNORED).any():
            self._suspicious -= 1
            if not self._suspicious:
                print(
                    f'warning: {_BLACK_AND_WHITE} segmentation maps, the last one '
                    f'{visible(path)}, hold nothing but 0 and 255, which is ignored; masks of 0 '
                    'and 255 need LoadSegMap(max_label=1, label_map={255: 1})',
                    file=sys.stderr,
                )

    def _check_options(self) -> None:
        label = self.max_label
        if type(label) is not int or not 1 <= label < _IGNORED:
            raise InputError(
                f'LoadSegMap: max_label has to be from 1 to {_IGNORED - 1}, got {label!r}: 0 alone '
                f'leaves one class, and {_IGNORED} means "no label"; for masks of 0 and 255: '
                'max_label=1, label_map={255: 1}'
            )
        for old, new in self.label_map.items():
            if not (_are_bytes([old, new]) and (new <= label or new == _IGNORED)):
                raise InputError(
                    f'LoadSegMap: label_map has to lead from labels of 0 to 255 to 0 to {label} '
                    f'(max_label) or {_IGNORED}, got {reprlib.repr({old: new})}'
                )
        if self.ignore_index is not None and type(self.ignore_index) is not int:
            raise InputError(
                f'LoadSegMap: ignore_index has to be a label or None, got {self.ignore_index!r}'
            )
        if self.ignore_index in self.label_map:
            raise InputError(
                f'LoadSegMap: {self.ignore_index} is both ignore_index and in label_map; expected '
                'it in one of them'
            )
        if self.palette is None:
            return
        colours = np.array(self.palette, dtype=object)
        if colours.ndim != 2 or colours.shape[1] != 3 or not _are_bytes(colours.ravel()):
            raise InputError(
                'LoadSegMap: palette has to be a list of [R, G, B] of 0 to 255, got '
                f'{reprlib.repr(self.palette)}'
            )
        different = len({tuple(colour) for colour in self.palette})
        if different < len(colours) or different > 256:
            raise InputError(
                f'LoadSegMap: palette has {len(colours)} colours, {different} of them different; '
                'expected at most 256, each for one label'
            )

    def _labels(self, pixels: np.ndarray, path: str) -> np.ndarray:
        """Turn what a file holds into labels of 8 bits."""
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8)
        if self.palette is not None:
            return self._labels_of_colours(pixels, path)
        if pixels.ndim == 3 and pixels.dtype == np.uint8:
            raise InputError(
                f'segmentation map {visible(path)} is in colour (shape {pixels.shape}); expected '
                'one label per pixel: give LoadSegMap a palette=[[R, G, B], ...], one colour for '
                'each label'
            )
        if pixels.ndim != 2 or pixels.dtype.kind not in 'iu':
            raise InputError(
                f'segmentation map {visible(path)} has shape {pixels.shape} and type '
                f'{pixels.dtype}; expected one 8-bit label per pixel'
            )
        if pixels.dtype != np.uint8:
            if self.ignore_index is not None and not 0 <= self.ignore_index < 256:
                pixels = np.where(pixels == self.ignore_index, _IGNORED, pixels)
            wrong = pixels[(pixels < 0) | (pixels > 255)]
            if wrong.size:
                raise InputError(
                    f'segmentation map {visible(path)} has the label {wrong.max()} and '
                    f'{pixels.dtype.itemsize * 8} bits per pixel; expected 0 to {self.max_label}, '
                    'one label for each class (a map of instances is made one of classes first)'
                )
            pixels = pixels.astype(np.uint8)
        return pixels

    def _labels_of_colours(self, pixels: np.ndarray, path: str) -> np.ndarray:
        if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or pixels.dtype != np.uint8:
            raise InputError(
                f'segmentation map {visible(path)} has shape {pixels.shape} and type '
                f'{pixels.dtype}; expected three colours of 8 bits per pixel, since LoadSegMap '
                'has a palette'
            )
        codes = _codes(pixels[..., :3])
        places = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        unknown = codes[self._codes[places] != codes]
        if unknown.size:
            code = int(unknown[0])
            raise InputError(
                f'segmentation map {visible(path)} has the colour '
                f'{[code >> 16, code >> 8 & 255, code & 255]}, which is none of the '
                f'{len(self._codes)} of the palette of LoadSegMap; add it there'
            )
        return self._order[places]

    def __repr__(self) -> str:
        """Show the options."""
        shown = f'max_label={self.max_label}, ignore_index={self.ignore_index}'
        if self.label_map:
            shown += f', label_map={self.label_map}'
        if self.palette is not None:
            shown += f', palette={[list(colour) for colour in self.palette]}'
        return f'{type(self).__name__}({shown})'


def check_whole(path: str) -> None:
    """Let Pillow tell of an image that is not whole, of which OpenCV says nothing.

    A JPEG and a PNG of 8 bits are not decoded for it: the one has its end, the other its checksums.

    Args:
        path: A file.

    Raises:
        InputError: If it is missing, is not a whole image, is too large or has values that 8 bits
            do not hold.
    """
    try:
        content = fileio.get(path)
        with open_image(io.BytesIO(content)) as image:
            if image.format == 'JPEG' and _has_end(content):
                return
            if image.format == 'PNG' and image.mode[0] not in 'IF':
                image.verify()
                return
            image.load()
            if not has_16_bits(image):
                check_range(image)
    # A decoder that is given any bytes may raise anything.
    except Exception as error:
        raise _unreadable('image', path, error) from error


def _is_plain_jpeg(image: Image.Image, content: bytes) -> bool:
    """Tell whether OpenCV makes of a whole JPEG what Pillow makes of it.

    Args:
        image: The JPEG, opened and not yet decoded.
        content: The bytes of its file.
    """
    if image.format != 'JPEG' or image.mode not in ('L', 'RGB') or not is_upright(image):
        return False
    return _has_end(content)


def _has_end(content: bytes) -> bool:
    """Tell whether the bytes of a JPEG go on to its end."""
    # No scan opens behind the last marker of an end; neither marker can be in a scan.
    end = content.rfind(b'\xff\xd9')
    return end >= 0 and content.find(b'\xff\xda', end) < 0


def _codes(colours: np.ndarray) -> np.ndarray:
    """Make one number of each colour (..., 3), RGB."""
    red, green, blue = np.moveaxis(colours.astype(np.uint32), -1, 0)
    return red << 16 | green << 8 | blue


def _are_bytes(values: Iterable) -> bool:
    return all(isinstance(value, Integral) and 0 <= int(value) < 256 for value in values)


def _dataset_lookup(results: dict) -> np.ndarray:
    """Give what a dataset asks for: the class of each label from 0 to 255."""
    classes: np.ndarray = np.arange(256, dtype=np.uint8)
    if results['reduce_zero_label']:
        classes = np.concatenate([classes[-1:], classes[:-1]])
        classes[_IGNORED] = _IGNORED
    if results.get('label_map'):
        renumbered = np.arange(256, dtype=np.uint8)
        for old, new in results['label_map'].items():
            renumbered[old] = new
        classes = renumbered[classes]
    return classes


def _unreadable(kind: str, path: str, error: Exception) -> InputError:
    shown = visible(path)
    if not os.path.isfile(path) and '://' not in str(path):
        return InputError(f'{kind} {shown} does not exist; complete the data set')
    if isinstance(error, UnfitPixelsError):
        return InputError(f'{kind} {shown} has {error}')
    reason = visible(error) or type(error).__name__
    return InputError(f'{kind} {shown} cannot be read ({reason}); copy or download it again')
