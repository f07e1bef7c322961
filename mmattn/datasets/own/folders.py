"""Walk through a folder of data: its images, their sizes, and which split a name means."""

import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mmattn.datasets.headers import open_image
from mmattn.datasets.names import visible
from mmattn.errors import InputError

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm', '.gif')
_SPLIT_WORDS = {
    'train': ('train', 'training', 'trainval'),
    'val': ('val', 'valid', 'validation', 'dev'),
    'test': ('test', 'testing'),
}
SPLITS = tuple(_SPLIT_WORDS)
# A picture that is shown turned by a quarter, by its EXIF data.
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)
# Every fifth one validates where nobody has said which ones.
_EVERY = 5


def read_folder(root: Path) -> dict[str, list[Path]]:
    """Give all files below a folder by their suffixes, sorted, without the hidden ones.

    Raises:
        InputError: If it is not a folder, or holds no file.
    """
    if not root.is_dir():
        raise InputError(f'{visible(root)} is not a folder; give the folder of your data')
    files: dict[str, list[Path]] = {}
    seen = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        inner[:] = sorted(name for name in inner if name[0] != '.' and name != '__MACOSX')
        # A link may lead back.
        if (real := os.path.realpath(folder)) in seen:
            inner.clear()
            continue
        seen.add(real)
        for name in sorted(names):
            if name[0] != '.':
                path = Path(folder, name)
                files.setdefault(path.suffix.lower(), []).append(path)
    if not files:
        raise InputError(f'{visible(root)} is empty; give the folder of your data')
    return files


def images_in(files: dict[str, list[Path]]) -> list[Path]:
    """Give those files that are images by their names."""
    return sorted(path for suffix in IMAGE_SUFFIXES for path in files.get(suffix, []))


def split_of(name: str) -> str | None:
    """Tell which split a name means: 'train', 'val', 'test', or None.

    Example:
        >>> split_of('instances_train2017'), split_of('valid'), split_of('trainannot')
        ('train', 'val', 'train')
    """
    for word in re.findall('[a-z]+', name.lower()):
        for split, words in _SPLIT_WORDS.items():
            if word in words:
                return split
    for word in re.findall('[a-z]+', name.lower()):
        for split in SPLITS:
            # As in trainannot or valmasks; no word of other meanings begins like this.
            if re.match(f'{split}(annot|ann|mask|label|image|img|gt|set|json|coco)', word):
                return split
    return None


def divide(names: list[str]) -> tuple[list[str], list[str]]:
    """Divide names into those to train on and those that validate, every fifth one."""
    names = sorted(names)
    val = names[_EVERY - 1 :: _EVERY] or names[-1:]
    train = [name for name in names if name not in set(val)]
    return train, val


def map_files(function: Callable[[Path], Any], paths: Iterable[Path]) -> list:
    """Apply a function to files on all cores: decoders work outside of Python."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, paths))


def sizes_of(paths: list[Path]) -> tuple[dict[Path, tuple[int, int]], dict[Path, str]]:
    """Give the sizes (W, H) of images by their headers, and why others cannot be read."""
    looks = dict(zip(paths, map_files(_size, paths), strict=True))
    sizes = {path: look for path, look in looks.items() if not isinstance(look, str)}
    return sizes, {path: look for path, look in looks.items() if isinstance(look, str)}


def _size(path: Path) -> tuple[int, int] | str:
    try:
        with open_image(path) as image:
            w, h = image.size
            return (h, w) if image.getexif().get(_ORIENTATION) in _TURNED else (w, h)
    # A decoder that is given any bytes may raise anything.
    except Exception as error:
        return ' '.join(str(error).split()) or type(error).__name__


def describe_files(root: Path, files: dict[str, list[Path]]) -> str:
    """Say what files a folder holds, and what they look like."""
    from mmattn.datasets.own.coco_files import is_coco

    parts = []
    if images := images_in(files):
        folders = sorted({path.parent.relative_to(root).as_posix() for path in images})
        shown = ', '.join(map(visible, folders[:4])) + (', ...' if folders[4:] else '')
        parts.append(f'{len(images)} images (in {shown})')
    coco = [path for path in files.get('.json', []) if is_coco(path)]
    if coco:
        parts.append(f'COCO annotations ({visible(coco[0].relative_to(root))})')
    elif files.get('.json'):
        parts.append(f'{len(files[".json"])} .json files that are not COCO')
    if any('annotation' in head(path) for path in files.get('.xml', [])[:3]):
        parts.append(f'{len(files[".xml"])} .xml files (boxes as Pascal VOC)')
    if yolo := [path for path in files.get('.txt', []) if is_yolo(path)]:
        parts.append(f'{len(yolo)} .txt files (boxes as YOLO)')
    if not parts:
        kinds = ', '.join(
            f'{len(paths)} *{suffix or " without suffix"}'
            for suffix, paths in sorted(files.items())[:5]
        )
        parts.append(f'no image ({kinds})')
    return ', '.join(parts)


def head(path: Path) -> str:
    """Give the beginning of a text file, or nothing if it is none."""
    try:
        with path.open(encoding='utf-8-sig') as file:
            return file.read(2000)
    except (OSError, ValueError):
        return ''


def is_yolo(path: Path) -> bool:
    """Tell whether a file has boxes as YOLO writes them: class x y w h, in parts of the image."""
    lines = [line.split() for line in head(path).splitlines()[:3] if line.strip()]
    try:
        return bool(lines) and all(
            len(line) >= 5 and line[0].isdigit() and all(0 <= float(x) <= 1 for x in line[1:5])
            for line in lines
        )
    except ValueError:
        return False
