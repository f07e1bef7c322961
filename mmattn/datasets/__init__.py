"""Data: loading that names the wrong file, checks of a user's copy, generated tiny sets."""

from mmattn.datasets.checks import check_data
from mmattn.datasets.loading import LoadImage, LoadSegMap
from mmattn.datasets.tiny_ade20k import make_tiny_ade20k

__all__ = ['LoadImage', 'LoadSegMap', 'check_data', 'make_tiny_ade20k']
