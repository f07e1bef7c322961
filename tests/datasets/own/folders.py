"""Small folders of data, as users have them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image


def save_image(path: Path, size: tuple[int, int] = (48, 32)) -> None:
    """Save a picture of a size (W, H)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    w, h = size
    pixels = np.arange(h * w * 3, dtype=np.uint32).reshape(h, w, 3) % 251
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def save_map(path: Path, values, size: tuple[int, int] = (48, 32), palette=None) -> None:
    """Save a label map of a size (W, H) that shows each value, or colour, in a stripe."""
    path.parent.mkdir(parents=True, exist_ok=True)
    w, h = size
    values = np.asarray(values)
    stripes = values[np.arange(w) * len(values) // w]
    image = Image.fromarray(np.broadcast_to(stripes, (h, *stripes.shape)).copy())
    if palette is not None:
        image.putpalette(np.asarray(palette, np.uint8).tobytes())
    image.save(path)


def save_pairs(root: Path, names, values, image='images/{}.jpg', label_map='masks/{}.png') -> None:
    """Save pairs of images and label maps."""
    for name in names:
        save_image(root / image.format(name))
        save_map(root / label_map.format(name), values)


def save_coco(path: Path, folder: Path, images: int, categories: dict, boxes=None) -> None:
    """Save an annotation file, with an image in a folder for each entry.

    Args:
        path: The file.
        folder: Folder of the images.
        images: How many there are; each has a box of every category in turn.
        categories: Names by id.
        boxes: Ids of the categories that have boxes; None for all.
    """
    used = list(categories) if boxes is None else boxes
    content = dict(images=[], annotations=[], categories=[])
    content['categories'] = [dict(id=key, name=name) for key, name in categories.items()]
    for number in range(images):
        name = f'{path.stem}_{number}.jpg'
        save_image(folder / name)
        content['images'].append(dict(id=number, file_name=name, width=48, height=32))
        content['annotations'].append(
            dict(
                id=number,
                image_id=number,
                category_id=used[number % len(used)],
                bbox=[4, 4, 40, 24],
                area=960,
                iscrowd=0,
            )
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
