"""COCO: boxes, polygons and masks, and panoptic segmentations."""

import json
import reprlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from mmattn.datasets.audit.faults import (
    Fault,
    Plan,
    check_box,
    check_sizes,
    name_outside,
    read,
)
from mmattn.datasets.audit.run_lengths import run_lengths
from mmattn.datasets.names import inside
from mmattn.errors import InputError

_TASKS = ('instances', 'person_keypoints', 'panoptic')
# Far more than any file needs, and few enough to walk through and to hand to other processes.
_DEEPEST = 8
# Beyond every coordinate and area in pixels.
_LARGEST = 1e9


def _is_number(value: Any) -> bool:
    """Tell whether it is a number in earnest, and not NaN, infinite, or a truth value."""
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST


def _are_numbers(values: object) -> TypeGuard[list[float]]:
    return type(values) is list and all(map(_is_number, values))


def _is_side(value: object) -> bool:
    return type(value) is int and 0 < value < _LARGEST


def _is_id(value: object) -> bool:
    return type(value) in (int, str)


def _is_text(value: object) -> bool:
    return type(value) is str


_CHECKS = {
    'id': _is_id,
    'image_id': _is_id,
    'category_id': _is_id,
    'name': _is_text,
    'file_name': _is_text,
    'width': _is_side,
    'height': _is_side,
    'bbox': lambda value: type(value) is list,
    'segments_info': lambda value: type(value) is list,
}
# What annotations and segments need not have.
_OPTIONAL_CHECKS = {
    'area': lambda value: _is_number(value) and value >= 0,
    'iscrowd': lambda value: type(value) in (int, bool) and value in (0, 1),
    'keypoints': lambda value: _are_numbers(value) and len(value) % 3 == 0,
    'num_keypoints': lambda value: type(value) is int and 0 <= value < _LARGEST,
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
    except RecursionError:
        faults.append(Fault('unreadable annotation file', f'{path}: nested too deep'))
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
        name = image['file_name']
        if file := inside(folder, name):
            described.setdefault(file, []).append(by_id[image['id']])
        else:
            faults.append(name_outside(f'{path}: image {image["id"]}', name))
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
    for image_id in sorted(by_id.keys() - set(ids), key=str):
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
            about.segmentation = inside(folder, annotation['file_name'])
            if about.segmentation is None:
                faults.append(name_outside(place, annotation['file_name']))
            elif not folder.is_dir():
                about.segmentation = None


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
        wrong = [key for key in keys if not _CHECKS[key](values.get(key))]
        wrong += [
            key
            for key, is_right in _OPTIONAL_CHECKS.items()
            if 'bbox' in keys and key in values and not is_right(values[key])
        ]
        name = values['id'] if _is_id(values.get('id')) else f'number {number}'
        place = f'{path}: {kind} {name}'
        if wrong:
            # A value may be as long and as deep as it likes.
            shown = reprlib.repr(values.get(wrong[0]))
            faults.append(Fault('incomplete entry', f'{place}: {wrong[0]} is {shown}'))
        elif _is_deeper(entry, _DEEPEST):
            faults.append(Fault('incomplete entry', f'{place}: nested too deep'))
        else:
            whole.append(entry)
    return whole


def _is_deeper(value: list | dict, levels: int) -> bool:
    values = value.values() if isinstance(value, dict) else value
    inner = [x for x in values if isinstance(x, (list, dict))]
    return bool(inner) and (not levels or any(_is_deeper(x, levels - 1) for x in inner))


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
                faults.append(Fault('incomplete entry', f'{place}: bbox {reprlib.repr(box)}'))
                continue
            left, top, width, height = box
            faults += check_box(place, (left, top, left + width, top + height), about.size)
            if 'segmentation' in annotation:
                faults += _check_mask(place, annotation['segmentation'], about.size)
        if about.segmentation is not None:
            faults += _check_segments(about.segmentation, about)
    return faults


def _is_box(box: object) -> bool:
    return _are_numbers(box) and len(box) == 4


def _check_mask(place: str, segmentation: object, size: tuple[int, int]) -> list[Fault]:
    if isinstance(segmentation, list):
        if not all(_is_polygon(polygon) for polygon in segmentation):
            return [Fault('broken mask', f'{place}: a polygon needs three corners or more')]
        if not any(_polygon_area(polygon) for polygon in segmentation):
            return [Fault('empty mask', place)]
        return []
    if not isinstance(segmentation, dict):
        return [Fault('broken mask', f'{place}: {reprlib.repr(segmentation)}')]

    width, height = size
    if segmentation.get('size') != [height, width]:
        shown = f'{reprlib.repr(segmentation.get("size"))}, expected {[height, width]}'
        return [Fault('broken mask', f'{place}: size {shown}')]
    try:
        lengths = run_lengths(segmentation.get('counts'))
    except ValueError as error:
        return [Fault('broken mask', f'{place}: {error}')]
    if sum(lengths) != height * width:
        pixels = f'{sum(lengths)} pixels, expected {height * width}'
        return [Fault('broken mask', f'{place}: {pixels}')]
    return [] if any(lengths[1::2]) else [Fault('empty mask', place)]


def _is_polygon(polygon: object) -> bool:
    return _are_numbers(polygon) and len(polygon) >= 6 and len(polygon) % 2 == 0


def _polygon_area(polygon: list[float]) -> float:
    x, y = np.array(polygon, float).reshape(-1, 2).T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def _check_segments(path: Path, about: Description) -> list[Fault]:
    """Compare the segments that a panoptic segmentation shows with those that are described."""
    image, faults = read(path, 'panoptic segmentation')
    if image is None:
        return faults
    if image.mode != 'RGB':
        return [Fault('label map of another format', f'{path}: mode {image.mode}, expected RGB')]
    faults += check_sizes(path, image.size, about.size, f'in {about.source}')
    red, green, blue = np.asarray(image).transpose(2, 0, 1).astype(np.uint32)
    shown = set(np.unique(red + (green << 8) + (blue << 16)).tolist()) - {0}
    described = {segment['id'] for segment in about.annotations}
    for key in sorted(described - shown, key=str):
        faults.append(Fault('empty mask', f'{path}: segment {key} is not shown'))
    for key in sorted(shown - described):
        faults.append(Fault('unknown segment', f'{path}: segment {key} is not described'))
    return faults
