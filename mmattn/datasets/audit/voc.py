"""Pascal VOC."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from mmattn.datasets.audit.faults import (
    Fault,
    Plan,
    name_outside,
)
from mmattn.datasets.audit.pixels import CHECKED, Decoder, check_map, check_sizes, read_image
from mmattn.datasets.lists import read_list
from mmattn.datasets.names import inside
from mmattn.errors import InputError

CLASSES = {
    *('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow'),
    *('diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa'),
    *('train', 'tvmonitor'),
}
# What describes one image has a few kilobytes.
_LARGEST_XML = 2**24
_LABELS = (*range(21), 255)
# Lists of the segmentation task, with the folder of their label maps. Most copies have no
# SegmentationClassAug and no lists that ask for it.
_SEGMENTATION = {
    'train': 'SegmentationClass',
    'val': 'SegmentationClass',
    'trainval': 'SegmentationClass',
    'aug': 'SegmentationClassAug',
}


@dataclass(frozen=True)
class Boxes:
    """How the boxes of an annotation are read.

    Args:
        classes: Names of the classes.
        least: Width and height below which a box is ignored, or None.
        is_own: Whether a file may have a DOCTYPE, as it may in a training.
    """

    classes: Collection[str] = field(default_factory=lambda: CLASSES)
    least: float | None = None
    is_own: bool = False


def plan_voc(root: Path) -> Plan:
    """Plan to look at VOCdevkit, or at one year of it."""
    years = [path for path in (root, root / 'VOC2007', root / 'VOC2012') if _is_year(path)]
    if not years:
        raise InputError(
            f'{root} is no copy of Pascal VOC; expected VOC2007 or VOC2012 in it, with JPEGImages '
            'and ImageSets'
        )
    plan = Plan()
    for year in years:
        annotated = {
            stem
            for split in ('train', 'val', 'trainval', 'test')
            for stem in _listed(year / 'ImageSets' / 'Main' / f'{split}.txt', plan.faults)
        }
        maps: dict[str, set[Path]] = {}
        for split, folder in _SEGMENTATION.items():
            names = year / 'ImageSets' / 'Segmentation' / f'{split}.txt'
            for stem in map(str.strip, _listed(names, plan.faults)):
                maps.setdefault(stem, set()).add(year / folder / f'{stem}.png')
        for stem in sorted(annotated | maps.keys()):
            annotation = year / 'Annotations' / f'{stem}.xml' if stem in annotated else None
            image = year / 'JPEGImages' / f'{stem}.jpg'
            plan.tasks.append(partial(check_voc, image, annotation, sorted(maps.get(stem, ()))))
        for name in ('Annotations', 'SegmentationClass', 'SegmentationClassAug'):
            for path in sorted((year / name).glob('*.*')):
                image = year / 'JPEGImages' / f'{path.stem}.jpg'
                is_hidden = path.name.startswith('.')
                is_listed = path.stem in annotated | maps.keys()
                if not is_hidden and not is_listed and not os.path.exists(image):
                    place = f'{image}, of {path}'
                    plan.faults.append(Fault('missing image', place, is_warning=True))
    return plan


def _is_year(folder: Path) -> bool:
    return (folder / 'JPEGImages').is_dir() and (folder / 'ImageSets').is_dir()


def _listed(path: Path, faults: list[Fault]) -> list[str]:
    """Read the names of a list, without those that lead out of the folders they are for."""
    if not path.is_file():
        return []
    try:
        stems = read_list(path)
    except (OSError, ValueError) as error:
        faults.append(Fault('unreadable list', f'{path}: {error}'))
        return []
    if not stems:
        faults.append(Fault('empty list', str(path)))
    faults += [name_outside(str(path), stem) for stem in stems if not inside(path, stem)]
    return [stem for stem in stems if inside(path, stem)]


class _Tree(ElementTree.TreeBuilder):
    """Builds a tree of a file that declares nothing, such as entities that grow without bounds."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError('it has a DOCTYPE, which no annotation of Pascal VOC has')


def check_voc(path: Path, annotation: Path | None, maps: list[Path]) -> list[Fault]:
    """Check an image, its boxes and its label maps."""
    size, faults = read_image(path)
    for label_map in maps:
        faults += check_map(label_map, size, _LABELS)
    return faults + (check_boxes(annotation, size, Boxes()) if annotation else [])


def check_detection(
    path: Path, annotation: Path, boxes: Boxes, decoder: Decoder = CHECKED
) -> list[Fault]:
    """Check an image and its boxes."""
    size, faults = read_image(path, decoder)
    return faults + check_boxes(annotation, size, boxes)


def check_boxes(path: Path, size: tuple[int, int] | None, boxes: Boxes) -> list[Fault]:
    """Check the annotation of an image of a size (W, H)."""
    faults: list[Fault] = []
    try:
        if not path.is_file():
            return [Fault('missing annotation', str(path))]
        _add_faults(path, size, boxes, faults)
    # A LookupError tells of an unknown encoding, an OverflowError of an infinite number.
    except (OSError, SyntaxError, LookupError, TypeError, ValueError, OverflowError) as error:
        faults.append(Fault('unreadable annotation', f'{path}: {error}'))
    return faults


def _add_faults(
    path: Path, size: tuple[int, int] | None, boxes: Boxes, faults: list[Fault]
) -> None:
    """Add the faults of the size and the boxes of an image, up to what cannot be read."""
    if path.stat().st_size > _LARGEST_XML:
        raise ValueError(f'it is larger than {_LARGEST_XML} bytes')
    target = ElementTree.TreeBuilder() if boxes.is_own else _Tree()
    root = ElementTree.parse(path, ElementTree.XMLParser(target=target)).getroot()
    if root.find('size') is not None:
        sides = (root.findtext(f'size/{side}') for side in ('width', 'height'))
        width, height = map(int, sides)  # type: ignore[arg-type]  # None is a TypeError
        if size is not None:
            faults += check_sizes(path, (width, height), size, 'in its image')
        size = width, height
    for number, thing in enumerate(root.findall('object'), 1):
        name = thing.findtext('name')
        place = f'{path}: object {number}, {name}'
        if thing.find('name') is None:
            raise ValueError(f'object {number} has no name')
        if name not in boxes.classes:
            faults.append(Fault('unknown category', place, is_warning=True))
            continue
        is_ignored = int(thing.findtext('difficult', '0')) != 0
        sides = (thing.findtext(f'bndbox/{side}') for side in ('xmin', 'ymin', 'xmax', 'ymax'))
        box = [int(float(side)) - 1 for side in sides]  # type: ignore[arg-type]  # as above
        if boxes.least is not None:
            is_ignored |= min(box[2] - box[0], box[3] - box[1]) < boxes.least
        if size is not None:
            faults += _check_box(place, box, size, is_ignored)


def _check_box(place: str, box: list[int], size: tuple[int, int], is_ignored: bool) -> list[Fault]:
    """Check a box (left, top, right, bottom) as it is loaded, which may leave its image a bit."""
    left, top, right, bottom = box
    width, height = size
    shown = f'{place}: {left}, {top}, {right}, {bottom}'
    if right <= left or bottom <= top:
        return [Fault('box without area', shown, is_ignored)]
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        return [Fault('box outside its image', f'{shown} in {width}x{height}', is_ignored)]
    if left < -1 or top < -1 or right > width or bottom > height:
        return [Fault('box outside its image', f'{shown} in {width}x{height}', is_warning=True)]
    return []
