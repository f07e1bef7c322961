"""Images with one label map each."""

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from mmengine.fileio import list_dir_or_file

from mmattn.datasets.names import visible
from mmattn.datasets.own.class_files import read_class_file
from mmattn.datasets.own.folders import SPLITS, divide, read_folder, sizes_of, split_of
from mmattn.datasets.own.found import Found, counted, listed
from mmattn.datasets.own.labels import Look, look_into, tell_labels
from mmattn.datasets.own.pairs import Pairs, find_pairs
from mmattn.errors import InputError


def find_seg(root: Path, classes: Sequence[str] | None, void: str | None) -> Found:
    """Find images and label maps, and tell what the labels mean.

    Args:
        root: The folder.
        classes: Names of the classes, in the order of their labels; None to make them up.
        void: Label, or colour as R,G,B, that means "no label"; None to tell from the maps.

    Raises:
        InputError: If there are none, or they cannot be read as they are.
    """
    files = read_folder(root)
    found = find_pairs(root, files)
    looks = look_into([pairs.map(stem) for pairs in found for stem in pairs.stems])
    sizes, faults = sizes_of([pairs.image(stem) for pairs in found for stem in pairs.stems])
    troubles = [line for pairs in found for line in pairs.troubles]
    for pairs in found:
        troubles += _leave_out_faults(pairs, looks, sizes, faults)
    kept = {pairs.map(stem): looks[pairs.map(stem)] for pairs in found for stem in pairs.stems}
    if not kept:
        raise InputError(f'{visible(root)} has no pair that can be read: {troubles[0]}')
    labels = tell_labels(kept, read_class_file(root, files), classes, void)

    parts, how = _divide(root, found, files)
    datasets, texts, counts = {}, {}, {}
    for split, (pairs, stems) in parts.items():
        datasets[split] = _dataset(root, pairs, labels.reduce_zero_label)
        if sorted(stems) != _listed_by_suffix(pairs):
            texts[split] = ''.join(f'{stem}\n' for stem in stems)
        counts[split] = len(stems)
    pairs, stems = parts['train']
    return Found(
        root=root,
        classes=labels.classes,
        palette=labels.palette,
        datasets=datasets,
        counts=counts,
        sizes=[sizes[pairs.image(stem)] for stem in stems],
        loader=labels.loader,
        files={split: ('.txt', text) for split, text in texts.items()},
        notes=[*how, *labels.notes],
        troubles=[*troubles, *labels.troubles],
    )


def _leave_out_faults(
    pairs: Pairs,
    looks: dict[Path, Look],
    sizes: dict[Path, tuple[int, int]],
    unreadable: dict[Path, str],
) -> list[str]:
    """Leave out what cannot be read, and tell of it."""
    faults: dict[str, list[str]] = {}
    kept = []
    for stem in pairs.stems:
        image, label_map = pairs.image(stem), pairs.map(stem)
        look = looks[label_map]
        if look.fault:
            faults.setdefault('unreadable label map', []).append(f'{label_map} ({look.fault})')
        elif image in unreadable:
            faults.setdefault('unreadable image', []).append(f'{image} ({unreadable[image]})')
        elif sizes[image] != look.size:
            (w, h), (map_w, map_h) = sizes[image], look.size
            place = f'{image} {w}x{h}, its label map {map_w}x{map_h}'
            faults.setdefault('pair of two sizes', []).append(place)
        else:
            kept.append(stem)
    pairs.stems = kept
    return [
        f'{counted(len(places), kind)}, left out: {listed(places)}'
        for kind, places in faults.items()
    ]


def _divide(
    root: Path, found: list[Pairs], files: dict[str, list[Path]]
) -> tuple[dict[str, tuple[Pairs, list[str]]], list[str]]:
    """Give the pairs of each split, and how they were divided."""
    by_split = {pairs.split: pairs for pairs in found if pairs.stems}
    parts = {
        split: (by_split[split], by_split[split].stems) for split in SPLITS if split in by_split
    }
    rest = by_split.get(None) if 'train' not in parts else None
    how = []
    if rest is not None and (lists := _read_lists(files, rest.stems)):
        parts = {split: (rest, stems) for split, (_, stems) in lists.items()} | parts
        names = ', '.join(visible(path.relative_to(root)) for path, _ in lists.values())
        how = [f'splits: by the lists {names}']
    elif rest is not None:
        parts['train'] = (rest, rest.stems)
    if 'train' not in parts:
        parts['train'] = parts.pop(next(iter(parts)))
    if 'val' not in parts and 'test' in parts:
        parts['val'] = parts.pop('test')
        how.append('splits: there is no val; test validates')
    if 'val' not in parts:
        pairs, stems = parts['train']
        if len(stems) < 2:
            raise InputError(
                f'{visible(root)} has {counted(len(stems), "pair")} of image and label map; '
                'expected two or more, one to train on and one to validate'
            )
        train, val = divide(stems)
        parts = {'train': (pairs, train), 'val': (pairs, val)}
        how.append('splits: none; every fifth image validates')
    return {split: parts[split] for split in SPLITS if split in parts}, how


def _read_lists(
    files: dict[str, list[Path]], stems: list[str]
) -> dict[str, tuple[Path, list[str]]]:
    """Give the splits of lists of names that fit, such as train.txt and val.txt."""
    known = {Path(stem).name: stem for stem in stems} | {stem: stem for stem in stems}
    lists: dict[str, tuple[Path, list[str]]] = {}
    for path in files.get('.txt', []):
        split = split_of(path.stem)
        if split is None or split in lists:
            continue
        words = [
            line.split()[0]
            for line in path.read_text(errors='replace').splitlines()
            if line.strip()
        ]
        names = [known.get(word) or known.get(PurePath(word).stem) for word in words]
        if names and all(names):
            lists[split] = (path, [name for name in names if name])
    return lists if 'train' in lists else {}


def _dataset(root: Path, pairs: Pairs, reduce_zero_label: bool) -> dict:
    prefix: dict[str, str] = dict(
        img_path=_inside(root, pairs.images),
        seg_map_path=_inside(root, pairs.maps),
    )
    dataset: dict[str, Any] = dict(data_prefix=prefix)
    for key, suffix, usual in zip(
        ('img_suffix', 'seg_map_suffix'), pairs.suffixes, ('.jpg', '.png'), strict=True
    ):
        if suffix != usual:
            dataset[key] = suffix
    if reduce_zero_label:
        dataset['reduce_zero_label'] = True
    return dataset


def _inside(root: Path, folder: Path) -> str:
    path = folder.relative_to(root).as_posix()
    return '' if path == '.' else path


def _listed_by_suffix(pairs: Pairs) -> list[str]:
    """Give the names that a data set finds without a list."""
    suffix = pairs.suffixes[0]
    found = list_dir_or_file(pairs.images, list_dir=False, suffix=suffix, recursive=True)
    return sorted(name.removesuffix(suffix) for name in found)
