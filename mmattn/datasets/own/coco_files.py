"""Annotation files in the format of COCO, wherever they lie and whatever they are called."""

import json
from pathlib import Path
from typing import Any

from mmattn.datasets.names import visible

_LISTS = ('images', 'annotations', 'categories')


def read_coco(path: Path) -> dict | str:
    """Read an annotation file, or tell why it is none of boxes in the format of COCO."""
    try:
        # With the mark that some editors write in front, which pycocotools does not take.
        content = json.loads(path.read_text(encoding='utf-8-sig'))
    except (OSError, ValueError, RecursionError) as error:
        return f'{visible(path)} cannot be read ({visible(error) or "nested too deep"})'
    return content if not (fault := _fault(content)) else f'{visible(path)} {fault}'


def is_coco(path: Path) -> bool:
    """Tell whether a file looks like COCO, by its first bytes where it is long."""
    try:
        if path.stat().st_size < 1_000_000:
            return not isinstance(read_coco(path), str)
        with path.open(encoding='utf-8-sig') as file:
            beginning = file.read(100_000)
        return any(f'"{key}"' in beginning for key in (*_LISTS, 'info', 'licenses'))
    except (OSError, ValueError):
        return False


def _fault(content: Any) -> str | None:
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in _LISTS
    ):
        keys = ', '.join(map(visible, list(content)[:4])) if isinstance(content, dict) else ''
        return f'has not the lists {", ".join(_LISTS)}' + (f' (but {keys})' if keys else '')
    for key, needed in (
        ('images', ('id', 'file_name')),
        ('categories', ('id', 'name')),
        ('annotations', ('image_id', 'category_id', 'bbox')),
    ):
        for entry in content[key]:
            values = entry if isinstance(entry, dict) else {}
            if missing := [name for name in needed if name not in values]:
                kind = (
                    'of boxes'
                    if 'caption' not in values and 'segments_info' not in values
                    else ('of boxes, but of captions or of panoptic segments')
                )
                return f'is no file {kind}: an entry of {key} has no {missing[0]}'
    return None
