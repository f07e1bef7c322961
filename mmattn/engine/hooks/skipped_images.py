"""How many images a training had to do without."""

from typing import Any

from mmattn.datasets.loading import LoadImage


def count_skips(dataset: Any) -> int:
    """Count the images that ``LoadImage`` left out of a data set, and of those that it wraps."""
    wrapped = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    own = sum(transform.skips for transform in transforms if isinstance(transform, LoadImage))
    return own + sum(count_skips(each) for each in wrapped if each is not None)
