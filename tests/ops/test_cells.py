import pytest
import torch
import torch.nn.functional as F

from mmattn.ops.cells import cell_means, grid_means, whole_cells
from mmattn.ops.precision import HALVES

SHAPES = pytest.mark.parametrize(
    'shape', [(60, 61), (13, 1), (24, 12)], ids=lambda s: 'x'.join(map(str, s))
)


@SHAPES
@pytest.mark.parametrize('size', [(1, 1), (12, 12), (20, 20), (5, 70)], ids=str)
@pytest.mark.parametrize('training', [False, True])
def test_grid_means_are_the_adaptive_pool(shape, size, training):
    x = torch.randn(2, 3, *shape, dtype=torch.float64, requires_grad=training)
    torch.testing.assert_close(grid_means(x, size), F.adaptive_avg_pool2d(x, size))


@pytest.mark.parametrize('dtype', HALVES, ids=str)
def test_grid_means_of_the_largest_values_are_finite(dtype):
    x = torch.full((1, 1, 13, 24), torch.finfo(dtype).max, dtype=dtype, requires_grad=True)
    assert grid_means(x, (5, 7)).isfinite().all()


@pytest.mark.parametrize('size', [(16, 8), (13, 6), (4, 4), (8, 23)], ids=str)
def test_cell_means_are_the_pool(size):
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(cell_means(x, 4), F.avg_pool2d(x, 4, 4))


def test_a_short_side_is_one_cell():
    x = torch.randn(2, 3, 2, 9)
    torch.testing.assert_close(cell_means(x, 4), F.avg_pool2d(x, (2, 4)))


def test_cell_means_are_alike_under_autocast():
    x = torch.randn(2, 3, 8, 8)
    with torch.autocast('cpu', torch.bfloat16):
        pooled = cell_means(x, 4)
    assert torch.equal(pooled, cell_means(x, 4))


@pytest.mark.parametrize('size', [(14, 20), (9, 6), (4, 1), (7, 7)], ids=str)
@pytest.mark.parametrize('compiling', [False, True], ids=['eager', 'compiled'])
def test_whole_cells_are_those_of_the_means(size, compiling, monkeypatch):
    monkeypatch.setattr('mmattn.ops.cells.is_compiling', lambda: compiling)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    means, inside = whole_cells(x, 7)
    assert set(inside.tolist()) <= {0, 1}
    pool = F.avg_pool2d(x, [min(7, length) for length in size]).flatten(2)
    torch.testing.assert_close(means[..., inside == 1], pool)
    assert not means[..., inside == 0].any()
    assert compiling == bool((inside == 0).any())
