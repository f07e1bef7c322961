"""Small drawn scenes in the layout of Pascal VOC, to try a detector or a segmentor on a CPU."""

from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
from PIL import Image

from mmattn.datasets.synthetic.scenes import (
    FIRST_THING,
    Scene,
    box,
    draw_scene,
)
from mmattn.files.whole_folder import check_arguments, whole_folder

# Labels of what is drawn, of 20; 0 is the background.
LABELS = {'aeroplane': 1, 'boat': 4, 'bottle': 5, 'car': 7, 'person': 15, 'pottedplant': 16}
IGNORED = 255
_NAMES = {'airplane': 'aeroplane', 'plant': 'pottedplant'}

# Numbers of the first image of each split, so that more images in one leave the others alone.
_FIRST = {'train': 1, 'val': 300_001, 'test': 600_001, 'aug': 600_001}


def make_tiny_voc(
    out: str | Path,
    *,
    train: int = 64,
    val: int = 16,
    seed: int = 0,
    size: tuple[int, int] = (192, 256),
) -> None:
    """Draw a small data set in the layout of the development kit of Pascal VOC.

    The same arguments give the same bytes, and more images leave the first ones as they are.
    ``out`` gets the whole data set or nothing. Six in a row show each of the six classes that are
    drawn. A crowd is marked as difficult and ignored in label maps; from the eighth on, some
    images show nothing.

    Args:
        out: New or empty folder for ``VOC2007`` and ``VOC2012``, each with ``JPEGImages``,
            ``Annotations`` and ``ImageSets/Main``. VOC2007 has a test split too; VOC2012 has
            ``ImageSets/Segmentation``, ``SegmentationClass`` and ``SegmentationClassAug``.
        train: Number of images of each ``train.txt`` and of ``aug.txt``, at least 1.
        val: Number of images of each ``val.txt`` and of ``test.txt``, at least 1.
        seed: Seed of all images, at least 0.
        size: Mean height and width of an image in pixels, at least 32; each image differs a little.

    Raises:
        InputError: If ``out`` holds something already or cannot be written, or a number is too
            small.
    """
    check_arguments(train, val, seed, size)
    with whole_folder(out) as root:
        counts = {'train': train, 'val': val, 'test': val}
        lists = _write_images(root / 'VOC2007', '', counts, (seed, 0), size)
        _write_lists(root / 'VOC2007' / 'ImageSets' / 'Main', lists)

        counts = {'train': train, 'val': val, 'aug': train}
        lists = _write_images(root / 'VOC2012', '2012_', counts, (seed, 1), size)
        augmented = lists.pop('aug')
        _write_lists(root / 'VOC2012' / 'ImageSets' / 'Main', lists)
        lists |= {'aug': augmented, 'trainaug': lists['train'] + augmented}
        _write_lists(root / 'VOC2012' / 'ImageSets' / 'Segmentation', lists)


def _write_images(
    root: Path, prefix: str, counts: dict, seed: tuple[int, int], size: tuple[int, int]
) -> dict[str, list[str]]:
    """Draw all splits of one year; give the names of the images of each."""
    folders = ('JPEGImages', 'Annotations', 'SegmentationClass', 'SegmentationClassAug')
    images, annotations, *maps = (root / name for name in folders)
    for folder in (images, annotations, *(maps if 'aug' in counts else [])):
        folder.mkdir(parents=True)
    names = {}
    for number, (split, count) in enumerate(counts.items()):
        names[split] = [f'{prefix}{_FIRST[split] + index:06d}' for index in range(count)]
        for index, name in enumerate(names[split]):
            scene = draw_scene(index, np.random.default_rng((*seed, number, index)), size)
            scene.image.save(images / f'{name}.jpg', quality=95, subsampling=0)
            _describe(scene, root.name, name).write(annotations / f'{name}.xml')
            if 'aug' in counts:
                labels = _class_map(scene)
                labels.save(maps[1] / f'{name}.png')
                if split != 'aug':
                    _with_borders(labels, scene).save(maps[0] / f'{name}.png')
    return names


def _write_lists(folder: Path, lists: dict[str, list[str]]) -> None:
    folder.mkdir(parents=True)
    for split, names in {**lists, 'trainval': lists['train'] + lists['val']}.items():
        (folder / f'{split}.txt').write_text(''.join(f'{name}\n' for name in names))


def _describe(scene: Scene, year: str, name: str) -> ElementTree.ElementTree:
    root = ElementTree.Element('annotation')
    width, height = scene.image.size
    _add(root, dict(folder=year, filename=f'{name}.jpg'))
    _add(
        root, dict(size=dict(width=width, height=height, depth=3), segmented=int(year == 'VOC2012'))
    )
    for thing, mask in zip(scene.things, scene.masks(), strict=True):
        left, top, right, bottom = box(mask)
        cut = left == 0 or top == 0 or right == width or bottom == height
        # Pixels count from 1, and the last one is inside.
        place = dict(xmin=left + 1, ymin=top + 1, xmax=right, ymax=bottom)
        _add(
            root,
            dict(
                object=dict(
                    name=_NAMES.get(thing.name, thing.name),
                    pose='Unspecified',
                    truncated=int(cut),
                    difficult=int(thing.crowd),
                    bndbox=place,
                )
            ),
        )
    ElementTree.indent(root)
    return ElementTree.ElementTree(root)


def _add(parent: ElementTree.Element, content: dict) -> None:
    for key, value in content.items():
        child = ElementTree.SubElement(parent, key)
        if isinstance(value, dict):
            _add(child, value)
        else:
            child.text = str(value)


def _class_map(scene: Scene) -> Image.Image:
    labels = np.zeros(scene.labels.shape, np.uint8)
    for thing, mask in zip(scene.things, scene.masks(), strict=True):
        labels[mask] = IGNORED if thing.crowd else LABELS[_NAMES.get(thing.name, thing.name)]
    return Image.fromarray(labels)


def _with_borders(labels: Image.Image, scene: Scene) -> Image.Image:
    """Ignore a line around each thing, and colour the labels as the benchmark does."""
    things = scene.labels.clip(FIRST_THING - 1).astype(np.uint8)
    pixels = np.array(labels)
    pixels[cv2.dilate(things, np.ones((3, 3), np.uint8)) != things] = IGNORED
    coloured = Image.fromarray(pixels)
    coloured.putpalette(_palette().tobytes())
    return coloured


def _palette() -> np.ndarray:
    """Spread the bits of a label over red, green and blue, from the highest bits down."""
    labels = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= ((labels >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return colours
