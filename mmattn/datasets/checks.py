"""Look at a user's copy of a data set before a run starts."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmattn.datasets.names import inside, visible
from mmattn.errors import InputError

# Kind of generated data, and what a copy of the real data holds, by dataset class.
_EXPECTED = {
    'ADE20KDataset': (
        'ade20k',
        'the benchmark ADEChallengeData2016 (a folder with images/training, images/validation, '
        'annotations/training and annotations/validation); get ADEChallengeData2016.zip',
    ),
    'CityscapesDataset': ('cityscapes', 'a folder with leftImg8bit and gtFine'),
    'CocoDataset': ('coco', 'a folder with train2017, val2017 and annotations'),
    'CocoPanopticDataset': (
        'coco',
        'a folder with train2017, val2017 and annotations, where annotations has '
        'panoptic_train2017.json, the folder panoptic_train2017, and the same of val2017',
    ),
    'ImageNet': ('imagenet', 'a folder with train and val, and lists of images in meta'),
    'PascalVOCDataset': (
        'voc',
        'the folder VOC2012 with JPEGImages, SegmentationClass and ImageSets/Segmentation',
    ),
    'VOCDataset': (
        'voc',
        'a folder with VOC2007 and VOC2012, each with JPEGImages, Annotations and ImageSets/Main',
    ),
}
_SUFFIXES = {'CityscapesDataset': ('_leftImg8bit.png', '_gtFine_labelTrainIds.png')}
_IMAGENET_CLASSES = 1000


def check_data(dataset: dict, name: str) -> None:
    """Check that the folders and files that a dataset config names are there.

    Data that a config reads over a network is not looked at.

    Args:
        dataset: Config of a dataset, or of a wrapper around one or several.
        name: Where it stands in the config, for the messages.

    Raises:
        InputError: If a folder or file is missing or empty, an image, a segmentation map or an
            annotation is missing, or it is another release than the one that is needed.
    """
    for where, cfg in _datasets(dataset, name):
        if '://' not in str(cfg.get('data_root')):
            _check_dataset(cfg, where)


def _datasets(cfg: dict, where: str) -> Iterator[tuple[str, dict]]:
    """Walk through wrappers such as RepeatDataset and ConcatDataset."""
    if 'dataset' in cfg:
        yield from _datasets(cfg['dataset'], f'{where}.dataset')
    elif 'datasets' in cfg:
        for i, inner in enumerate(cfg['datasets']):
            yield from _datasets(inner, f'{where}.datasets[{i}]')
    else:
        yield where, cfg


def _check_dataset(cfg: dict, where: str) -> None:
    kind = getattr(cfg['type'], '__name__', cfg['type']).split('.')[-1]
    prefixes = cfg.get('data_prefix') or {}
    if isinstance(prefixes, str):
        prefixes = {'img_path': prefixes}
    if kind == 'CityscapesDataset' and 'img' in prefixes:
        # The class of this name in mmdet reads annotations in the format of COCO.
        kind = 'detection'
    hint = _hint(kind)

    root = cfg.get('data_root')
    if root is not None and not Path(root).is_dir():
        raise InputError(f'{where}.data_root {root} is not a folder; {hint}')
    root = Path(root or '.')
    if kind == 'ADE20KDataset':
        _check_ade20k_release(root, where)

    ann_file = root / cfg['ann_file'] if cfg.get('ann_file') else None
    if kind == 'ImageNet' and cfg.get('split'):
        # What the class takes when it is given a split alone.
        prefixes = prefixes or {'img_path': cfg['split']}
        lists = root / 'meta' / f'{cfg["split"]}.txt'
        ann_file = ann_file or (lists if lists.exists() else None)
    folders = {key: root / prefix for key, prefix in prefixes.items() if prefix is not None}
    for key, folder in folders.items():
        if not folder.is_dir():
            raise InputError(f'{where}.data_prefix.{key} {folder} is not a folder; {hint}')
        if not any(folder.iterdir()):
            raise InputError(f'{where}.data_prefix.{key} {folder} is empty; {hint}')
    if ann_file and not ann_file.exists():
        raise InputError(f'{where}.ann_file {ann_file} does not exist; {hint}')

    if kind == 'VOCDataset':
        _check_voc_detection(folders.get('sub_data_root', root), ann_file, cfg, where)
    elif kind == 'ImageNet':
        _check_imagenet(folders.get('img_path', root), ann_file, where, hint)
    elif 'seg_map_path' in folders:
        suffixes = _SUFFIXES.get(kind, ('.jpg', '.png'))
        suffixes = (
            cfg.get('img_suffix', suffixes[0]),
            cfg.get('seg_map_suffix', suffixes[1]),
        )
        _check_pairs(folders['img_path'], folders['seg_map_path'], suffixes, ann_file, where)


def _hint(kind: str) -> str:
    if kind not in _EXPECTED:
        return 'set it to your copy'
    generated, expected = _EXPECTED[kind]
    return (
        f'expected {expected}, or try things out on generated data: '
        f'python tools/make_tiny_dataset.py {generated} --out DIR'
    )


def _check_ade20k_release(root: Path, where: str) -> None:
    hint = _hint('ADE20KDataset')
    if is_full_ade20k(root):
        raise InputError(f'{where}.data_root {root} is the full ADE20K release; {hint}')
    if not (root / 'annotations').is_dir() or not (root / 'images').is_dir():
        raise InputError(f'{where}.data_root {root} has no folders images and annotations; {hint}')


def is_full_ade20k(root: Path) -> bool:
    """Tell whether a folder holds the full release of ADE20K instead of the benchmark."""
    training = root / 'images' / 'training'
    return (
        any(root.glob('index_ade20k.*'))
        or (root / 'images' / 'ADE').is_dir()
        or any(training.glob('*/*/*_seg.png'))
        or any(training.glob('*_seg.png'))
    )


def _check_pairs(
    images: Path, maps: Path, suffixes: tuple[str, str], ann_file: Path | None, where: str
) -> None:
    suffix, map_suffix = suffixes
    found = _files(images, suffix)
    if ann_file and ann_file.is_file():
        stems = _listed(ann_file, where)
        _check_listed(images, [stem + suffix for stem in stems], found, where)
    else:
        stems = [name.removesuffix(suffix) for name in found]
    if not stems:
        raise InputError(f'{where}.data_prefix.img_path {images} holds no *{suffix} file')
    if missing := sorted({stem + map_suffix for stem in stems} - _files(maps, map_suffix)):
        remedy = 'complete the data set'
        unconverted = missing[0].replace('_labelTrainIds', '_labelIds')
        if unconverted != missing[0] and (maps / unconverted).exists():
            remedy = 'make it with tools/dataset_converters/cityscapes.py of mmsegmentation'
        raise InputError(
            f'{len(missing)} of {len(stems)} images in {images} have no segmentation map: '
            f'{visible(maps / missing[0])} does not exist; {remedy}'
        )


def _check_voc_detection(root: Path, ann_file: Path | None, cfg: dict, where: str) -> None:
    if ann_file is None:
        raise InputError(f'{where} has no ann_file; expected a list of images to read')
    stems = _listed(ann_file, where)
    for key, default, suffix in (
        ('img_subdir', 'JPEGImages', '.jpg'),
        ('ann_subdir', 'Annotations', '.xml'),
    ):
        folder = root / cfg.get(key, default)
        _check_listed(folder, [stem + suffix for stem in stems], _files(folder, suffix), where)


def _check_imagenet(images: Path, ann_file: Path | None, where: str, hint: str) -> None:
    if ann_file:
        # A million files are too many for a short look, but a wrong layout shows in the first one.
        first = _listed(ann_file, where)[0].rsplit(maxsplit=1)[0]
        if not os.path.exists(images / first):
            raise InputError(
                f'{where}: {ann_file} lists {visible(first)}, but {visible(images / first)} does '
                f'not exist; {hint}'
            )
        return
    classes = sum(path.is_dir() for path in images.iterdir())
    if classes != _IMAGENET_CLASSES:
        raise InputError(
            f'{where}: {images} has {classes} folders of classes, expected {_IMAGENET_CLASSES}, or '
            f'a list of images in meta; {hint}'
        )


def _listed(ann_file: Path, where: str) -> list[str]:
    try:
        lines = [line.strip() for line in ann_file.read_text().splitlines() if line.strip()]
    except ValueError as error:
        raise InputError(
            f'{where}.ann_file {ann_file} is no text ({error}); expected a list of images'
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
    return {path.relative_to(folder).as_posix() for path in folder.rglob(f'*{suffix}')}


def _check_listed(folder: Path, names: list[str], found: Iterable[str], where: str) -> None:
    if missing := sorted(set(names) - set(found)):
        raise InputError(
            f'{len(missing)} of {len(names)} files that {where}.ann_file asks for are missing: '
            f'{visible(folder / missing[0])} does not exist; complete the data set'
        )
