"""The layouts of data sets, and a quick look at whether a user's copy has its own."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mmengine.fileio import list_dir_or_file

from mmattn.datasets.lists import CUB_LISTS, read_list, read_numbered
from mmattn.datasets.names import inside, visible
from mmattn.errors import InputError

_IMAGENET_CLASSES = 1000
_IMAGENET21K_CLASSES = 21841


@dataclass
class Copy:
    """A copy of a data set, as a dataset config names it.

    Args:
        cfg: Config of the dataset.
        where: Where it stands in the whole config, for the messages.
        hint: What to do about a copy that is not there, for the messages.
    """

    cfg: dict
    where: str
    hint: str

    def __post_init__(self) -> None:
        self.root = Path(self.cfg.get('data_root') or '.')
        self.folders = {
            key: self.root / prefix
            for key, prefix in prefixes(self.cfg).items()
            if prefix is not None
        }
        self.ann_file = self.root / self.cfg['ann_file'] if self.cfg.get('ann_file') else None


def prefixes(cfg: dict) -> dict[str, str | None]:
    """Give the folders of a dataset config by their keys."""
    given = cfg.get('data_prefix') or {}
    return {'img_path': given} if isinstance(given, str) else given


def check_folders(copy: Copy) -> None:
    """Check that the folders and the annotation file that the config names are there.

    Raises:
        InputError: If one is missing, or a folder is empty.
    """
    where, hint = copy.where, copy.hint
    for key, folder in copy.folders.items():
        if not folder.is_dir():
            raise InputError(f'{where}.data_prefix.{key} {folder} is not a folder; {hint}')
        if not any(folder.iterdir()):
            raise InputError(f'{where}.data_prefix.{key} {folder} is empty; {hint}')
    if copy.ann_file and not copy.ann_file.exists():
        raise InputError(f'{where}.ann_file {copy.ann_file} does not exist; {hint}')


def check_label_maps(
    copy: Copy,
    suffixes: tuple[str, str] = ('.jpg', '.png'),
    remedy: Callable[[Path], str] = lambda path: 'complete the data set',
) -> None:
    """Check that every image has its segmentation map, where there are such maps.

    Args:
        copy: The copy.
        suffixes: What names of images and of maps end with, unless the config says so.
        remedy: What to do about the map of a path that is missing.

    Raises:
        InputError: If an image or a map is missing.
    """
    check_folders(copy)
    if 'seg_map_path' not in copy.folders:
        return
    images, maps = copy.folders['img_path'], copy.folders['seg_map_path']
    suffix = copy.cfg.get('img_suffix', suffixes[0])
    map_suffix = copy.cfg.get('seg_map_suffix', suffixes[1])
    found = _files(images, suffix)
    if copy.ann_file and copy.ann_file.is_file():
        stems = [line.strip() for line in _listed(copy.ann_file, copy.where)]
        _check_listed(images, [stem + suffix for stem in stems], found, copy.where)
    else:
        stems = [name.removesuffix(suffix) for name in found]
    if not stems:
        raise InputError(f'{copy.where}.data_prefix.img_path {images} holds no *{suffix} file')
    if missing := sorted({stem + map_suffix for stem in stems} - _files(maps, map_suffix)):
        first = maps / missing[0]
        raise InputError(
            f'{len(missing)} of {len(stems)} images in {images} have no segmentation map: '
            f'{visible(first)} does not exist; {remedy(first)}'
        )


def check_ade20k(copy: Copy) -> None:
    """Check a copy of the benchmark ADEChallengeData2016.

    Raises:
        InputError: If it is the full release of ADE20K, or something is missing.
    """
    root, where = copy.root, copy.where
    if is_full_ade20k(root):
        raise InputError(f'{where}.data_root {root} is the full ADE20K release; {copy.hint}')
    if not (root / 'annotations').is_dir() or not (root / 'images').is_dir():
        raise InputError(
            f'{where}.data_root {root} has no folders images and annotations; {copy.hint}'
        )
    check_label_maps(copy)


def is_full_ade20k(root: Path) -> bool:
    """Tell whether a folder holds the full release of ADE20K instead of the benchmark."""
    training = root / 'images' / 'training'
    return (
        any(root.glob('index_ade20k.*'))
        or (root / 'images' / 'ADE').is_dir()
        or any(training.glob('*/*/*_seg.png'))
        or any(training.glob('*_seg.png'))
    )


def check_camvid(copy: Copy) -> None:
    """Check a copy of CamVid.

    Raises:
        InputError: If something is missing.
    """
    check_label_maps(copy, ('.png', '.png'))


def check_cityscapes(copy: Copy) -> None:
    """Check a copy of Cityscapes.

    Raises:
        InputError: If something is missing, such as the maps that a converter makes.
    """

    def remedy(path: Path) -> str:
        unconverted = path.with_name(path.name.replace('_labelTrainIds', '_labelIds'))
        if unconverted != path and unconverted.exists():
            return 'make it with tools/dataset_converters/cityscapes.py of mmsegmentation'
        return 'complete the data set'

    check_label_maps(copy, ('_leftImg8bit.png', '_gtFine_labelTrainIds.png'), remedy)


def check_voc_detection(copy: Copy) -> None:
    """Check that every image that the config lists is there, with its boxes.

    Raises:
        InputError: If something is missing.
    """
    check_folders(copy)
    if copy.ann_file is None:
        raise InputError(f'{copy.where} has no ann_file; expected a list of images to read')
    stems = _listed(copy.ann_file, copy.where)
    for key, default, suffix in (
        ('img_subdir', 'JPEGImages', '.jpg'),
        ('ann_subdir', 'Annotations', '.xml'),
    ):
        folder = copy.folders.get('sub_data_root', copy.root) / copy.cfg.get(key, default)
        names = [stem + suffix for stem in stems]
        _check_listed(folder, names, _files(folder, suffix), copy.where)


def check_cifar100(copy: Copy) -> None:
    """Check that the file of a split of CIFAR-100 is there.

    Raises:
        InputError: If it is not.
    """
    path = copy.root / 'cifar-100-python' / copy.cfg.get('split', 'train')
    if not path.is_file():
        raise InputError(f'{copy.where}: {path} is not a file; {copy.hint}')


def check_cub(copy: Copy) -> None:
    """Check that the lists of CUB-200-2011 have the same numbers, and every image is there.

    Raises:
        InputError: If something is missing.
    """
    lists = []
    for name in CUB_LISTS:
        path = copy.root / name
        if not path.exists():
            raise InputError(f'{copy.where}: {path} does not exist; {copy.hint}')
        try:
            lists.append(read_numbered(path))
        except (OSError, ValueError) as error:
            raise InputError(f'{copy.where}: {path} is no list of CUB: {error}') from error
    names = lists[0]
    for name, found in zip(CUB_LISTS[1:], lists[1:], strict=True):
        if differing := sorted(names.keys() ^ found.keys()):
            raise InputError(
                f'{copy.where}: {copy.root / name} and {CUB_LISTS[0]} do not have the same '
                f'numbers, such as {differing[0]}; complete the data set'
            )
    images = copy.root / 'images'
    for name in names.values():
        image = inside(images, name)
        if image is None:
            raise InputError(
                f'{copy.where}: {copy.root / CUB_LISTS[0]} lists {visible(name)}, which leads out '
                'of the data set; expected names inside it'
            )
        if not image.exists():
            raise InputError(
                f'{copy.where}: {copy.root / CUB_LISTS[0]} lists {visible(name)}, but '
                f'{visible(image)} does not exist; complete the data set'
            )


def check_imagenet(copy: Copy, expected: int = _IMAGENET_CLASSES) -> None:
    """Check a copy of ImageNet-1k by its first image, or by the number of its classes.

    Args:
        copy: The copy.
        expected: How many folders of classes there are where there is no list.

    Raises:
        InputError: If something is missing, or the layout is another one.
    """
    if split := copy.cfg.get('split'):
        # What the class takes when it is given a split alone.
        copy.folders = copy.folders or {'img_path': copy.root / split}
        lists = copy.root / 'meta' / f'{split}.txt'
        copy.ann_file = copy.ann_file or (lists if lists.exists() else None)
    check_folders(copy)
    images = copy.folders.get('img_path', copy.root)
    if copy.ann_file:
        lines = _listed(copy.ann_file, copy.where)
        if copy.cfg.get('with_label', True):
            _check_labels(lines, copy)
        # A million files are too many for a short look, but a wrong layout shows in the first one.
        first = lines[0].strip().rsplit(' ', 1)[0]
        if not os.path.exists(images / first):
            raise InputError(
                f'{copy.where}: {copy.ann_file} lists {visible(first)}, but '
                f'{visible(images / first)} does not exist; {copy.hint}'
            )
        return
    classes = sum(path.is_dir() for path in images.iterdir())
    if classes != expected:
        raise InputError(
            f'{copy.where}: {images} has {classes} folders of classes, expected '
            f'{expected}, or a list of images in meta; {copy.hint}'
        )


def check_imagenet21k(copy: Copy) -> None:
    """Check a copy of ImageNet-21K, which is also called ImageNet-22K, as one of ImageNet-1k.

    Raises:
        InputError: If something is missing, or the layout is another one.
    """
    check_imagenet(copy, _IMAGENET21K_CLASSES)


def _check_labels(lines: list[str], copy: Copy) -> None:
    for number, line in enumerate(lines, 1):
        name, _, label = line.strip().rpartition(' ')
        if not name or not label.isdecimal():
            raise InputError(
                f'{copy.where}.ann_file {copy.ann_file}: line {number} is {visible(line)!r}; '
                'expected the name of an image, a blank and the number of its class'
            )


def _listed(ann_file: Path, where: str) -> list[str]:
    try:
        lines = read_list(ann_file)
    except (OSError, ValueError) as error:
        raise InputError(
            f'{where}.ann_file {ann_file} is no list of images, one in each line: {error}'
        ) from error
    if not lines:
        raise InputError(f'{where}.ann_file {ann_file} lists no image')
    for line in lines:
        # A quick look first, since lists may have a million lines.
        if (line[0] == '/' or '..' in line) and not inside(ann_file, line):
            raise InputError(
                f'{where}.ann_file {ann_file} lists {visible(line)}, which leads out of the data '
                'set; expected names inside it'
            )
    return lines


def _files(folder: Path, suffix: str) -> set[str]:
    # Without hidden files, which the data sets leave out.
    return set(list_dir_or_file(folder, list_dir=False, suffix=suffix, recursive=True))


def _check_listed(folder: Path, names: list[str], found: Iterable[str], where: str) -> None:
    if missing := sorted(set(names) - set(found)):
        raise InputError(
            f'{len(missing)} of {len(names)} files that {where}.ann_file asks for are missing: '
            f'{visible(folder / missing[0])} does not exist; complete the data set'
        )
