"""The classes that a config names, and those that its data have."""

import difflib
import json
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mmengine.registry import DATASETS

from mmattn.datasets.checks import datasets_in
from mmattn.datasets.layouts import Copy
from mmattn.datasets.names import first_of, visible
from mmattn.errors import InputError

# What is read of a JSON file behind the word "categories".
_LONGEST = 1 << 24
_FIRST = 100
# Those whose data sets take a string of classes for the name of a file.
_PACKAGES = ('mmengine', 'mmdet', 'mmseg', 'mmpretrain', 'mmpose')


def check_classes(dataset: dict, where: str, scope: str | None) -> Iterator[str]:
    """Check the classes of data sets before they are built.

    Args:
        dataset: Config of a dataset, or of a wrapper around one or several.
        where: Where it stands in the whole config, for the messages.
        scope: Scope of the whole config.

    Yields:
        What may be meant like this, but deserves a warning.

    Raises:
        InputError: If classes are a string that names no file, the data have none of them or have
            one by nearly the same name, or there are colours or folders for another number.
    """
    for place, cfg in datasets_in(dataset, where):
        with DATASETS.switch_scope_and_registry(cfg.get('_scope_', scope)) as registry:
            kind = cfg.get('type')
            kind = registry.get(kind) if isinstance(kind, str) else kind
        key, classes = _given(cfg, place)
        package = getattr(kind, '__module__', '').partition('.')[0]
        if isinstance(classes, str):
            if package in _PACKAGES:
                _check_file(classes, key)
            continue
        bases = [f'{base.__module__.partition(".")[0]}.{base.__name__}' for base in _mro(kind)]
        names = classes or getattr(kind, 'METAINFO', {}).get('classes')
        if 'mmseg.BaseSegDataset' in bases:
            _check_subset(classes, key, kind)
            _check_palette(cfg, classes, place, kind)
        elif 'mmdet.CocoDataset' in bases and names and kind.__name__ == 'CocoDataset':
            yield from _compare_with_categories(cfg, list(names), key, place)
        elif 'mmattn.COCOCategoryDataset' in bases and names:
            # The first is the background.
            yield from _compare_with_categories(cfg, list(names[1:]), key, place)
        elif kind is not None and kind.__name__ == 'CustomDataset' and classes:
            yield from _compare_with_folders(cfg, list(classes), key, place)


def explain_empty(dataset: dict, where: str) -> str:
    """Say which data set has no sample, and why, as far as its config and its files tell.

    Args:
        dataset: Config of a dataset, or of a wrapper around one or several, in the scope that is
            the default now.
        where: Where it stands in the whole config.

    Raises:
        InputError: As :func:`check_classes`.
    """
    for _ in check_classes(dataset, where, None):
        pass
    inside = list(datasets_in(dataset, where))
    place, cfg = next((each for each in inside if not inside[1:] or _is_empty(each[1])), inside[0])
    copy = Copy(cfg, place, '')
    read = copy.ann_file or next(iter(copy.folders.values()), copy.root)
    because = ''
    if (cfg.get('filter_cfg') or {}).get('filter_empty_gt'):
        because = ', and filter_cfg.filter_empty_gt leaves out images without an annotation'
        if names := _names_in_xml(copy):
            because += f' of its classes; the first ones have {first_of(names)}'
    return f'{place} is empty: nothing is left of {read}{because}; check it, and what filters it'


def _is_empty(cfg: dict) -> bool:
    try:
        return not len(DATASETS.build(cfg))
    except ValueError:
        return True


def _names_in_xml(copy: Copy) -> list[str]:
    """Give the names of objects in the first annotations of Pascal VOC."""
    subdir = copy.cfg.get('ann_subdir', 'Annotations')
    folder = copy.folders.get('sub_data_root', copy.root) / subdir
    names: dict[str, None] = {}
    for path in sorted(folder.glob('*.xml'))[:_FIRST]:
        try:
            found = ElementTree.parse(path).iterfind('object/name')
        except (OSError, ElementTree.ParseError):
            continue
        names.update(dict.fromkeys(str(element.text) for element in found))
    return list(names)


def categories_of(path: Path) -> list[str] | None:
    """Give the names of the categories of a COCO file, in its order, without reading all of it.

    Returns:
        The names, or None if they are not found in the file.
    """
    try:
        with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            at = text.find(b'"categories"')
            while at >= 0:
                begin = text.find(b':', at) + 1
                found = _list_at(text[begin : begin + _LONGEST].decode('utf-8', 'ignore').lstrip())
                if found is not None:
                    return found
                at = text.find(b'"categories"', at + 1)
    except (OSError, ValueError):
        # An empty file cannot be mapped; whoever reads it says more.
        pass
    return None


def _list_at(text: str) -> list[str] | None:
    try:
        categories, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return None
    listed = isinstance(categories, list) and all(isinstance(c, dict) for c in categories)
    names = [category.get('name') for category in categories] if listed else []
    return names if names and all(isinstance(name, str) for name in names) else None


def _mro(kind: Any) -> Sequence[type]:
    return kind.__mro__ if isinstance(kind, type) else ()


def _given(cfg: dict, place: str) -> tuple[str, Any]:
    """Give the classes that a config names, and the key that they stand at."""
    metainfo = cfg.get('metainfo') or {}
    # mmpretrain has an option of this name, too, which metainfo goes before.
    if 'classes' not in metainfo and cfg.get('classes') is not None:
        return f'{place}.classes', cfg['classes']
    return f'{place}.metainfo.classes', metainfo.get('classes')


def _check_file(classes: str, key: str) -> None:
    if '://' not in classes and not os.path.isfile(os.path.expanduser(classes)):
        raise InputError(
            f'{key}={classes!r} is a string, and no file of that name is there; one class is '
            f'({classes!r},) with a comma'
        )


def _check_subset(classes: Sequence[str] | None, key: str, kind: Any) -> None:
    own = kind.METAINFO.get('classes')
    if classes and own:
        for name in classes:
            if name not in own:
                raise InputError(
                    f'{key} has {visible(name)!r}, which {kind.__name__} does not have; classes of '
                    f'your own are read by BaseSegDataset{_nearest(name, own)}'
                )


def _check_palette(cfg: dict, classes: Sequence[str] | None, place: str, kind: Any) -> None:
    palette = (cfg.get('metainfo') or {}).get('palette')
    # Of some of the classes of a data set, all of its colours.
    is_cut = bool(kind.METAINFO.get('classes')) and len(palette or ()) >= len(classes or ())
    if palette and classes and len(palette) != len(classes) and not is_cut:
        raise InputError(
            f'{place}.metainfo.palette has {len(palette)} colours for {len(classes)} classes; give '
            'one for each, or leave it out'
        )


def _compare_with_categories(cfg: dict, classes: list[str], key: str, place: str) -> Iterator[str]:
    ann_file = Copy(cfg, place, '').ann_file
    found = categories_of(ann_file) if ann_file and '://' not in str(ann_file) else None
    if found is None:
        return
    missing = [name for name in classes if name not in found]
    has = f'{ann_file} has {first_of(found)}'
    if len(missing) == len(classes):
        raise InputError(
            f'{key}: none of the classes {first_of(classes)} is in the data; {has}; set {key} and '
            'num_classes to what is meant'
        )
    left = [name for name in found if name not in classes]
    for name in missing:
        if near := next((other for other in left if _is_misspelt(name, other)), None):
            raise InputError(
                f'{key} has {visible(name)!r}, and {ann_file} has {visible(near)!r}; write it as '
                'the file does'
            )
    if missing:
        near = _nearest(missing[0], left)
        yield f'{key}: the data have no {first_of(missing)}; {has}{near}'
    elif [name for name in found if name in classes] != classes:
        yield (
            f'{key} has another order than the categories of {ann_file}, which labels are numbered '
            f'by: results will be shown with the wrong names; write {first_of(found)}'
        )


def _compare_with_folders(cfg: dict, classes: list[str], key: str, place: str) -> Iterator[str]:
    if cfg.get('ann_file') or not cfg.get('with_label', True):
        return
    folder = next(iter(Copy(cfg, place, '').folders.values()), Path(cfg.get('data_root') or '.'))
    if '://' in str(folder) or not folder.is_dir():
        return
    found = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if len(found) != len(classes):
        raise InputError(
            f'{key} has {len(classes)} classes ({first_of(classes)}), and {folder} has '
            f'{len(found)} folders ({first_of(found)}); expected one for each'
        )
    if sorted(classes) == found and classes != found:
        yield (
            f'{key} has another order than the folders of {folder}, which labels are numbered by: '
            f'results will be shown with the wrong names; write {first_of(found)}'
        )


def _is_misspelt(name: str, other: str) -> bool:
    """Tell whether two names are so near that nobody has a class by each of them."""
    name, other = _plain(name), _plain(other)
    if [*filter(str.isdigit, name)] != [*filter(str.isdigit, other)]:
        return False  # They are numbered.
    changed = sum(a != b for a, b in zip(name, other, strict=False))
    if len(name) == len(other) > 5 and changed <= 2:
        return True
    return difflib.SequenceMatcher(None, name, other).ratio() >= 0.9


def _plain(name: str) -> str:
    return name.casefold().replace('_', ' ').replace('-', ' ').strip()


def _nearest(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f'; did you mean {visible(close[0])!r}?' if close else ''
