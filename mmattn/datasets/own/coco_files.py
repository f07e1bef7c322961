"""Annotation files in the format of COCO, wherever they lie and whatever they are called."""

import json
import reprlib
from pathlib import Path
from typing import Any

from mmattn.datasets.names import visible
from mmattn.errors import InputError

_NEEDED: dict[str, dict[str, Any]] = {
    'images': dict(id=int | str, file_name=str),
    'annotations': dict(image_id=int | str, category_id=int | str, bbox=object),
    'categories': dict(id=int | str, name=str),
}
_LISTS = tuple(_NEEDED)


def read_coco(path: Path) -> dict | str:
    """Read an annotation file, or tell why it is none of boxes in the format of COCO.

    Raises:
        InputError: If it is no JSON, or COCO that is damaged.
    """
    try:
        # With the mark that some editors write in front, which pycocotools does not take.
        content = json.loads(path.read_text(encoding='utf-8-sig'))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f'{visible(path)} cannot be read ({visible(error) or "nested too deep"}); copy or '
            'download it again'
        ) from error
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in _LISTS
    ):
        keys = ', '.join(map(visible, list(content)[:4])) if isinstance(content, dict) else ''
        but = f' (but {keys})' if keys else ''
        return f'{visible(path)} has not the lists {", ".join(_LISTS)}{but}'
    for entry in content['annotations'][:1]:
        if isinstance(entry, dict) and ('caption' in entry or 'segments_info' in entry):
            return f'{visible(path)} has captions or panoptic segments, and no boxes'
    if fault := _fault(content):
        raise InputError(f'{visible(path)}: {fault}; correct the file, or move it away')
    return content


def is_coco(path: Path) -> bool:
    """Tell whether a file looks like COCO, by its beginning."""
    try:
        with path.open(encoding='utf-8-sig') as file:
            beginning = file.read(100_000)
    except (OSError, ValueError):
        return False
    return any(f'"{key}"' in beginning for key in ('images', 'annotations', 'categories'))


def _fault(content: dict) -> str | None:
    for key, needed in _NEEDED.items():
        for number, entry in enumerate(content[key]):
            values = entry if isinstance(entry, dict) else {}
            for name, kinds in needed.items():
                if name not in values:
                    return f'{key} {number} has no {name}'
                if not isinstance(values[name], kinds):
                    return f'{key} {number} has the {name} {visible(reprlib.repr(values[name]))}'
    return None
