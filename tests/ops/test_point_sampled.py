import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from mmattn.ops.point_sampled import initial_offset, point_sampled


def draw(groups=2, s=2, shape=(2, 6, 3, 4), dtype=torch.float64):
    n, _, h, w = shape
    x = torch.randn(shape, dtype=dtype)
    # Up to beyond the border.
    return x, 2 * torch.randn(n, 2 * groups * s * s, h, w, dtype=dtype)


def by_loops(x, offset, s):
    """Read one number after the other, as the definition says."""
    n, c, h, w = x.shape
    groups = offset.shape[1] // (2 * s * s)
    out = torch.zeros(n, c, h * s, w * s, dtype=x.dtype)
    sides = (range(n), range(c), range(h), range(w), range(s), range(s))
    for b, channel, row, column, i, j in itertools.product(*sides):
        group = channel // (c // groups)
        along_x, along_y = (
            offset[b, ((axis * groups + group) * s + i) * s + j, row, column].item()
            for axis in (0, 1)
        )
        py = min(max(row + along_y, 0), h - 1)
        px = min(max(column + along_x, 0), w - 1)
        total = 0
        for y, a in ((math.floor(py), 1 - py % 1), (math.floor(py) + 1, py % 1)):
            for z, b_ in ((math.floor(px), 1 - px % 1), (math.floor(px) + 1, px % 1)):
                if a and b_:
                    total += a * b_ * x[b, channel, y, z].item()
        out[b, channel, s * row + i, s * column + j] = total
    return out


@pytest.mark.parametrize(('groups', 's'), [(1, 2), (2, 3), (6, 1)])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=str)
def test_is_what_its_definition_reads(groups, s, layout):
    x, offset = draw(groups, s)
    out = point_sampled(x.to(memory_format=layout), offset, s)
    torch.testing.assert_close(out, by_loops(x, offset, s))
    assert out.is_contiguous(memory_format=layout)


@pytest.mark.parametrize('s', [1, 2, 3, 4])
@pytest.mark.parametrize('groups', [1, 3])
def test_starts_as_bilinear_interpolation(groups, s):
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    offset = initial_offset(groups, s).double().expand(2, -1, 5, 7)
    expected = F.interpolate(x, scale_factor=s, mode='bilinear', align_corners=False)
    torch.testing.assert_close(point_sampled(x, offset, s), expected, rtol=0, atol=1e-6)


def test_gradients():
    x, offset = draw(2, 2, (1, 4, 2, 3))
    maps = x.requires_grad_(), offset.requires_grad_()
    torch.autograd.gradcheck(lambda *maps: point_sampled(*maps, 2), maps)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_points_of_a_half_map_are_exact(dtype):
    """At this width the points themselves would be off by a pixel in bfloat16."""
    x = torch.arange(200.0).expand(1, 4, 2, 200).to(dtype)
    offset = initial_offset(2, 2).expand(1, -1, 2, 200)
    expected = F.interpolate(x.double(), scale_factor=2, mode='bilinear', align_corners=False)
    out = point_sampled(x, offset, 2)
    assert out.dtype == dtype
    torch.testing.assert_close(out, expected.to(dtype), rtol=torch.finfo(dtype).eps, atol=1e-4)


def test_of_an_empty_batch_and_one_pixel():
    offset = initial_offset(2, 2)
    assert point_sampled(torch.ones(0, 4, 3, 2), offset.expand(0, -1, 3, 2), 2).shape == (
        0, 4, 6, 4,
    )  # fmt: skip
    x = torch.rand(1, 4, 1, 1)
    assert torch.equal(point_sampled(x, offset, 2), x.expand(1, 4, 2, 2))


def test_is_mapped_by_vmap():
    x, offset = (t[:, None] for t in draw())
    looped = [point_sampled(*maps, 2) for maps in zip(x, offset, strict=True)]
    out = torch.func.vmap(lambda *maps: point_sampled(*maps, 2))(x, offset)
    torch.testing.assert_close(out, torch.stack(looped))


@pytest.mark.parametrize('shape', [(2, 8, 6, 8), (2, 12, 3, 4), (2, 32, 3, 4), (1, 8, 3, 4)])
def test_wrong_offset(shape):
    with pytest.raises(ValueError, match=r'expected offset of shape \(2, groups \* 8, 3, 4\)'):
        point_sampled(torch.rand(2, 6, 3, 4), torch.rand(shape), 2)
