"""Boxes, and outlines where there are some, in the format of COCO."""

import codecs
import difflib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmattn.datasets.names import inside, visible
from mmattn.datasets.own.coco_files import read_coco
from mmattn.datasets.own.folders import (
    SPLITS,
    describe_files,
    divide,
    read_folder,
    sizes_of,
    split_of,
)
from mmattn.datasets.own.found import Found, colours, counted, listed
from mmattn.errors import InputError


@dataclass
class Part:
    """One split.

    Args:
        path: Its annotation file.
        content: What is in it.
        images: Folder that file names begin in.
        changed: In what it differs from its file; then a new one is written beside the config.
    """

    path: Path
    content: dict
    images: Path
    changed: list[str] = field(default_factory=list)


def find_det(root: Path, classes: Sequence[str] | None) -> Found:
    """Find annotation files of COCO and their images.

    Args:
        root: The folder.
        classes: Names of those categories that are to be detected; None for all that are used.

    Raises:
        InputError: If there are none, or they cannot be read as they are.
    """
    files = read_folder(root)
    folders = _folders(root, files)
    troubles: list[str] = []
    parts = {}
    for split, (path, content) in _read_files(root, files).items():
        part = Part(path, content, _find_images(path, content, root, folders, split))
        if path.read_bytes()[:3] == codecs.BOM_UTF8:
            part.changed.append('byte order mark')
        _check_images(part, split, troubles)
        _complete(part, troubles)
        parts[split] = part
    notes = [f'annotations: {", ".join(visible(p.path.relative_to(root)) for p in parts.values())}']
    if 'train' not in parts or 'val' not in parts:
        parts = _divide(root, parts, notes)
    names = _choose(parts, classes, notes)
    used = {split: _clean(part, names, split, troubles) for split, part in parts.items()}
    if not used['train'] or not used['val']:
        split = 'train' if not used['train'] else 'val'
        raise InputError(
            f'{visible(parts[split].path)} has no box of {listed(names)}; expected boxes to '
            f'{"train on" if split == "train" else "validate with"}'
        )
    known = _names_of(parts['train'])
    boxes = Counter(known.get(a['category_id']) for a in parts['train'].content['annotations'])
    shown = ', '.join(f'{visible(name)} {boxes[name]}' for name in names[:20])
    notes.append(f'boxes to train on: {shown}')
    has_masks = all(
        a.get('segmentation') for part in parts.values() for a in part.content['annotations']
    )
    notes.append(
        'outlines: ' + ('of every object' if has_masks else 'none, or not of every object')
    )
    return Found(
        root=root,
        classes=names,
        palette=colours(len(names) + 1)[1:],
        datasets={split: _dataset(root, part) for split, part in parts.items()},
        counts={split: len(part.content['images']) for split, part in parts.items()},
        sizes=[(image['width'], image['height']) for image in parts['train'].content['images']],
        has_masks=has_masks,
        files={
            split: ('.json', json.dumps(part.content))
            for split, part in parts.items()
            if part.changed
        },
        notes=notes,
        troubles=troubles,
    )


def _folders(root: Path, files: dict[str, list[Path]]) -> list[Path]:
    """Give the folders that file names may begin in."""
    holding = {path.parent for paths in files.values() for path in paths}
    return sorted({f for x in holding for f in (x, *x.parents) if f.is_relative_to(root)})


def _read_files(root: Path, files: dict[str, list[Path]]) -> dict[str, tuple[Path, dict]]:
    """Read one annotation file for each split; 'train' stands for a file that names none."""
    found: dict[str, list[tuple[Path, dict]]] = {}
    faults = []
    for path in files.get('.json', []):
        content = read_coco(path)
        if isinstance(content, str):
            faults.append(content)
            continue
        name = path.relative_to(root).as_posix()
        found.setdefault(split_of(path.stem) or split_of(name) or 'train', []).append(
            (path, content)
        )
    if not found:
        described = describe_files(root, files)
        why = f' ({faults[0]})' if faults else ''
        raise InputError(
            f'{visible(root)} has no annotations in the format of COCO{why}: {described}; '
            f'{_way_out(root, described)}'
        )
    chosen = {}
    for split, several in found.items():
        # instances_train2017.json beside person_keypoints_train2017.json.
        best = [x for x in several if 'instances' in x[0].name.lower()] or several
        # Without annotations there is nothing to learn from, and nothing to compare with.
        best = [x for x in best if x[1]['annotations']] or best
        if len(best) > 1:
            names = listed([path.relative_to(root) for path, _ in best])
            raise InputError(
                f'{visible(root)} has several annotation files for {split}: {names}; expected one '
                'for each split, such as train.json and val.json'
            )
        [chosen[split]] = best
    if 'test' in chosen and not chosen['test'][1]['annotations'] and len(chosen) > 1:
        del chosen['test']
    return {split: chosen[split] for split in SPLITS if split in chosen}


def _way_out(root: Path, described: str) -> str:
    if 'YOLO' in described:
        return (
            'boxes as YOLO are not read: export as COCO, or convert them (mmyolo has '
            'tools/dataset_converters/yolo2coco.py)'
        )
    if 'Pascal VOC' in described:
        return (
            'boxes as Pascal VOC are not read here: convert them with '
            'tools/dataset_converters/pascal_voc.py of mmdet --out-format coco, or take a config '
            'of VOCDataset'
        )
    if 'images' in described:
        return (
            'expected files such as annotations/train.json and annotations/val.json; for label '
            f'maps: mmattn data init seg --from {root}, for class folders: mmattn data init cls '
            f'--from {root}'
        )
    return 'expected files such as annotations/train.json and annotations/val.json, and images'


def _find_images(path: Path, content: dict, root: Path, folders: list[Path], split: str) -> Path:
    """Find the folder in which the images of a file begin."""
    names = [str(image['file_name']) for image in content['images']]
    if not names:
        raise InputError(f'{visible(path)} has no images')
    sample = names[:: max(1, len(names) // 20)]
    best, most = None, 0
    # Near the file first, then what is called like the split.
    order = sorted(folders, key=lambda f: (f != path.parent, split_of(f.name) != split))
    for folder in order:
        count = sum((inside(folder, name) or Path('/nowhere')).is_file() for name in sample)
        if count > most:
            best, most = folder, count
    if best is None:
        hint = ''
        if '\\' in names[0]:
            hint = '; its names have backslashes: write / in their place'
        elif inside(root, names[0]) is None:
            hint = '; names have to lead into the folder'
        raise InputError(
            f'{visible(path)} names images that are nowhere in {visible(root)}, such as '
            f'{visible(names[0])}{hint}'
        )
    return best


def _check_images(part: Part, split: str, troubles: list[str]) -> None:
    """Leave out images that cannot be read, and take sizes from the others."""
    images = part.content['images']
    paths = {i['file_name']: inside(part.images, str(i['file_name'])) for i in images}
    present = {name: path for name, path in paths.items() if path and path.is_file()}
    sizes, _ = sizes_of(list(present.values()))
    found = {name: sizes[path] for name, path in present.items() if path in sizes}
    faults = {
        'image that is not there': [n for n in paths if n not in present],
        'unreadable image': [n for n in present if n not in found],
    }
    for what, names in faults.items():
        if names:
            plural = what.replace('image', 'images').replace('that is', 'that are')
            shown = f'1 {what}' if len(names) == 1 else f'{len(names)} {plural}'
            troubles.append(f'{split}: {shown}, left out: {listed(names)}')
    kept = []
    wrong = []
    for image in images:
        size = found.get(image['file_name'])
        if size is None:
            continue
        if (image.get('width'), image.get('height')) != size:
            wrong.append(image['file_name'])
            image = {**image, 'width': size[0], 'height': size[1]}
        kept.append(image)
    if wrong:
        troubles.append(
            f'{split}: {counted(len(wrong), "size")} in {visible(part.path.name)} differ from the '
            f'file, taken from the file: {listed(wrong)}'
        )
    if wrong or len(kept) < len(images):
        ids = {image['id'] for image in kept}
        part.content = {
            **part.content,
            'images': kept,
            'annotations': [a for a in part.content['annotations'] if a['image_id'] in ids],
        }
        part.changed.append('images')
    if not kept:
        raise InputError(f'{visible(part.path)} has no image that can be read: {troubles[-1]}')


def _complete(part: Part, troubles: list[str]) -> None:
    """Add what mmdet and pycocotools ask of every annotation."""
    changed = []
    whole = []
    for number, annotation in enumerate(part.content['annotations'], start=1):
        box = annotation['bbox']
        if not (isinstance(box, list) and len(box) == 4 and all(_is_number(x) for x in box)):
            changed.append('box')
            continue
        default: dict[str, Any] = dict(id=number, iscrowd=0, area=box[2] * box[3])
        usable = {key: value for key, value in annotation.items() if _is_usable(key, value)}
        changed += [key for key in default if key not in usable]
        whole.append({**default, **usable})
    if len({annotation['id'] for annotation in whole}) < len(whole):
        changed.append('id')
        whole = [{**annotation, 'id': i} for i, annotation in enumerate(whole, start=1)]
    for key, count in Counter(changed).items():
        done = 'without four numbers, left out' if key == 'box' else 'missing or twice, made'
        troubles.append(f'{visible(part.path.name)}: {counted(count, key)} {done}')
    if changed:
        part.content = {**part.content, 'annotations': whole}
        part.changed.append('annotations')


def _is_usable(key: str, value: object) -> bool:
    if key == 'id':
        return isinstance(value, int | str)
    if key in ('area', 'iscrowd'):
        return _is_number(value)
    return value is not None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < float('inf')


def _divide(root: Path, parts: dict[str, Part], notes: list[str]) -> dict[str, Part]:
    """Make a split where there is none."""
    if 'train' not in parts:
        only = next(iter(parts))
        parts = {'train': parts.pop(only), **parts}
    if 'val' not in parts and 'test' in parts:
        notes.append('splits: there is no val; test validates')
        return {'train': parts['train'], 'val': parts['test']}
    if 'val' in parts:
        return parts
    whole = parts['train']
    images = whole.content['images']
    if len(images) < 2:
        raise InputError(
            f'{visible(whole.path)} has {counted(len(images), "image")}; expected two or more, '
            'one to train on and one to validate'
        )
    notes.append('splits: none; every fifth image validates')
    halves = divide([image['file_name'] for image in images])
    made = {}
    for split, names in zip(('train', 'val'), map(set, halves), strict=True):
        kept = [image for image in images if image['file_name'] in names]
        ids = {image['id'] for image in kept}
        content = {
            **whole.content,
            'images': kept,
            'annotations': [a for a in whole.content['annotations'] if a['image_id'] in ids],
        }
        made[split] = Part(whole.path, content, whole.images, ['split'])
    return made


def _names_of(part: Part) -> dict[Any, str]:
    return {category['id']: str(category['name']) for category in part.content['categories']}


def _choose(
    parts: dict[str, Part], classes: Sequence[str] | None, notes: list[str]
) -> tuple[str, ...]:
    """Choose the categories, in the order of the file, which is the one that mmdet takes."""
    path = parts['train'].path
    names = list(dict.fromkeys(_names_of(parts['train']).values()))
    if classes is not None:
        for name in classes:
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                meant = f'; did you mean {close[0]}?' if close else ''
                raise InputError(
                    f'{visible(path)} has no category {visible(name)}; it has '
                    f'{", ".join(map(visible, names[:20]))}{meant}'
                )
        return tuple(name for name in names if name in classes)
    used = {
        _names_of(part).get(annotation['category_id'])
        for part in parts.values()
        for annotation in part.content['annotations']
    }
    if unused := [name for name in names if name not in used]:
        notes.append(
            f'categories that nobody uses, left out: {listed(unused)} (--classes keeps them)'
        )
    chosen = tuple(name for name in names if name in used)
    if not chosen:
        raise InputError(f'{visible(path)} has no annotation of its categories ({listed(names)})')
    return chosen


def _clean(part: Part, names: tuple[str, ...], split: str, troubles: list[str]) -> int:
    """Bring the categories of a file into one form, and count what belongs to them."""
    content, known = part.content, _names_of(part)
    annotations = [a for a in content['annotations'] if known.get(a['category_id']) in names]
    lost = [a for a in content['annotations'] if a['category_id'] not in known]
    if lost:
        troubles.append(
            f'{split}: {counted(len(lost), "annotation")} of categories that the file does not '
            f'have, left out: {listed(sorted({a["category_id"] for a in lost}, key=str))}'
        )
    mine = [c for c in content['categories'] if str(c['name']) in names]
    if [c['name'] for c in mine] != list(names) or len(known) < len(content['categories']) or lost:
        # Twice, missing, or in another order than in the file to train on.
        numbers = {name: number for number, name in enumerate(names, start=1)}
        part.content = {
            **content,
            'categories': [{'id': number, 'name': name} for name, number in numbers.items()],
            'annotations': [
                {**a, 'category_id': numbers[known[a['category_id']]]} for a in annotations
            ],
        }
        part.changed.append('categories')
    return len(annotations)


def _dataset(root: Path, part: Part) -> dict:
    folder = part.images.relative_to(root).as_posix()
    dataset: dict = dict(data_prefix=dict(img='' if folder == '.' else f'{folder}/'))
    if not part.changed:
        dataset['ann_file'] = part.path.relative_to(root).as_posix()
    return dataset
