"""COCO: boxes, polygons and masks, and panoptic segmentations."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from mmattn.datasets.inspection.faults import Fault, Plan, check_box, check_sizes, read
from mmattn.errors import InputError

_TASKS = ('instances', 'person_keypoints', 'panoptic')
_TYPES = {
    'id': (int, str),
    'image_id': (int, str),
    'category_id': (int, str),
    'name': str,
    'file_name': str,
    'width': int,
    'height': int,
    'bbox': list,
    'segments_info': list,
}


@dataclass
class Description:
    """What one annotation file says about an image.

    Args:
        source: The annotation file.
        size: Width and height.
        annotations: Instances, or segments of the panoptic segmentation.
        segmentation: File of the panoptic segmentation.
    """

    source: Path
    size: tuple[int, int]
    annotations: list[dict] = field(default_factory=list)
    segmentation: Path | None = None


def plan_coco(root: Path) -> Plan:
    """Plan to look at those splits of COCO whose images are there."""
    plan = Plan()
    files = [
        (path, task, path.stem.removeprefix(f'{task}_'))
        for task in _TASKS
        for path in sorted((root / 'annotations').glob(f'{task}_*.json'))
    ]
    if not files:
        raise InputError(
            f'{root} has no annotations/instances_*.json and no annotations/panoptic_*.json; '
            'expected a copy of COCO with train2017 or val2017, and annotations'
        )
    described: dict[Path, list[Description]] = {}
    for path, task, split in files:
        folders = [f for f in (root / split, root / 'images' / split) if f.is_dir()]
        if not folders:
            plan.notes.append(f'{path} is left out: there is no folder {root / split}')
            continue
        content = _load(path, plan.faults)
        if content is not None:
            _describe(path, task, content, folders[0], described, plan.faults)
    plan.tasks = [partial(check_coco, image, about) for image, about in described.items()]
    return plan


def _load(path: Path, faults: list[Fault]) -> dict | None:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        faults.append(Fault('unreadable annotation file', f'{path}: {error}'))
        return None
    lists = ('images', 'annotations', 'categories')
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in lists
    ):
        place = f'{path}: expected the lists {", ".join(lists)}'
        faults.append(Fault('unreadable annotation file', place))
        return None
    return content


def _describe(
    path: Path,
    task: str,
    content: dict,
    folder: Path,
    described: dict[Path, list[Description]],
    faults: list[Fault],
) -> None:
    """Sort the content of a file by image, and add faults that no single image can show."""
    images = _complete(
        path, 'image', content['images'], ('id', 'file_name', 'width', 'height'), faults
    )
    categories = _complete(path, 'category', content['categories'], ('id', 'name'), faults)
    by_id = {}
    for image in images:
        by_id[image['id']] = Description(path, (image['width'], image['height']))
        described.setdefault(folder / image['file_name'], []).append(by_id[image['id']])
    known = {category['id'] for category in categories}

    _add_duplicates(f'{path}: image', (image['id'] for image in images), faults)
    _add_duplicates(f'{path}: file name', (image['file_name'] for image in images), faults)
    _add_duplicates(f'{path}: category', (category['id'] for category in categories), faults)
    sort = _sort_segmentations if task == 'panoptic' else _sort_instances
    sort(path, content['annotations'], by_id, known, faults)


def _sort_instances(
    path: Path,
    entries: list[dict],
    by_id: dict[int, Description],
    known: set[int],
    faults: list[Fault],
) -> None:
    keys = ('id', 'image_id', 'category_id', 'bbox')
    annotations = _complete(path, 'annotation', entries, keys, faults)
    _add_duplicates(f'{path}: annotation', (a['id'] for a in annotations), faults)
    for annotation in annotations:
        place = f'{path}: annotation {annotation["id"]}'
        faults += _check_category(place, annotation, known)
        about = by_id.get(annotation['image_id'])
        if about is None:
            faults.append(Fault('unknown image', f'{place}: image {annotation["image_id"]}'))
        else:
            about.annotations.append(annotation)


def _sort_segmentations(
    path: Path,
    entries: list[dict],
    by_id: dict[int, Description],
    known: set[int],
    faults: list[Fault],
) -> None:
    folder = path.with_suffix('')
    if not folder.is_dir():
        faults.append(Fault('missing folder', f'{folder}: unpack {folder.name}.zip'))
    keys = ('image_id', 'file_name', 'segments_info')
    annotations = _complete(path, 'annotation', entries, keys, faults)
    ids = [annotation['image_id'] for annotation in annotations]
    _add_duplicates(f'{path}: segmentation of image', ids, faults)
    for image_id in sorted(by_id.keys() - set(ids)):
        faults.append(Fault('missing annotation', f'{path}: segmentation of image {image_id}'))
    for annotation in annotations:
        place = f'{path}: annotation of {annotation["file_name"]}'
        keys = ('id', 'category_id', 'bbox')
        segments = _complete(path, 'segment', annotation['segments_info'], keys, faults)
        # An id of a segment counts within one image only.
        _add_duplicates(f'{place}: segment', (segment['id'] for segment in segments), faults)
        for segment in segments:
            faults += _check_category(f'{place}: segment {segment["id"]}', segment, known)
        about = by_id.get(annotation['image_id'])
        if about is None:
            faults.append(Fault('unknown image', f'{place}: image {annotation["image_id"]}'))
        else:
            about.annotations += segments
            if folder.is_dir():
                about.segmentation = folder / annotation['file_name']


def _check_category(place: str, annotation: dict, known: set[int]) -> list[Fault]:
    if annotation['category_id'] in known:
        return []
    return [Fault('unknown category', f'{place}: category {annotation["category_id"]}')]


def _complete(
    path: Path, kind: str, entries: list, keys: Iterable[str], faults: list[Fault]
) -> list[dict]:
    """Give the entries that have all keys, with values that can be worked with."""
    whole = []
    for number, entry in enumerate(entries):
        values = entry if isinstance(entry, dict) else {}
        wrong = [key for key in keys if not isinstance(values.get(key), _TYPES[key])]
        if wrong:
            name = values.get('id', f'number {number}')
            place = f'{path}: {kind} {name}: {wrong[0]} is {values.get(wrong[0])!r:.40}'
            faults.append(Fault('incomplete entry', place))
        else:
            whole.append(entry)
    return whole


def _add_duplicates(what: str, ids: Iterable, faults: list[Fault]) -> None:
    for key, count in Counter(ids).items():
        if count > 1:
            faults.append(Fault('duplicate id', f'{what} {key}, {count} times'))


def check_coco(path: Path, descriptions: list[Description]) -> list[Fault]:
    """Check an image, and what its annotations say about it."""
    image, faults = read(path, 'image')
    for about in descriptions:
        if image is not None:
            faults += check_sizes(path, image.size, about.size, f'in {about.source}')
        for annotation in about.annotations:
            place = f'{about.source}: annotation {annotation["id"]} of {path.name}'
            box = annotation['bbox']
            if not _is_box(box):
                faults.append(Fault('incomplete entry', f'{place}: bbox {box}'))
                continue
            left, top, width, height = box
            faults += check_box(place, (left, top, left + width, top + height), about.size)
            if 'segmentation' in annotation:
                faults += _check_mask(place, annotation['segmentation'], about.size)
        if about.segmentation is not None:
            faults += _check_segments(about)
    return faults


def _is_box(box: object) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(isinstance(x, (int, float)) for x in box)


def _check_mask(place: str, segmentation: object, size: tuple[int, int]) -> list[Fault]:
    if isinstance(segmentation, list):
        if not all(_is_polygon(polygon) for polygon in segmentation):
            return [Fault('broken mask', f'{place}: a polygon needs three corners or more')]
        if not any(_polygon_area(polygon) for polygon in segmentation):
            return [Fault('empty mask', place)]
        return []
    if not isinstance(segmentation, dict):
        return [Fault('broken mask', f'{place}: {segmentation!r:.40}')]

    from pycocotools import mask

    width, height = size
    if segmentation.get('size') != [height, width]:
        shown = f'{segmentation.get("size")}, expected {[height, width]}'
        return [Fault('broken mask', f'{place}: size {shown}')]
    counts = segmentation.get('counts')
    if isinstance(counts, list):
        if sum(counts) != height * width:
            pixels = f'{sum(counts)} pixels, expected {height * width}'
            return [Fault('broken mask', f'{place}: {pixels}')]
        empty = not any(counts[1::2])
    else:
        empty = not mask.area(segmentation)
    return [Fault('empty mask', place)] if empty else []


def _is_polygon(polygon: object) -> bool:
    return isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0


def _polygon_area(polygon: list[float]) -> float:
    x, y = np.array(polygon, float).reshape(-1, 2).T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def _check_segments(about: Description) -> list[Fault]:
    """Compare the segments that a panoptic segmentation shows with those that are described."""
    path = about.segmentation
    image, faults = read(path, 'panoptic segmentation')
    if image is None:
        return faults
    if image.mode != 'RGB':
        return [Fault('label map of another format', f'{path}: mode {image.mode}, expected RGB')]
    faults += check_sizes(path, image.size, about.size, f'in {about.source}')
    shown = set(np.unique(np.asarray(image).astype(np.int64) @ (1, 256, 256**2)).tolist()) - {0}
    described = {segment['id'] for segment in about.annotations}
    for key in sorted(described - shown):
        faults.append(Fault('empty mask', f'{path}: segment {key} is not shown'))
    for key in sorted(shown - described):
        faults.append(Fault('unknown segment', f'{path}: segment {key} is not described'))
    return faults
