"""Pascal VOC."""

import os
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from mmattn.datasets.audit.faults import (
    Fault,
    Plan,
    check_box,
    check_map,
    check_sizes,
    name_outside,
    read,
)
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
            for stem in _listed(names, plan.faults):
                maps.setdefault(stem, set()).add(year / folder / f'{stem}.png')
        for stem in sorted(annotated | maps.keys()):
            annotation = year / 'Annotations' / f'{stem}.xml' if stem in annotated else None
            image = year / 'JPEGImages' / f'{stem}.jpg'
            plan.tasks.append(partial(check_voc, image, annotation, sorted(maps.get(stem, ()))))
        for name in ('Annotations', 'SegmentationClass', 'SegmentationClassAug'):
            for path in sorted((year / name).glob('*.*')):
                image = year / 'JPEGImages' / f'{path.stem}.jpg'
                if path.stem not in annotated | maps.keys() and not os.path.exists(image):
                    plan.faults.append(Fault('missing image', f'{image}, of {path}'))
    return plan


def _is_year(folder: Path) -> bool:
    return (folder / 'JPEGImages').is_dir() and (folder / 'ImageSets').is_dir()


def _listed(path: Path, faults: list[Fault]) -> list[str]:
    """Read the names of a list, without those that lead out of the folders they are for."""
    if not path.is_file():
        return []
    try:
        stems = path.read_text().split()
    except (OSError, ValueError) as error:
        faults.append(Fault('unreadable list', f'{path}: {error}'))
        return []
    faults += [name_outside(str(path), stem) for stem in stems if not inside(path, stem)]
    return [stem for stem in stems if inside(path, stem)]


class _Tree(ElementTree.TreeBuilder):
    """Builds a tree of a file that declares nothing, such as entities that grow without bounds."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError('it has a DOCTYPE, which no annotation of Pascal VOC has')


def check_voc(path: Path, annotation: Path | None, maps: list[Path]) -> list[Fault]:
    """Check an image, its boxes and its label maps."""
    image, faults = read(path, 'image')
    for label_map in maps:
        faults += check_map(label_map, image, _LABELS)
    if annotation is None:
        return faults
    if not os.path.isfile(annotation):
        return [*faults, Fault('missing annotation', str(annotation))]
    try:
        _check_annotation(annotation, image, faults)
    # A LookupError tells of an unknown encoding.
    except (OSError, ElementTree.ParseError, LookupError, TypeError, ValueError) as error:
        faults.append(Fault('unreadable annotation', f'{annotation}: {error}'))
    return faults


def _check_annotation(path: Path, image: Image.Image | None, faults: list[Fault]) -> None:
    """Add the faults of the size and the boxes of an image, up to what cannot be read."""
    if path.stat().st_size > _LARGEST_XML:
        raise ValueError(f'it is larger than {_LARGEST_XML} bytes')
    root = ElementTree.parse(path, ElementTree.XMLParser(target=_Tree())).getroot()
    size = image.size if image else None
    if root.find('size') is not None:
        sides = (root.findtext(f'size/{side}') for side in ('width', 'height'))
        width, height = map(int, sides)  # type: ignore[arg-type]  # None is a TypeError
        if size is not None:
            faults += check_sizes(path, (width, height), size, 'in its image')
        size = width, height
    for number, thing in enumerate(root.findall('object'), 1):
        name = thing.findtext('name')
        place = f'{path}: object {number}, {name}'
        if name not in CLASSES:
            faults.append(Fault('unknown category', place))
        sides = (thing.findtext(f'bndbox/{side}') for side in ('xmin', 'ymin', 'xmax', 'ymax'))
        left, top, right, bottom = map(float, sides)  # type: ignore[arg-type]  # as above
        if size is not None:
            # Pixels count from 1, and the last one is inside.
            faults += check_box(place, (left - 1, top - 1, right, bottom), size)
