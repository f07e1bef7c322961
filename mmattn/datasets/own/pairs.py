"""Find which file is the label map of which image, by folders and names."""

import os
import re
from bisect import bisect
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mmattn.datasets.names import visible
from mmattn.datasets.own.folders import (
    describe_files,
    images_in,
    split_of,
)
from mmattn.datasets.own.found import counted, listed
from mmattn.errors import InputError

# What folders and ends of names say that label maps are called.
_MASK_WORDS = (
    'mask|masks|annotation|annotations|annot|annots|ann|anns|label|labels|labelled|labeled|gt|gts|'
    'groundtruth|seg|segs|segmentation|segmentations|segmentationclass|segmentationclassaug|'
    'target|targets|labelids|labeltrainids|gtfine|l|matte'
)
MASK_NAME = re.compile(rf'(?:^|[^a-z])(?:{_MASK_WORDS})(?=[^a-z]|$)|(?:train|val|test)annot', re.I)
_ENDS_AS_MASK = re.compile(rf'.*[_.\- ](?:{_MASK_WORDS})', re.I)
# Folders of pictures that belong to the data and are not the labels of classes.
_OTHERS = re.compile('object|instance|color|colour|overlay|preview|visual|depth|panoptic', re.I)


@dataclass
class Pairs:
    """Images and label maps of one split.

    Args:
        split: 'train', 'val', 'test', or None if no name says so.
        images: Folder of the images.
        maps: Folder of the label maps.
        suffixes: What the names of images and of maps end with, behind what they share.
        stems: What they share, below their folders.
        troubles: What has no partner, a line each.
    """

    split: str | None
    images: Path
    maps: Path
    suffixes: tuple[str, str]
    stems: list[str]
    troubles: list[str]

    def image(self, stem: str) -> Path:
        """Give the image of a pair."""
        return self.images / (stem + self.suffixes[0])

    def map(self, stem: str) -> Path:
        """Give the label map of a pair."""
        return self.maps / (stem + self.suffixes[1])


def find_pairs(root: Path, files: dict[str, list[Path]]) -> list[Pairs]:
    """Find the pairs of each split.

    Args:
        root: The folder.
        files: All that is in it, by suffix.

    Raises:
        InputError: If there are no images, no label maps, or none that fit.
    """
    paths = images_in(files)
    images, maps = _sort_out(root, [p for p in paths if not _OTHERS.search(p.parent.name)])
    if not maps or not images:
        images, maps = _sort_out(root, paths)
    if not maps or not images:
        missing = 'label maps' if images or not maps else 'images'
        raise InputError(
            f'{visible(root)} has no {missing}: {describe_files(root, files)}; '
            'expected folders such as images and masks (or annotations, labels), or files such as '
            f'a.jpg and a_mask.png{_way_out(root, files)}'
        )
    found = []
    for split in dict.fromkeys([*images, *maps]):
        if split in images and split in maps:
            found.append(_match(split, images[split], maps[split], root))
        elif split in images and split is not None:
            # A test set without labels is no trouble, but nothing can be read from it.
            continue
    if not found:
        kinds = [', '.join(str(split or 'no split') for split in side) for side in (images, maps)]
        raise InputError(
            f'{visible(root)} has images of {kinds[0]} and label maps of {kinds[1]}; expected the '
            'same splits of both, such as images/train and masks/train'
        )
    return found


def _way_out(root: Path, files: dict[str, list[Path]]) -> str:
    described = describe_files(root, files)
    for word, kind in (('COCO', 'det'), ('VOC', 'det'), ('YOLO', 'det')):
        if word in described:
            return f'; for boxes: mmattn data init {kind} --from {root}'
    return ''


def _sort_out(
    root: Path, paths: list[Path]
) -> tuple[dict[str | None, list[Path]], dict[str | None, list[Path]]]:
    """Tell images from label maps, and sort both by split."""
    images: dict[str | None, list[Path]] = {}
    maps: dict[str | None, list[Path]] = {}
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    for folder, inside in folders.items():
        name = folder.relative_to(root).as_posix()
        split = split_of(name)
        if MASK_NAME.search(name):
            maps.setdefault(split, []).extend(inside)
            continue
        by_name = {path for path in inside if _ENDS_AS_MASK.fullmatch(path.stem)}
        if not by_name and any(path.suffix.lower() in ('.jpg', '.jpeg') for path in inside):
            # a.jpg and a.png, side by side.
            stems = {p.stem for p in inside if p.suffix.lower() in ('.jpg', '.jpeg')}
            by_name = {p for p in inside if p.suffix.lower() == '.png' and p.stem in stems}
        for path in inside:
            (maps if path in by_name else images).setdefault(split, []).append(path)
    return images, maps


def _match(split: str | None, images: list[Path], maps: list[Path], root: Path) -> Pairs:
    """Match images and label maps by what their names share at the beginning."""
    image_folder, map_folder = _common(images), _common(maps)
    names = [
        sorted(p.relative_to(f).as_posix() for p in paths)
        for f, paths in ((image_folder, images), (map_folder, maps))
    ]
    best: tuple[list[str], tuple[str, str]] = ([], ('', ''))
    for suffixes in _suffixes(*names):
        ends = [
            {n.removesuffix(end) for n in side if n.endswith(end)}
            for side, end in zip(names, suffixes, strict=True)
        ]
        stems = sorted((ends[0] & ends[1]) - {''})
        if len(stems) > len(best[0]):
            best = (stems, suffixes)
    stems, suffixes = best
    if not stems:
        shown = [visible(path.relative_to(root)) for path in (images[0], maps[0])]
        raise InputError(
            f'images and label maps of {visible(root)} have names that do not fit, such as '
            f'{shown[0]} and {shown[1]}; expected names that begin alike, such as a.jpg and a.png '
            'or a.jpg and a_mask.png'
        )
    troubles = []
    for side, end, kind in zip(names, suffixes, ('image', 'label map'), strict=True):
        whole = {stem + end for stem in stems}
        if alone := [name for name in side if name not in whole]:
            other = 'label map' if kind == 'image' else 'image'
            where = f' of {split}' if split else ''
            pairs = f'(pairs are *{suffixes[0]} and *{suffixes[1]})'
            troubles.append(
                f'{counted(len(alone), kind)}{where} without {other} {pairs}, left out: '
                f'{listed(alone)}'
            )
    return Pairs(split, image_folder, map_folder, suffixes, stems, troubles)


def _common(paths: list[Path]) -> Path:
    return Path(os.path.commonpath([path.parent for path in paths]))


def _suffixes(images: list[str], maps: list[str]) -> list[tuple[str, str]]:
    """Guess what names end with, from the nearest neighbours in the alphabet."""
    votes: Counter[tuple[str, str]] = Counter()
    for name in maps[:: max(1, len(maps) // 200)]:
        place = bisect(images, name)
        for other in images[max(0, place - 2) : place + 2]:
            # The end of a name begins in front of its suffix, at the latest.
            most = min(len(_stem(other)), len(_stem(name)))
            shared = next((i for i in range(most) if other[i] != name[i]), most)
            votes[other[shared:], name[shared:]] += 1
    return [suffixes for suffixes, _ in votes.most_common(20)]


def _stem(name: str) -> str:
    return name[: -len(Path(name).suffix)]
