"""Pascal VOC."""

from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from mmattn.datasets.inspection.faults import (
    Fault,
    Plan,
    check_box,
    check_map,
    check_sizes,
    read,
)
from mmattn.errors import InputError

CLASSES = {
    *('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow'),
    *('diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa'),
    *('train', 'tvmonitor'),
}
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
            for stem in _listed(year / 'ImageSets' / 'Main' / f'{split}.txt')
        }
        maps: dict[str, set[Path]] = {}
        for split, folder in _SEGMENTATION.items():
            for stem in _listed(year / 'ImageSets' / 'Segmentation' / f'{split}.txt'):
                maps.setdefault(stem, set()).add(year / folder / f'{stem}.png')
        for stem in sorted(annotated | maps.keys()):
            annotation = year / 'Annotations' / f'{stem}.xml' if stem in annotated else None
            image = year / 'JPEGImages' / f'{stem}.jpg'
            plan.tasks.append(partial(check_voc, image, annotation, sorted(maps.get(stem, ()))))
        for name in ('Annotations', 'SegmentationClass', 'SegmentationClassAug'):
            for path in sorted((year / name).glob('*.*')):
                image = year / 'JPEGImages' / f'{path.stem}.jpg'
                if path.stem not in annotated | maps.keys() and not image.exists():
                    plan.faults.append(Fault('missing image', f'{image}, of {path}'))
    return plan


def _is_year(folder: Path) -> bool:
    return (folder / 'JPEGImages').is_dir() and (folder / 'ImageSets').is_dir()


def _listed(path: Path) -> list[str]:
    return path.read_text().split() if path.is_file() else []


def check_voc(path: Path, annotation: Path | None, maps: list[Path]) -> list[Fault]:
    """Check an image, its boxes and its label maps."""
    image, faults = read(path, 'image')
    size = image.size if image else None
    for label_map in maps:
        faults += check_map(label_map, image, _LABELS)
    if annotation is None:
        return faults
    if not annotation.is_file():
        return [*faults, Fault('missing annotation', str(annotation))]
    try:
        root = ElementTree.parse(annotation).getroot()
        if root.find('size') is not None:
            described = tuple(int(root.findtext(f'size/{side}')) for side in ('width', 'height'))
            if size is not None:
                faults += check_sizes(annotation, described, size, 'in its image')
            size = described
        for number, thing in enumerate(root.findall('object'), 1):
            name = thing.findtext('name')
            place = f'{annotation}: object {number}, {name}'
            if name not in CLASSES:
                faults.append(Fault('unknown category', place))
            left, top, right, bottom = (
                float(thing.findtext(f'bndbox/{side}')) for side in ('xmin', 'ymin', 'xmax', 'ymax')
            )
            if size is not None:
                # Pixels count from 1, and the last one is inside.
                faults += check_box(place, (left - 1, top - 1, right, bottom), size)
    except (OSError, ElementTree.ParseError, TypeError, ValueError) as error:
        faults.append(Fault('unreadable annotation', f'{annotation}: {error}'))
    return faults
