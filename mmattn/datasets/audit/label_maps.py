"""Data sets of images with one label map each: ADE20K, CamVid and Cityscapes."""

import os
from collections.abc import Collection
from functools import partial
from pathlib import Path

from mmengine.fileio import list_dir_or_file
from PIL import Image

from mmattn.datasets.audit.faults import Fault, Plan
from mmattn.datasets.audit.pixels import check_map, read_image
from mmattn.datasets.layouts import is_full_ade20k
from mmattn.errors import InputError

_ADE20K_LABELS = range(151)
# Void is 11 in the files, and 255 in copies that were made for mmseg.
_CAMVID_LABELS = (*range(12), 255)
_CITYSCAPES_LABELS = (*range(19), 255)


def plan_ade20k(root: Path) -> Plan:
    """Plan to look at ADEChallengeData2016, or a part of it."""
    if is_full_ade20k(root):
        raise InputError(
            f'{root} is the full ADE20K release; expected the benchmark ADEChallengeData2016, '
            'get ADEChallengeData2016.zip'
        )
    images, maps = root / 'images', root / 'annotations'
    for folder in (images, maps):
        if not folder.is_dir():
            raise InputError(
                f'{root} has no folder {folder.name}; expected ADEChallengeData2016 with '
                'images and annotations'
            )
    plan = Plan()
    for stem in stems_in(images, '.jpg'):
        image, label_map = images / f'{stem}.jpg', maps / f'{stem}.png'
        plan.tasks.append(partial(check_pair, image, label_map, _ADE20K_LABELS))
    plan.faults += [*others_in(images, '.jpg'), *without_image(images, '.jpg', maps, '.png')]
    return plan


def plan_camvid(root: Path) -> Plan:
    """Plan to look at CamVid, or those of its splits that have labels."""
    plan = Plan()
    splits = [split for split in ('train', 'val', 'test') if (root / split).is_dir()]
    if not splits:
        raise InputError(f'{root} has no folder train, val or test; expected CamVid of SegNet')
    for split in splits:
        images, maps = root / split, root / f'{split}annot'
        if not maps.is_dir():
            plan.notes.append(f'{split} is left out: there is no folder {maps}')
            continue
        for stem in stems_in(images, '.png'):
            pair = images / f'{stem}.png', maps / f'{stem}.png'
            plan.tasks.append(partial(check_pair, *pair, _CAMVID_LABELS))
        plan.faults += [*others_in(images, '.png'), *without_image(images, '.png', maps, '.png')]
    return plan


def plan_cityscapes(root: Path) -> Plan:
    """Plan to look at Cityscapes, or those of its splits that have labels."""
    images, maps = root / 'leftImg8bit', root / 'gtFine'
    if not images.is_dir():
        raise InputError(f'{root} has no folder leftImg8bit; expected leftImg8bit and gtFine')
    plan = Plan()
    suffix, map_suffix = '_leftImg8bit.png', '_gtFine_labelTrainIds.png'
    for split in sorted(path.name for path in images.iterdir() if path.is_dir()):
        if not (maps / split).is_dir():
            plan.notes.append(f'{split} is left out: there is no folder {maps / split}')
            continue
        for stem in stems_in(images / split, suffix):
            image = images / split / f'{stem}{suffix}'
            train_ids = maps / split / f'{stem}{map_suffix}'
            label_ids = maps / split / f'{stem}_gtFine_labelIds.png'
            if not os.path.exists(train_ids) and os.path.exists(label_ids):
                place = f'{train_ids}: make it with dataset_converters/cityscapes.py of mmseg'
                plan.faults.append(Fault('labelIds without labelTrainIds', place))
                plan.tasks.append(partial(check_image, image))
            else:
                plan.tasks.append(partial(check_pair, image, train_ids, _CITYSCAPES_LABELS))
        plan.faults += others_in(images / split, suffix)
        plan.faults += without_image(images / split, suffix, maps / split, map_suffix)
    return plan


def stems_in(folder: Path, suffix: str) -> list[str]:
    """List what a data set reads in a folder and those inside, without the suffix.

    Hidden files and links that lead nowhere are not read, as mmengine does.
    """
    names = list_dir_or_file(folder, list_dir=False, suffix=suffix, recursive=True)
    return sorted(name.removesuffix(suffix) for name in names)


def others_in(folder: Path, suffix: str) -> list[Fault]:
    """Warn of images in a folder that are not read, for their names end otherwise."""
    names = sorted(list_dir_or_file(folder, list_dir=False, recursive=True))
    others = [name for name in names if not name.endswith(suffix)]
    extension = os.path.splitext(f'x{suffix}')[1].lower()
    alike = {'.jpg', '.jpeg'} if extension in ('.jpg', '.jpeg') else {extension}
    if len(others) == len(names):
        # Nothing is read: perhaps the images are of another format.
        alike = set(Image.registered_extensions())
    return [
        Fault('image that is not read', f'{folder / name}: only *{suffix} are', is_warning=True)
        for name in others
        if os.path.splitext(name)[1].lower() in alike
    ]


def without_image(images: Path, suffix: str, maps: Path, map_suffix: str) -> list[Fault]:
    """Warn of label maps without an image."""
    return [
        Fault('missing image', f'{images / stem}{suffix}, of {maps / stem}{map_suffix}', True)
        for stem in stems_in(maps, map_suffix)
        if not os.path.exists(images / f'{stem}{suffix}')
    ]


def check_image(path: Path) -> list[Fault]:
    """Check an image alone."""
    return read_image(path)[1]


def check_pair(path: Path, label_map: Path, allowed: Collection[int]) -> list[Fault]:
    """Check an image and its label map."""
    size, faults = read_image(path)
    return faults + check_map(label_map, size, allowed)
