"""Small drawn scenes in the layout of COCO 2017, to try a detector on a CPU."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmattn.datasets.synthetic.coco_categories import STUFF, THINGS
from mmattn.datasets.synthetic.scenes import (
    FIRST_THING,
    GROUND,
    KEYPOINTS,
    SKY,
    Scene,
    Thing,
    box,
    draw_scene,
)
from mmattn.files.whole_folder import check_arguments, whole_folder

_CATEGORY_IDS = {
    name: number for group in (*THINGS.values(), *STUFF.values()) for number, name in group.items()
}
# What the annotations call what is drawn.
_NAMES = {'plant': 'potted plant', 'grass': 'grass-merged', 'sky': 'sky-other-merged'}

# Pairs of keypoints that a line joins, counted from 1, see https://cocodataset.org/#format-data
_SKELETON = [
    *([16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9]),
    *([8, 10], [9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7]),
]


def make_tiny_coco(
    out: str | Path,
    *,
    train: int = 64,
    val: int = 16,
    seed: int = 0,
    size: tuple[int, int] = (120, 160),
    first: str | None = None,
) -> None:
    """Draw a small data set in the layout of COCO 2017.

    The same arguments give the same bytes, and more images leave the first ones as they are.
    ``out`` gets the whole data set or nothing. Six in a row show each of the six categories that
    are drawn; some images show a crowd, and from the eighth on some show nothing. Polygons and
    boxes enclose exactly what is visible.

    Args:
        out: New or empty folder for ``{train,val}2017/*.jpg``, and for
            ``annotations/{instances,panoptic,person_keypoints}_{train,val}2017.json`` and
            ``annotations/panoptic_{train,val}2017/*.png``.
        train: Number of images to train on, at least 1.
        val: Number of images to validate on, at least 1.
        seed: Seed of all images, at least 0.
        size: Mean height and width of an image in pixels, at least 32; each image differs a little.
        first: What each image shows that does not show nothing, such as ``'stop sign'``; None for
            the six by turns.

    Raises:
        InputError: If ``out`` holds something already or cannot be written, or a number is too
            small.
    """
    check_arguments(train, val, seed, size)
    with whole_folder(out) as root:
        _write_split(root, 'train2017', train, 1, (seed, 0), size, first)
        # An id names one image of both splits, as in COCO.
        _write_split(root, 'val2017', val, 500_001, (seed, 1), size, first)


def _write_split(
    root: Path,
    split: str,
    count: int,
    first_id: int,
    seed: tuple[int, int],
    size: tuple[int, int],
    first: str | None,
) -> None:
    images, panoptic = root / split, root / 'annotations' / f'panoptic_{split}'
    images.mkdir(parents=True)
    panoptic.mkdir(parents=True)
    entries, segmentations, persons = [], [], []
    instances: list[dict] = []
    for index in range(count):
        scene = draw_scene(index, np.random.default_rng((*seed, index)), size, first)
        image_id = first_id + index
        name = f'{image_id:012d}'
        scene.image.save(images / f'{name}.jpg', quality=95, subsampling=0)
        entries.append(
            dict(
                id=image_id,
                file_name=f'{name}.jpg',
                width=scene.image.width,
                height=scene.image.height,
                license=1,
            )
        )
        segments, ids = _segments(scene)
        Image.fromarray(_as_rgb(ids)).save(panoptic / f'{name}.png')
        segmentations.append(
            dict(image_id=image_id, file_name=f'{name}.png', segments_info=segments)
        )
        for thing, mask in zip(scene.things, scene.masks(), strict=True):
            instance = dict(id=len(instances) + 1, image_id=image_id, **_describe(thing.name, mask))
            instance['iscrowd'] = int(thing.crowd)
            instance['segmentation'] = _run_lengths(mask) if thing.crowd else list(_polygons(mask))
            instances.append(instance)
            if thing.name == 'person':
                persons.append({**instance, **_keypoints(thing, mask)})

    things = [
        dict(id=number, name=name, supercategory=group)
        for group, names in THINGS.items()
        for number, name in names.items()
    ]
    stuff: list[dict] = [
        dict(id=number, name=name, supercategory=group)
        for group, names in STUFF.items()
        for number, name in names.items()
    ]
    segment_kinds = [
        *({**category, 'isthing': 1} for category in things),
        *({**category, 'isthing': 0} for category in sorted(stuff, key=lambda c: c['id'])),
    ]
    person = {**things[0], 'keypoints': KEYPOINTS, 'skeleton': _SKELETON}
    for task, annotations, categories in (
        ('instances', instances, things),
        ('panoptic', segmentations, segment_kinds),
        ('person_keypoints', persons, [person]),
    ):
        content = dict(
            info=dict(description='Drawn scenes in the layout of COCO 2017', version='1.0'),
            licenses=[dict(id=1, name='Drawn by a program', url='')],
            images=entries,
            annotations=annotations,
            categories=categories,
        )
        with open(root / 'annotations' / f'{task}_{split}.json', 'w') as file:
            json.dump(content, file)


def _describe(name: str, mask: np.ndarray) -> dict:
    left, top, right, bottom = box(mask)
    return dict(
        category_id=_CATEGORY_IDS[_NAMES.get(name, name)],
        bbox=[left, top, right - left, bottom - top],
        area=int(mask.sum()),
    )


def _segments(scene: Scene) -> tuple[list[dict], np.ndarray]:
    """Give the ``segments_info`` of a scene, and the segment of each pixel, 0 for none."""
    ids = np.zeros(scene.labels.shape, np.int64)
    segments = []
    shown = [(SKY, Thing('sky')), (GROUND, Thing(scene.ground))]
    shown += [(FIRST_THING + k, thing) for k, thing in enumerate(scene.things)]
    for label, thing in shown:
        mask = scene.labels == label
        if mask.any():
            # An id that needs all three bytes, as most of COCO do.
            segment_id = label * 70_001
            ids[mask] = segment_id
            segments.append(
                dict(id=segment_id, iscrowd=int(thing.crowd), **_describe(thing.name, mask))
            )
    return segments, ids


def _as_rgb(ids: np.ndarray) -> np.ndarray:
    return np.stack([ids >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)


def _run_lengths(mask: np.ndarray) -> dict:
    """Count pixels outside and inside by turns, down one column after the other."""
    pixels = mask.T.ravel()
    turns = np.flatnonzero(np.diff(pixels, prepend=False, append=not pixels[-1]))
    return dict(size=list(mask.shape), counts=np.diff(turns, prepend=0).tolist())


def _polygons(mask: np.ndarray) -> Iterator[list[int]]:
    """Trace a mask along the edges of its pixels, as x, y, x, y ... of each piece."""
    # Contours run through the centres of pixels. Of pixels twice as fine, those centres stand a
    # quarter of a pixel inside of the corners, to which they are rounded.
    fine = mask.astype(np.uint8).repeat(2, 0).repeat(2, 1)
    contours, tree = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    holes = [
        contour for contour, (*_, parent) in zip(contours, tree[0], strict=True) if parent >= 0
    ]
    if holes:
        # A polygon has no holes, so the mask is cut in two through the first one.
        cut = int(holes[0][:, 0, 0].mean()) // 2 + 1
        left = np.arange(mask.shape[1]) < cut
        for half in (mask & left, mask & ~left):
            yield from _polygons(half)
        return
    for contour in contours:
        corners = (contour[:, 0] + 1) // 2
        yield corners[(corners != np.roll(corners, 1, 0)).any(1)].ravel().tolist()


def _keypoints(thing: Thing, mask: np.ndarray) -> dict:
    """Give x, y and visibility of each keypoint: 0 not in the image, 1 hidden, 2 seen."""
    keypoints = np.zeros((len(KEYPOINTS), 3), int)
    if thing.keypoints is not None:
        places = np.floor(thing.keypoints).astype(int)
        inside = ((places >= 0) & (places < mask.shape[::-1])).all(1)
        keypoints[inside, :2] = places[inside]
        x, y = places[inside].T
        keypoints[inside, 2] = 1 + mask[y, x]
    return dict(
        keypoints=keypoints.ravel().tolist(), num_keypoints=int((keypoints[:, 2] > 0).sum())
    )
