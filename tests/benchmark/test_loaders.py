"""Loaders beside those of OpenMMLab."""

import numpy as np
import pytest

from mmattn.benchmark.cases import Conditions
from mmattn.benchmark.loaders import CLASSES, ROWS, SIZE
from mmattn.benchmark.measure import measure


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row.name)
def test_they_load_the_same(row):
    if 'SegMap' in row.name:
        pytest.importorskip('mmseg')
    loaded = [candidate.function() for candidate in row.build(Conditions()).candidates]
    assert loaded[0].shape[:2] == SIZE
    assert np.array_equal(*loaded)
    assert len(np.unique(loaded[0])) > CLASSES // 2


def test_nothing_is_counted_of_a_loader():
    result = measure(ROWS[0], Conditions(), timed=False)
    assert not result.failed, result.remarks
    for figures in result.figures:
        assert (figures.traffic, figures.kept, figures.difference) == (None, None, 0)
