"""CIFAR-100 by its 20 superclasses; its files are pickles, which are read as data."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from mmattn.datasets.names import visible
from mmattn.errors import InputError
from mmattn.weights.plain_data import BadDataError, DataUnpickler, NotPlainDataError

FOLDER = 'cifar-100-python'
SPLITS = ('train', 'test')
SIDE = 32  # Height and width of an image in pixels.
# By the names in its file of names.
SUPERCLASSES = (
    *('aquatic_mammals', 'fish', 'flowers', 'food_containers', 'fruit_and_vegetables'),
    *('household_electrical_devices', 'household_furniture', 'insects', 'large_carnivores'),
    *('large_man-made_outdoor_things', 'large_natural_outdoor_scenes'),
    *('large_omnivores_and_herbivores', 'medium_mammals', 'non-insect_invertebrates'),
    *('people', 'reptiles', 'small_mammals', 'trees', 'vehicles_1', 'vehicles_2'),
)
# Those of CIFAR-100 have 155 MB.
_MOST_BYTES = 2**29


def read_split(path: str | Path) -> tuple[np.ndarray, list[int]]:
    """Read one of the two files of CIFAR-100, ``train`` or ``test``.

    Args:
        path: The file.

    Returns:
        The images of shape (N, 32, 32, 3), 8 bits and BGR, and their superclasses.

    Raises:
        InputError: If it cannot be read, is more than data, or holds something else.
    """
    shown = visible(path)
    try:
        size = Path(path).stat().st_size
        if size > _MOST_BYTES:
            raise InputError(f'{shown} has {size} bytes; expected a file of CIFAR-100, of 155 MB')
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f'{shown} cannot be read ({error.strerror}); complete the data') from error
    try:
        split = DataUnpickler(io.BytesIO(content), size, _find_none, encoding='latin1').load()
    except NotPlainDataError as error:
        raise InputError(
            f'{shown} is not plain data: reading it would run {visible(error)}; get the file of '
            'CIFAR-100'
        ) from error
    # Damage shows in any way: a pickle with a flipped bit may do whatever a pickle can.
    except Exception as error:
        raise InputError(f'{shown} is damaged; copy or download it again') from error
    images, labels = _contents(split)
    if images is None or labels is None or len(images) != len(labels):
        raise InputError(
            f'{shown} is no file of CIFAR-100: expected data, 3072 numbers of 8 bits for each '
            'image, and as many coarse_labels'
        )
    pixels = images.reshape(-1, 3, SIDE, SIDE)[:, ::-1].transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pixels), labels


def _contents(split: Any) -> tuple[np.ndarray | None, list[int] | None]:
    """Take the images (N, 3072) and the labels out of what a file holds; None for what is none."""
    if not isinstance(split, dict):
        return None, None
    images, labels = split.get('data'), split.get('coarse_labels')
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.size == 0:
        return None, None
    if images.shape[1:] != (3 * SIDE**2,) or not isinstance(labels, list):
        return None, None
    return images, labels if all(type(label) is int for label in labels) else None


def _find_none(*_: Any) -> NoReturn:
    raise BadDataError('it has a tensor')


def wrong_labels(labels: list[int]) -> Iterator[tuple[int, int]]:
    """Give the place and the value of each label that is no superclass."""
    return ((i, k) for i, k in enumerate(labels) if not 0 <= k < len(SUPERCLASSES))


@DATASETS.register_module()
class CIFAR100Superclasses(BaseDataset):
    """CIFAR-100 with the 20 superclasses as classes, by which AFF's tables count.

    mmpretrain's ``CIFAR100`` reads the 100 classes, and runs what the pickles say. Here they are
    read as data, and nothing is downloaded.

    Args:
        data_root: Folder with ``cifar-100-python``, in which ``train`` and ``test`` are.
        split: ``'train'`` or ``'test'``.
        kwargs: Other options of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        InputError: If ``split`` is another one, or its file is missing, no file of CIFAR-100, or
            has a label that is no superclass.
    """

    METAINFO: ClassVar[dict] = dict(classes=SUPERCLASSES)

    def __init__(
        self, data_root: str = '', split: Literal['train', 'test'] = 'train', **kwargs
    ) -> None:
        if split not in SPLITS:
            raise InputError(
                f"CIFAR100Superclasses: expected split 'train' or 'test', got {split!r}"
            )
        self.split = split
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images as arrays (32, 32, 3), BGR, each with its label."""
        path = Path(self.data_root, FOLDER, self.split)
        images, labels = read_split(path)
        for i, label in wrong_labels(labels):
            raise InputError(
                f'{visible(path)}: image {i} has the label {label}; expected 0 to '
                f'{len(SUPERCLASSES) - 1}'
            )
        shape = (SIDE, SIDE)
        return [
            dict(img=image, gt_label=label, img_shape=shape, ori_shape=shape)
            for image, label in zip(images, labels, strict=True)
        ]
