"""Masks of instances, as COCO describes them."""

import reprlib
from typing import TypeGuard

import numpy as np

from mmattn.datasets.audit.faults import Fault
from mmattn.datasets.audit.run_lengths import run_lengths
from mmattn.datasets.audit.values import are_numbers


def check_mask(
    place: str, annotation: dict, size: tuple[float, float], poly2mask: bool
) -> list[Fault]:
    """Check the mask of an instance: polygons, or run lengths.

    Args:
        place: Where it stands.
        annotation: The instance.
        size: Width and height of its image.
        poly2mask: Whether run lengths are read, as the option of that name says.
    """
    segmentation = annotation.get('segmentation')
    if not segmentation:
        return [Fault('missing mask', f'{place}: segmentation is {reprlib.repr(segmentation)}')]
    if isinstance(segmentation, list):
        return _check_polygons(place, segmentation)
    if not isinstance(segmentation, dict):
        return [Fault('broken mask', f'{place}: {reprlib.repr(segmentation)}')]
    if not poly2mask and not annotation.get('iscrowd'):
        return [Fault('broken mask', f'{place}: run lengths, where poly2mask=False needs polygons')]

    width, height = size
    if segmentation.get('size') != [height, width]:
        shown = f'{reprlib.repr(segmentation.get("size"))}, expected [{height:g}, {width:g}]'
        return [Fault('broken mask', f'{place}: size {shown}')]
    try:
        lengths = run_lengths(segmentation.get('counts'))
    except ValueError as error:
        return [Fault('broken mask', f'{place}: {error}')]
    if sum(lengths) != height * width:
        pixels = f'{sum(lengths)} pixels, expected {height * width:g}'
        return [Fault('broken mask', f'{place}: {pixels}')]
    return [] if any(lengths[1::2]) else [Fault('empty mask', place, is_warning=True)]


def _check_polygons(place: str, polygons: list) -> list[Fault]:
    faults = []
    # pycocotools reads numbers that are written as texts.
    read = [_read_texts(polygon) for polygon in polygons]
    if read != polygons:
        faults.append(Fault('numbers as texts', f'{place}: segmentation', is_warning=True))
    whole = [polygon for polygon in read if _is_polygon(polygon)]
    if len(whole) < len(read):
        return [Fault('broken mask', f'{place}: a polygon needs three corners or more')]
    if not any(map(_polygon_area, whole)):
        faults.append(Fault('empty mask', place, is_warning=True))
    return faults


def _read_texts(polygon: object) -> object:
    if type(polygon) is not list or not all(type(value) is str for value in polygon):
        return polygon
    try:
        return [float(value) for value in polygon]
    except ValueError:
        return polygon


def _is_polygon(polygon: object) -> TypeGuard[list[float]]:
    return are_numbers(polygon) and len(polygon) >= 6 and len(polygon) % 2 == 0


def _polygon_area(polygon: list[float]) -> float:
    x, y = np.array(polygon, float).reshape(-1, 2).T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
