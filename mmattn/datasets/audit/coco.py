"""COCO: boxes, polygons and masks, and panoptic segmentations."""

import json
import reprlib
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from mmattn.datasets.audit.faults import Fault, Plan, name_outside
from mmattn.datasets.audit.masks import check_mask
from mmattn.datasets.audit.pixels import CHECKED, Decoder, check_sizes, read, read_image
from mmattn.datasets.audit.values import are_numbers, is_number
from mmattn.datasets.names import inside
from mmattn.datasets.synthetic.coco_categories import THINGS
from mmattn.errors import InputError

TASKS = ('instances', 'person_keypoints', 'panoptic')
# Far more than any file needs, and few enough to walk through and to hand to other processes.
_DEEPEST = 8
_NAMES = frozenset(name for group in THINGS.values() for name in group.values())


def is_id(value: object) -> bool:
    """Tell whether a value can be an id."""
    return type(value) in (int, str) or (type(value) is float and value == value)


def _is_box(box: object) -> TypeGuard[list[float]]:
    return are_numbers(box) and len(box) == 4


def is_crowd_flag(value: object) -> bool:
    """Tell whether a value says if an instance is a crowd."""
    return type(value) in (int, float, bool) and value in (0, 1)


_CHECKS = {
    'id': is_id,
    'image_id': is_id,
    'category_id': is_id,
    'name': lambda value: type(value) is str,
    'file_name': lambda value: type(value) is str,
    'width': lambda value: is_number(value) and value > 0,
    'height': lambda value: is_number(value) and value > 0,
    'isthing': lambda value: type(value) in (int, float, bool),
    'segments_info': lambda value: type(value) is list,
}


@dataclass(frozen=True)
class Use:
    """What a training does with an annotation file.

    Args:
        task: One of `TASKS`.
        is_loaded: Whether a data set reads it.
        masks: Whether the data set reads masks.
        poly2mask: Whether those may be run lengths.
        metrics: What is measured against it: 'bbox', 'segm', 'panoptic'.
        classes: Names of the categories that are read; None for all.
    """

    task: str = 'instances'
    is_loaded: bool = True
    masks: bool = True
    poly2mask: bool = True
    metrics: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None


@dataclass
class Description:
    """What one annotation file says about an image.

    Args:
        source: The annotation file.
        use: What it is used for.
        read: Ids of the categories that are read.
        things: Those of them that are things, of which boxes are read.
        size: Width and height.
        annotations: Instances, or segments of the panoptic segmentation.
        segmentation: File of the panoptic segmentation.
    """

    source: Path
    use: Use
    read: frozenset
    things: frozenset
    size: tuple[float, float]
    annotations: list[dict] = field(default_factory=list)
    segmentation: Path | None = None


Described = dict[Path, list[Description]]


def plan_coco(root: Path, classes: Collection[str] = _NAMES) -> Plan:
    """Plan to look at those splits of COCO whose images are there.

    Args:
        root: The copy.
        classes: The classes that are expected in it.
    """
    plan = Plan()
    files = [
        (path, task, path.stem.removeprefix(f'{task}_'))
        for task in TASKS
        for path in sorted((root / 'annotations').glob(f'{task}_*.json'))
    ]
    if not files:
        raise InputError(
            f'{root} has no annotations/instances_*.json and no annotations/panoptic_*.json; '
            'expected a copy of COCO with train2017 or val2017, and annotations'
        )
    described: Described = {}
    for path, task, split in files:
        folders = [f for f in (root / split, root / 'images' / split) if f.is_dir()]
        if not folders:
            plan.notes.append(f'{path} is left out: there is no folder {root / split}')
            continue
        # What is trained is not measured.
        measured = {'instances': ('bbox', 'segm'), 'panoptic': ('panoptic',)}
        use = Use(task, metrics=() if split.startswith('train') else measured.get(task, ()))
        content = load(path, plan.faults)
        if content is None:
            continue
        if task == 'instances':
            use = _note_what_differs(path, content, use, plan, classes)
        describe(path, content, folders[0], use, described, plan.faults)
    plan.tasks = [partial(check_coco, image, about) for image, about in described.items()]
    return plan


def _note_what_differs(
    path: Path, content: dict, use: Use, plan: Plan, classes: Collection[str]
) -> Use:
    """Note what only a config of one's own can train, and give what is left to look at."""
    entries = [entry for entry in content['annotations'] if isinstance(entry, dict)]
    if not entries:
        plan.notes.append(f'{path} has no annotations; a training on it has nothing to learn')
    elif not any('segmentation' in entry for entry in entries):
        plan.notes.append(f'{path} has no masks, only boxes')
        use = replace(use, masks=False, metrics=tuple(m for m in use.metrics if m != 'segm'))
    own = [
        entry['name']
        for entry in content['categories']
        if isinstance(entry, dict) and type(entry.get('name')) is str
    ]
    if own and not set(own).intersection(classes):
        plan.notes.append(f'{path} has classes of its own; name them in the config (metainfo)')
    return use


def load(path: Path, faults: list[Fault]) -> dict | None:
    """Read an annotation file, or add what is wrong with it and give None."""
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


def describe(
    path: Path,
    content: dict,
    folder: Path,
    use: Use,
    described: Described,
    faults: list[Fault],
    segmentations: Path | None = None,
    is_own: bool = False,
) -> None:
    """Sort the content of a file by image, and add faults that no single image can show.

    Args:
        path: The file.
        content: What is in it.
        folder: Where its images are.
        use: What it is used for.
        described: What is said about each image; more is added.
        faults: What is wrong; more is added.
        segmentations: Where the panoptic segmentations are; by default beside the file.
        is_own: Whether names may lead out of the folder, as they may in a training.
    """
    keys = ['id', 'file_name', 'width', 'height']
    images = _complete(path, 'image', content['images'], keys, faults)
    is_panoptic = use.task == 'panoptic'
    keys = ['id', 'name', *(['isthing'] if is_panoptic else [])]
    categories = _complete(path, 'category', content['categories'], keys, faults)
    read_ids = _categories_read(path, categories, use, faults)
    things = read_ids & {category['id'] for category in categories if category.get('isthing')}
    by_id = {}
    for image in images:
        size = image['width'], image['height']
        by_id[image['id']] = about = Description(path, use, read_ids, things, size)
        name = image['file_name']
        file = inside(folder, name)
        if file is None:
            faults.append(name_outside(f'{path}: image {image["id"]}', name, is_own))
        if file or is_own:
            described.setdefault(file or folder / name, []).append(about)

    _add_duplicates(f'{path}: image', (image['id'] for image in images), faults)
    names = [image['file_name'] for image in images]
    _add_duplicates(f'{path}: file name', names, faults, is_warning=True)
    if is_panoptic:
        folder = segmentations or path.with_suffix('')
        names_by_id = {image['id']: image['file_name'] for image in images}
        _sort_segmentations(path, content['annotations'], by_id, names_by_id, folder, faults)
    else:
        known = {category['id'] for category in categories}
        _sort_instances(path, content['annotations'], by_id, known, faults)


def _categories_read(
    path: Path, categories: list[dict], use: Use, faults: list[Fault]
) -> frozenset:
    _add_duplicates(f'{path}: category', (c['id'] for c in categories), faults)
    is_read = [use.classes is None or c['name'] in use.classes for c in categories]
    chosen = [c for c, is_one in zip(categories, is_read, strict=True) if is_one]
    # Each of them would be a class of its own.
    _add_duplicates(f'{path}: category name', (c['name'] for c in chosen), faults)
    others = [c['name'] for c, is_one in zip(categories, is_read, strict=True) if not is_one]
    if categories and not chosen:
        shown = ', '.join(map(str, use.classes or ()))
        place = f'{path}: {", ".join(others[:5])}; the config has {shown}'
        faults.append(Fault('no category is read', place))
    else:
        faults += [
            Fault('category that is not read', f'{path}: {name}', is_warning=True)
            for name in others
        ]
    return frozenset(c['id'] for c in chosen)


def _sort_instances(
    path: Path,
    entries: list,
    by_id: dict[Any, Description],
    known: Collection,
    faults: list[Fault],
) -> None:
    keys = ('id', 'image_id', 'category_id')
    annotations = _complete(path, 'annotation', entries, keys, faults)
    _add_duplicates(f'{path}: annotation', (a['id'] for a in annotations), faults)
    for annotation in annotations:
        place = f'{path}: annotation {annotation["id"]}'
        if annotation['category_id'] not in known:
            shown = f'{place}: category {annotation["category_id"]}'
            faults.append(Fault('unknown category', shown, is_warning=True))
        about = by_id.get(annotation['image_id'])
        if about is None:
            shown = f'{place}: image {annotation["image_id"]}'
            faults.append(Fault('unknown image', shown, is_warning=True))
        else:
            about.annotations.append(annotation)


def _sort_segmentations(
    path: Path,
    entries: list,
    by_id: dict[Any, Description],
    names: dict[Any, str],
    folder: Path,
    faults: list[Fault],
) -> None:
    if not folder.is_dir():
        faults.append(Fault('missing folder', f'{folder}: unpack {folder.name}.zip'))
    keys = ['image_id', 'file_name', 'segments_info']
    annotations = _complete(path, 'annotation', entries, keys, faults)
    ids = [annotation['image_id'] for annotation in annotations]
    _add_duplicates(f'{path}: segmentation of image', ids, faults)
    for image_id in sorted(by_id.keys() - set(ids), key=str):
        faults.append(Fault('missing annotation', f'{path}: segmentation of image {image_id}'))
    for annotation in annotations:
        place = f'{path}: annotation of {annotation["file_name"]}'
        keys = ['id', 'category_id']
        segments = _complete(path, 'segment', annotation['segments_info'], keys, faults)
        # An id of a segment counts within one image only.
        _add_duplicates(f'{place}: segment', (segment['id'] for segment in segments), faults)
        about = by_id.get(annotation['image_id'])
        if about is None:
            shown = f'{place}: image {annotation["image_id"]}'
            faults.append(Fault('unknown image', shown, is_warning=True))
            continue
        about.annotations += segments
        # A data set takes the name from that of the image, a metric the one that is given.
        expected = names[annotation['image_id']].replace('.jpg', '.png')
        if inside(folder, annotation['file_name']) is None:
            faults.append(name_outside(place, annotation['file_name']))
        elif annotation['file_name'] != expected:
            shown = f'{place}: expected {expected}'
            is_warning = not about.use.metrics
            faults.append(Fault('segmentation of another name', shown, is_warning))
        if folder.is_dir():
            about.segmentation = inside(folder, expected)


def _complete(
    path: Path, kind: str, entries: list, keys: Iterable[str], faults: list[Fault]
) -> list[dict]:
    """Give the entries that have all keys, with values that can be worked with."""
    whole = []
    for number, entry in enumerate(entries):
        values = entry if isinstance(entry, dict) else {}
        wrong = [key for key in keys if not _CHECKS[key](values.get(key))]
        name = values['id'] if is_id(values.get('id')) else f'number {number}'
        place = f'{path}: {kind} {name}'
        if wrong:
            faults.append(incomplete(place, wrong[0], values.get(wrong[0])))
        elif _is_deeper(entry, _DEEPEST):
            faults.append(Fault('incomplete entry', f'{place}: nested too deep'))
        else:
            whole.append(entry)
    return whole


def incomplete(place: str, key: str, value: object) -> Fault:
    """Tell of a value that is missing or cannot be worked with."""
    # A value may be as long and as deep as it likes.
    return Fault('incomplete entry', f'{place}: {key} is {reprlib.repr(value)}')


def _is_deeper(value: list | dict, levels: int) -> bool:
    values = value.values() if isinstance(value, dict) else value
    inner = [x for x in values if isinstance(x, (list, dict))]
    return bool(inner) and (not levels or any(_is_deeper(x, levels - 1) for x in inner))


def _add_duplicates(
    what: str, ids: Iterable, faults: list[Fault], is_warning: bool = False
) -> None:
    for key, count in Counter(ids).items():
        if count > 1:
            faults.append(Fault('duplicate id', f'{what} {key}, {count} times', is_warning))


def check_coco(
    path: Path, descriptions: list[Description], decoder: Decoder = CHECKED
) -> list[Fault]:
    """Check an image, and what its annotations say about it."""
    size, faults = read_image(path, decoder)
    for about in descriptions:
        if size is not None:
            faults += check_sizes(path, size, about.size, f'in {about.source}')
        faults += check_annotations(path, about)
    return faults


def check_annotations(path: Path, about: Description) -> list[Fault]:
    """Check what an annotation file says about an image."""
    faults = []
    check = {'instances': _check_instance, 'panoptic': _check_segment}
    for annotation in about.annotations:
        place = f'{about.source}: annotation {annotation["id"]} of {path.name}'
        faults += check.get(about.use.task, _check_person)(place, annotation, about)
    if about.segmentation is not None:
        faults += _check_segments(about.segmentation, about)
    return faults


def _check_instance(place: str, annotation: dict, about: Description) -> list[Fault]:
    """Check an instance: what is loaded of it, in the order of mmdet, and what is measured."""
    use, box = about.use, annotation.get('bbox')
    is_loaded = use.is_loaded and not annotation.get('ignore')
    is_measured = bool(use.metrics) and annotation['category_id'] in about.read
    if not is_loaded and not is_measured:
        return []
    if not _is_box(box):
        return [incomplete(place, 'bbox', box)]
    wrong = _wrong_values(annotation, is_loaded and _overlaps(box, about.size), is_measured)
    if wrong:
        return [incomplete(place, wrong[0], annotation.get(wrong[0]))]
    faults = _check_box(place, box, about.size)
    if is_loaded and _overlaps(box, about.size) and _is_too_small(annotation):
        faults = [Fault('box without area', f'{place}: {_show(annotation)}', is_warning=True)]
        is_loaded = False
    is_loaded &= _overlaps(box, about.size) and annotation['category_id'] in about.read
    if (is_loaded and use.masks) or (is_measured and 'segm' in use.metrics):
        faults += check_mask(place, annotation, about.size, use.poly2mask)
    return faults


def _wrong_values(annotation: dict, is_loaded: bool, is_measured: bool) -> list[str]:
    """Name the values that a loader or a metric cannot take."""
    wrong = []
    if is_measured and type(annotation['id']) is str:
        wrong.append('id')
    if (is_loaded or is_measured) and not is_number(annotation.get('area')):
        wrong.append('area')
    crowd = annotation.get('iscrowd')
    if ((is_loaded and crowd is not None) or is_measured) and not is_crowd_flag(crowd):
        wrong.append('iscrowd')
    return wrong


def _overlaps(box: list[float], size: tuple[float, float]) -> bool:
    (left, top, width, height), (image_width, image_height) = box, size
    across = min(left + width, image_width) - max(left, 0)
    down = min(top + height, image_height) - max(top, 0)
    return across > 0 and down > 0


def _is_too_small(annotation: dict) -> bool:
    return annotation['area'] <= 0 or min(annotation['bbox'][2:]) < 1


def _show(annotation: dict) -> str:
    box = ', '.join(f'{side:g}' for side in annotation['bbox'])
    return f'{box} (left, top, width, height), area {annotation["area"]:g}'


def _check_box(place: str, box: list[float], size: tuple[float, float]) -> list[Fault]:
    """Warn of a box that leaves its image; it may be rounded by less than a pixel."""
    left, top, width, height = box
    right, bottom = left + width, top + height
    shown = f'{place}: {left:g}, {top:g}, {right:g}, {bottom:g}'
    if width <= 0 or height <= 0:
        return [Fault('box without area', shown, is_warning=True)]
    if left <= -1 or top <= -1 or right >= size[0] + 1 or bottom >= size[1] + 1:
        place = f'{shown} in {size[0]:g}x{size[1]:g}'
        return [Fault('box outside its image', place, is_warning=True)]
    return []


def _check_person(place: str, annotation: dict, about: Description) -> list[Fault]:
    """Check a person with key points, whom mmpose leaves out without a box or without them."""
    box, points = annotation.get('bbox'), annotation.get('keypoints')
    if box is None or points is None:
        return [Fault('person that is left out', f'{place}: no box or no key points', True)]
    if not _is_box(box):
        return [incomplete(place, 'bbox', box)]
    if not are_numbers(points) or len(points) % 3:
        return [incomplete(place, 'keypoints', points)]
    for key, is_right in (
        ('area', is_number),
        ('iscrowd', is_crowd_flag),
        ('num_keypoints', is_number),
    ):
        if key in annotation and not is_right(annotation[key]):
            return [incomplete(place, key, annotation[key])]
    return _check_box(place, box, about.size)


def _check_segment(place: str, segment: dict, about: Description) -> list[Fault]:
    """Check a segment of a panoptic segmentation, in the order of mmdet."""
    for key, is_right in (('bbox', _is_box), ('area', is_number)):
        if not is_right(segment.get(key)):
            return [incomplete(place, key, segment.get(key))]
    if _is_too_small(segment):
        return [Fault('box without area', f'{place}: {_show(segment)}', is_warning=True)]
    if segment['category_id'] not in about.read:
        return [Fault('unknown category', f'{place}: category {segment["category_id"]}')]
    if segment['category_id'] not in about.things:
        return []
    if wrong := _wrong_values(segment, True, False):
        return [incomplete(place, wrong[0], segment[wrong[0]])]
    faults = _check_box(place, segment['bbox'], about.size)
    if segment.get('iscrowd') or _overlaps(segment['bbox'], about.size):
        return faults
    # No instance, but a panoptic segment keeps such a box, of which nothing is left then.
    return [fault._replace(is_warning=False) for fault in faults]


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
