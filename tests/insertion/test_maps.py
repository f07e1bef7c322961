"""Where the maps lie in what a module takes and returns, and how they get out and back in."""

import pytest
import torch

from mmattn.insertion.maps import find_maps

IMAGE = (256, 320)


@pytest.mark.parametrize(
    ('shape', 'layout', 'channels', 'map_shape'),
    [
        ((1, 8, 32, 40), 'NCHW', 8, (1, 8, 32, 40)),
        ((1, 32, 40, 8), 'NHWC', 8, (1, 8, 32, 40)),
        ((1, 4, 5, 64), 'NHWC', 64, (1, 64, 4, 5)),
        ((1, 64, 4, 5), 'NCHW', 64, (1, 64, 4, 5)),
    ],
)
def test_layouts_are_told_by_the_shape_of_the_image(shape, layout, channels, map_shape):
    [feature_map] = find_maps(torch.rand(shape), (), {}, IMAGE)
    assert (feature_map.layout, feature_map.channels) == (layout, channels)
    assert feature_map.map_shape == map_shape
    x = torch.rand(shape)
    y = feature_map.to_map(x, (x, (), {}))
    assert y.shape == map_shape
    assert torch.equal(feature_map.from_map(y, x), x)


def test_without_an_image_channels_come_first():
    [feature_map] = find_maps(torch.rand(1, 32, 40, 8), (), {}, None)
    assert feature_map.layout == 'NCHW'


@pytest.mark.parametrize('extra', [0, 1, 8])
def test_tokens_take_the_grid_that_is_passed_along_at_each_call(extra):
    tokens = torch.rand(1, 32 * 40 + extra, 8)
    [feature_map] = find_maps(tokens, (tokens, (32, 40)), {}, IMAGE)
    assert (feature_map.layout, feature_map.grid, feature_map.extra) == ('NLC', (32, 40), extra)
    assert feature_map.map_shape == (1, 8, 32, 40)
    later = torch.rand(2, 6 * 4 + extra, 8)
    y = feature_map.to_map(later, (later, (later, (6, 4)), {}))
    assert y.shape == (2, 8, 6, 4)
    assert torch.equal(y[0, :, 1, 2], later[0, extra + 4 + 2])
    assert torch.equal(feature_map.from_map(y, later), later)


def test_a_grid_may_lie_in_a_keyword_or_in_what_is_returned():
    tokens = torch.rand(1, 24, 8)
    for value, kwargs in ((tokens, dict(hw=(6, 4))), ([tokens, (6, 4)], {})):
        [feature_map] = find_maps(value, (), kwargs, IMAGE)
        assert feature_map.to_map(tokens, (value, (), kwargs)).shape == (1, 8, 6, 4)


def test_a_grid_that_does_not_fit_is_left_alone():
    [feature_map] = find_maps(torch.rand(1, 24, 8), ((5, 4), (8, 4)), {}, IMAGE)
    assert feature_map.extra == 4 and feature_map.grid == (5, 4)
    [feature_map] = find_maps(torch.rand(1, 24, 8), ((3, 4), (8, 4)), {}, IMAGE)
    assert not feature_map.is_known


@pytest.mark.parametrize(('tokens', 'extra'), [(64, 0), (65, 1), (72, 8)])
def test_tokens_of_a_square_image_make_a_square(tokens, extra):
    [feature_map] = find_maps(torch.rand(1, tokens, 8), (), {}, (224, 224))
    assert (feature_map.grid, feature_map.extra) == ((8, 8), extra)
    x = torch.rand(1, 100 + extra, 8)
    assert feature_map.to_map(x, (x, (), {})).shape == (1, 8, 10, 10)


@pytest.mark.parametrize(
    ('tokens', 'image'), [(64, IMAGE), (64, None), (73, (224, 224)), (3, (8, 8))]
)
def test_tokens_whose_grid_nobody_knows(tokens, image):
    [feature_map] = find_maps(torch.rand(1, tokens, 8), (), {}, image)
    assert feature_map.grid is None and not feature_map.is_known


def test_tokens_that_do_not_fill_the_grid_are_refused():
    tokens = torch.rand(1, 24, 8)
    [feature_map] = find_maps(tokens, ((6, 4),), {}, IMAGE)
    with pytest.raises(ValueError, match='expected 5 x 4 tokens and 0 ahead of them, got 24'):
        feature_map.to_map(tokens, (tokens, ((5, 4),), {}))


def test_maps_are_found_in_order_and_all_else_is_passed_over():
    x = torch.rand(1, 8, 32, 40)
    value = dict(a=[x, x.long(), 'text', x[:, :, :0]], b=(x[0, 0], x))
    found = find_maps(value, (), {}, IMAGE)
    assert [feature_map.path for feature_map in found] == [('a', 0), ('b', 1)]
