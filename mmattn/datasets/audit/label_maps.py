"""Data sets of images with one label map each: ADE20K and Cityscapes."""

import os
from collections.abc import Collection
from functools import partial
from pathlib import Path

from mmattn.datasets.audit.faults import (
    Fault,
    Plan,
    check_map,
    read,
)
from mmattn.datasets.layouts import is_full_ade20k
from mmattn.errors import InputError

_ADE20K_LABELS = range(151)
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
    stems = sorted(path.relative_to(images).with_suffix('') for path in images.rglob('*.jpg'))
    for stem in stems:
        image, label_map = images / f'{stem}.jpg', maps / f'{stem}.png'
        plan.tasks.append(partial(check_pair, image, label_map, _ADE20K_LABELS))
    for path in sorted(maps.rglob('*.png')):
        image = images / path.relative_to(maps).with_suffix('.jpg')
        if not os.path.exists(image):
            plan.faults.append(Fault('missing image', f'{image}, of {path}'))
    return plan


def plan_cityscapes(root: Path) -> Plan:
    """Plan to look at Cityscapes, or those of its splits that have labels."""
    images, maps = root / 'leftImg8bit', root / 'gtFine'
    if not images.is_dir():
        raise InputError(f'{root} has no folder leftImg8bit; expected leftImg8bit and gtFine')
    plan = Plan()
    for split in sorted(path.name for path in images.iterdir() if path.is_dir()):
        if not (maps / split).is_dir():
            plan.notes.append(f'{split} is left out: there is no folder {maps / split}')
            continue
        for image in sorted((images / split).rglob('*_leftImg8bit.png')):
            stem = image.relative_to(images).as_posix().removesuffix('_leftImg8bit.png')
            train_ids = maps / f'{stem}_gtFine_labelTrainIds.png'
            label_ids = maps / f'{stem}_gtFine_labelIds.png'
            if not os.path.exists(train_ids) and os.path.exists(label_ids):
                place = f'{train_ids}: make it with dataset_converters/cityscapes.py of mmseg'
                plan.faults.append(Fault('labelIds without labelTrainIds', place))
                plan.tasks.append(partial(check_image, image))
            else:
                plan.tasks.append(partial(check_pair, image, train_ids, _CITYSCAPES_LABELS))
        for label_map in sorted((maps / split).rglob('*_gtFine_labelTrainIds.png')):
            stem = label_map.relative_to(maps).as_posix().removesuffix('_gtFine_labelTrainIds.png')
            image = images / f'{stem}_leftImg8bit.png'
            if not os.path.exists(image):
                plan.faults.append(Fault('missing image', f'{image}, of {label_map}'))
    return plan


def check_image(path: Path) -> list[Fault]:
    """Check an image alone."""
    return read(path, 'image')[1]


def check_pair(path: Path, label_map: Path, allowed: Collection[int]) -> list[Fault]:
    """Check an image and its label map."""
    image, faults = read(path, 'image')
    return faults + check_map(label_map, image, allowed)
