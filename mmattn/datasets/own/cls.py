"""Images in one folder for each class."""

from collections.abc import Sequence
from pathlib import Path

from mmattn.datasets.names import visible
from mmattn.datasets.own.folders import (
    SPLITS,
    describe_files,
    divide,
    images_in,
    read_folder,
    sizes_of,
    split_of,
)
from mmattn.datasets.own.found import Found, colours, counted, listed
from mmattn.datasets.own.pairs import MASK_NAME
from mmattn.errors import InputError

# What mmpretrain's CustomDataset finds by itself.
_USUAL = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')


def find_cls(root: Path, classes: Sequence[str] | None) -> Found:
    """Find class folders.

    Args:
        root: The folder.
        classes: Names of the folders in the order of their labels, or other names for them in
            alphabetical order; None for the names of the folders.

    Raises:
        InputError: If there are none, or they cannot be read as they are.
    """
    files = read_folder(root)
    sizes, faults = sizes_of(images_in(files))
    troubles = []
    if faults:
        shown = listed([f'{path} ({fault})' for path, fault in faults.items()])
        troubles.append(f'{counted(len(faults), "unreadable image")}, left out: {shown}')
    depth, sorted_out, loose = _sort(root, list(sizes))
    if loose:
        troubles.append(
            f'{counted(len(loose), "image")} in no class folder, left out: {listed(loose)}'
        )
    folders = sorted({name for split in sorted_out.values() for name in split})
    if len(folders) < 2 or _are_pairs(folders):
        raise InputError(
            f'{visible(root)} has no class folders: {describe_files(root, files)}; expected '
            'train/NAME/*.jpg and val/NAME/*.jpg, or NAME/*.jpg, for two names or more'
            f'{_way_out(root, files)}'
        )
    names, order = _name(root, folders, classes)
    notes: list[str] = []
    splits, is_made = _divide(sorted_out, notes)
    bases = {split: _base(root, depth, by_name) for split, by_name in splits.items()}
    by_folders = not is_made and all(
        base is not None and _reads(base, splits[split], order) for split, base in bases.items()
    )
    for split, by_name in splits.items():
        if missing := [name for name in order if name not in by_name]:
            troubles.append(f'{split} has no image of {listed(missing)}')
    train = splits['train']
    fewest, most = (choose(train, key=lambda name: len(train[name])) for choose in (min, max))
    few, many = len(train[fewest]), len(train[most])
    shown = f'{few} ({visible(fewest)}) to {many} ({visible(most)})' if few < many else f'{few}'
    notes.append(f'images of each class to train on: {shown}')
    return Found(
        root=root,
        classes=names,
        palette=colours(len(names)),
        datasets={
            split: dict(data_prefix=_inside(root, base) if by_folders and base else '')
            for split, base in bases.items()
        },
        counts={split: sum(map(len, by_name.values())) for split, by_name in splits.items()},
        sizes=[sizes[path] for paths in train.values() for path in paths],
        files={}
        if by_folders
        else {split: ('.txt', _list(root, by_name, order)) for split, by_name in splits.items()},
        notes=notes,
        troubles=troubles,
    )


def _sort(
    root: Path, paths: list[Path]
) -> tuple[int, dict[str | None, dict[str, list[Path]]], list[Path]]:
    """Sort images by split and class folder, and give how deep those are and what is in none."""
    tops = {path.relative_to(root).parts[0] for path in paths if path.parent != root}
    # Splits come first, if they are all that there is.
    depth = 1 if tops and all(map(split_of, tops)) else 0
    splits: dict[str | None, dict[str, list[Path]]] = {}
    loose = []
    for path in paths:
        parts = path.relative_to(root).parts
        if len(parts) < depth + 2:
            loose.append(path)
            continue
        split = split_of(parts[0]) if depth else None
        splits.setdefault(split, {}).setdefault(parts[depth], []).append(path)
    return depth, splits, loose


def _base(root: Path, depth: int, by_name: dict[str, list[Path]]) -> Path | None:
    """Give the folder that holds the class folders of a split, if it is one."""
    paths = [path.relative_to(root) for several in by_name.values() for path in several]
    bases = {root.joinpath(*path.parts[:depth]) for path in paths}
    return bases.pop() if len(bases) == 1 else None


def _reads(base: Path, by_name: dict[str, list[Path]], order: list[str]) -> bool:
    """Tell whether CustomDataset finds the same images and labels without a list."""
    folders = sorted(path.name for path in base.iterdir() if path.is_dir())
    found = [p for name in folders for p in (base / name).rglob('*') if _is_usual(p)]
    listed_ = [path for paths in by_name.values() for path in paths]
    return folders == order and sorted(found) == sorted(listed_)


def _is_usual(path: Path) -> bool:
    return path.name[0] != '.' and path.suffix.lower() in _USUAL


def _list(root: Path, by_name: dict[str, list[Path]], order: list[str]) -> str:
    return ''.join(
        f'{path.relative_to(root).as_posix()} {label}\n'
        for label, name in enumerate(order)
        for path in by_name.get(name, [])
    )


def _inside(root: Path, folder: Path) -> str:
    path = folder.relative_to(root).as_posix()
    return '' if path == '.' else path


def _name(
    root: Path, folders: list[str], classes: Sequence[str] | None
) -> tuple[tuple[str, ...], list[str]]:
    """Give the names of the classes, and their folders in the same order."""
    if classes is None:
        return tuple(folders), folders
    if set(classes) == set(folders) and len(classes) == len(folders):
        return tuple(classes), list(classes)
    if len(classes) != len(folders):
        raise InputError(
            f'{visible(root)} has {len(folders)} class folders ({listed(folders)}), but '
            f'{len(classes)} classes are named ({listed(classes)}); give one name for each folder, '
            'in alphabetical order'
        )
    return tuple(classes), folders


def _divide(
    splits: dict[str | None, dict[str, list[Path]]], notes: list[str]
) -> tuple[dict[str, dict[str, list[Path]]], bool]:
    """Give the images of each split by class, and whether a split was made."""
    parts = {split: splits[split] for split in SPLITS if split in splits}
    if 'train' not in parts:
        only = next(iter(splits))
        parts = {'train': splits[only], **{k: v for k, v in parts.items() if k != only}}
    if 'val' not in parts and 'test' in parts:
        notes.append('splits: there is no val; test validates')
        return {'train': parts['train'], 'val': parts['test']}, False
    if 'val' in parts:
        return parts, False
    notes.append('splits: none; every fifth image of a class validates')
    halves: dict[str, dict[str, list[Path]]] = {'train': {}, 'val': {}}
    for name, paths in parts['train'].items():
        train, val = divide([str(path) for path in paths])
        if train and val:
            halves['train'][name], halves['val'][name] = ([*map(Path, x)] for x in (train, val))
        else:
            halves['train'][name] = paths
    return halves, True


def _are_pairs(folders: list[str]) -> bool:
    """Tell whether folders are called as those of images and of label maps."""
    masks = [name for name in folders if MASK_NAME.search(name)]
    return bool(masks) and all(
        name in masks or name.lower() in ('images', 'image', 'imgs', 'img', 'jpegimages')
        for name in folders
    )


def _way_out(root: Path, files: dict[str, list[Path]]) -> str:
    described = describe_files(root, files)
    if 'COCO' in described:
        return f'; for boxes: mmattn data init det --from {root}'
    if 'images' in described:
        return f'; for label maps: mmattn data init seg --from {root}'
    return ''
