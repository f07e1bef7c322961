"""What predictions are asked for: images, folders of them, patterns and videos."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mmattn.datasets.names import visible

_IMAGES = ('.bmp', '.gif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')
_VIDEOS = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv')


class Input(NamedTuple):
    """An image or a video.

    Args:
        path: The file.
        name: What its results are called: no two have one name.
        is_video: Whether it is a video, by the end of its name.
    """

    path: Path
    name: str
    is_video: bool


class Failure(NamedTuple):
    """What cannot be predicted.

    Args:
        path: What was asked for.
        reason: Why, in one line that names it.
    """

    path: str
    reason: str


def find_inputs(given: Sequence[str]) -> tuple[list[Input], list[Failure]]:
    """Find the files that the command line asks for, each once.

    Args:
        given: Files, folders, whose images and videos are taken, and patterns such as
            ``'photos/**/*.jpg'``.

    Returns:
        The files, in the order of the command line and within a folder or a pattern in that of
        the alphabet; and what is not there.
    """
    found: dict[str, Path] = {}
    failures = []
    for text in given:
        paths, reason = _files_of(text)
        if reason:
            failures.append(Failure(text, reason))
        for path in paths:
            found.setdefault(os.path.realpath(path), path)
    return list(_named([*found.values()])), failures


def _files_of(text: str) -> tuple[list[Path], str]:
    """Give the files of one argument, or why there are none."""
    path, shown = Path(text), visible(text)
    if path.is_dir():
        try:
            files = [child for child in sorted(path.iterdir()) if _is_known(child)]
        except OSError as error:
            return [], f'folder {shown} cannot be read ({error.strerror})'
        hint = f"to look into its subfolders, too: '{shown}/**/*.jpg', in quotes"
        return files, '' if files else f'folder {shown} has no image and no video; {hint}'
    if path.exists():
        return [path], ''
    if glob.has_magic(text):
        files = [Path(match) for match in sorted(glob.glob(text, recursive=True))]
        files = [file for file in files if file.is_file()]
        # As of a folder, unless the pattern is for an ending that is not known here.
        files = [file for file in files if _is_known(file)] or files
        return files, '' if files else f'the pattern {shown} matches no file; check it'
    return [], f'{shown} is not a file, a folder or a pattern; check the path'


def _is_known(path: Path) -> bool:
    return path.suffix.lower() in (*_IMAGES, *_VIDEOS) and path.is_file()


def _named(paths: Sequence[Path]) -> Iterator[Input]:
    """Name results by the files without their endings; a second one of a name gets a number."""
    taken: set[str] = set()
    stems = {_key(path.stem) for path in paths}
    for path in paths:
        name, number = path.stem, 1
        while _key(name) in taken or (number > 1 and _key(name) in stems):
            number += 1
            name = f'{path.stem}_{number}'
        taken.add(_key(name))
        yield Input(path, name, path.suffix.lower() in _VIDEOS)


def _key(name: str) -> str:
    """Make one of two names that some file systems, or those who read numbers, take for one."""
    return str(int(name)) if name.isascii() and name.isdecimal() else name.casefold()
