"""Data: loading that names the wrong file, checks of a user's copy, generated tiny sets."""

from mmattn.datasets.checks import check_data
from mmattn.datasets.generators import DATA_ROOTS, GENERATORS
from mmattn.datasets.loading import LoadImage, LoadSegMap
from mmattn.datasets.tiny_ade20k import make_tiny_ade20k
from mmattn.datasets.tiny_coco import make_tiny_coco

__all__ = [
    'DATA_ROOTS',
    'GENERATORS',
    'LoadImage',
    'LoadSegMap',
    'check_data',
    'make_tiny_ade20k',
    'make_tiny_coco',
]
