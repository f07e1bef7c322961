"""Each kind of picture has in it what it was given, and all of it can be read."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mmattn.inspection import pictures
from mmattn.inspection.gates import Seen
from mmattn.inspection.pictures import ROWS, draw_blend, kind_of, pages
from tests.inspection.drawn import collisions, texts_of

C, H, W = 6, 5, 7
RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, (20, 28, 3), dtype=np.uint8)


def array(*shape):
    return RANDOM.random(shape).astype(np.float32)


def seen(gates, **others):
    fields = dict(
        site='backbone.layer2.0.conv2.eca',
        type='ECA',
        call=1,
        index=0,
        averaged=False,
        before=[array(H, W)],
        after=array(H, W) * 2,
        channels=C,
        blend=None,
        image=IMAGE,
        maps=1,
    )
    return Seen(gates=gates, **{**fields, **others})


def page(*rows, title='photo.jpg'):
    [figure] = pages(rows, title)
    return figure


def panel(figure, title):
    [ax] = [ax for ax in figure.axes if ax.get_title() == title]
    return ax


def data(image):
    return np.asarray(image.get_array())


def bar_of(figure, image):
    """The colour bar of an image, which tells its scale."""
    assert image.colorbar.ax in figure.axes
    return image.colorbar


@pytest.mark.parametrize(
    ('shape', 'kind'),
    [
        ((C, 1, 1), 'bars'),
        ((C, H, 1), 'rows'),
        ((C, 1, W), 'columns'),
        ((1, H, W), 'map'),
        ((C, H, W), 'map'),
    ],
)
def test_the_shape_tells_the_kind(shape, kind):
    assert kind_of(np.zeros(shape)) == kind


@pytest.mark.parametrize('averaged', [False, True])
def test_rows_and_columns_are_strips_and_one_map_over_the_image(averaged):
    rows, columns = array(C, H, 1), array(C, 1, W)
    figure = page(seen(dict(rows=rows, columns=columns), averaged=averaged))
    ax = panel(figure, 'rows + columns' if averaged else 'rows x columns')
    [below, over] = ax.images
    np.testing.assert_allclose(data(below), IMAGE.mean(2))
    whole = np.stack([rows + np.zeros((C, H, W)), columns + np.zeros((C, H, W))])
    whole = whole.mean(0) if averaged else whole[0] * whole[1]
    np.testing.assert_allclose(data(over), whole.mean(0), rtol=1e-6)
    # It lies on the image, all of it.
    assert over.get_extent() == below.get_extent() == [0, 28, 20, 0]
    strips = [strip.images[0] for strip in ax.child_axes]
    np.testing.assert_allclose(data(strips[0]), rows.mean(0), rtol=1e-6)
    np.testing.assert_allclose(data(strips[1]), columns.mean(0), rtol=1e-6)
    assert strips[0].get_clim() == strips[1].get_clim()
    word = 'mean' if averaged else 'product'
    assert bar_of(figure, over).ax.get_ylabel() == f'image: {word}'
    labels = {ax.get_ylabel() for ax in figure.axes}
    assert 'strips: factor, channel mean' in labels
    assert collisions(figure) == []


@pytest.mark.parametrize(('name', 'shape'), [('rows', (C, H, 1)), ('columns', (C, 1, W))])
def test_one_direction_alone(name, shape):
    gate = array(*shape)
    figure = page(seen({name: gate}))
    ax = panel(figure, name)
    np.testing.assert_allclose(data(ax.images[1]), gate.mean(0), rtol=1e-6)
    [strip] = ax.child_axes
    np.testing.assert_allclose(data(strip.images[0]), gate.mean(0), rtol=1e-6)
    assert collisions(figure) == []


def test_channels_are_bars_from_the_largest_on():
    gate = array(C, 1, 1)
    figure = page(seen(dict(channel=gate)))
    ax = panel(figure, 'channel')
    [bars] = ax.patches
    np.testing.assert_array_equal(bars.get_data().values, sorted(gate.ravel(), reverse=True))
    assert bars.get_data().baseline == 0
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [f'mean {gate.mean():.3g}']
    assert (ax.get_xlabel(), ax.get_ylabel()) == ('6 channels, sorted', 'factor')
    assert collisions(figure) == []


@pytest.mark.parametrize(
    ('name', 'channels', 'label'),
    [
        ('spatial', 1, 'factor'),
        ('spatial', C, 'factor, channel mean'),
        ('attention', 1, 'share'),
    ],
)
def test_a_map_lies_over_the_image(name, channels, label):
    gate = array(channels, H, W)
    figure = page(seen({name: gate}))
    over = panel(figure, name).images[1]
    np.testing.assert_allclose(data(over), gate.mean(0), rtol=1e-6)
    assert over.get_extent() == [0, 28, 20, 0]
    assert over.get_clim() == pytest.approx((gate.mean(0).min(), gate.mean(0).max()))
    assert over.get_cmap().name == 'cividis'
    assert bar_of(figure, over).ax.get_ylabel() == label
    assert collisions(figure) == []


def test_factors_of_both_signs_meet_at_zero_in_white():
    gate = array(C, H, W) - 0.5
    over = panel(page(seen(dict(spatial=gate))), 'spatial').images[1]
    low, high = over.get_clim()
    assert low == -high == pytest.approx(-np.abs(gate.mean(0)).max())
    assert over.get_cmap().name == 'RdBu_r'


def test_a_weight_has_two_colours_that_meet_at_a_half():
    gate = np.clip(array(C, H, W) * 0.4 + 0.4, 0, 1)
    row = seen(dict(weight=gate), before=[array(H, W), array(H, W)], type='AFF')
    figure = page(row)
    over = panel(figure, 'weight').images[1]
    np.testing.assert_allclose(data(over), gate.mean(0), rtol=1e-6)
    assert over.get_cmap().name == 'PuOr'
    assert over.norm(0.5) == 0.5
    assert np.all(np.abs(over.norm(gate.mean(0)) - 0.5) <= 0.5)
    assert 'x won' in bar_of(figure, over).ax.get_ylabel()
    assert [ax.get_title() for ax in figure.axes if ax.get_title().startswith('before')] == [
        'before: x',
        'before: y',
    ]
    assert collisions(figure) == []


def test_weights_that_hardly_differ_have_hardly_a_colour():
    gate = np.full((1, H, W), 0.5)
    gate[0, 0, 0] = 0.501
    over = panel(page(seen(dict(weight=gate))), 'weight').images[1]
    assert over.norm(0.501) == pytest.approx(0.51)


def test_weights_of_channels_are_bars_around_a_half():
    figure = page(seen(dict(weight=array(C, 1, 1))))
    ax = panel(figure, 'weight')
    assert ax.patches[0].get_data().baseline == 0.5
    assert ax.get_ylabel() == 'weight of x'


def test_before_and_after_have_one_scale():
    row = seen({})
    figure = page(row)
    before, after = (panel(figure, name).images[0] for name in ('before', 'after'))
    np.testing.assert_array_equal(data(before), row.before[0])
    np.testing.assert_array_equal(data(after), row.after)
    both = np.concatenate([row.before[0], row.after])
    assert before.get_clim() == after.get_clim() == (both.min(), both.max())
    assert bar_of(figure, after).ax.get_ylabel() == 'mean of 6 channels'
    assert collisions(figure) == []


def test_the_image_is_on_the_page():
    figure = page(seen({}))
    np.testing.assert_array_equal(data(panel(figure, 'as the network saw it').images[0]), IMAGE)


def test_what_hardly_differs_or_is_tiny_has_readable_scales():
    gate = 0.25 + 1e-8 * array(C, H, W)
    gates = dict(spatial=gate, rows=gate[:, :, :1], columns=gate[:, :1])
    row = seen(gates, before=[1e-8 * array(H, W)], after=1e-9 * array(H, W))
    figure = page(row)
    low, high = panel(figure, 'spatial').images[1].get_clim()
    assert high - low == pytest.approx(0.0005)
    assert collisions(figure) == []


def test_maps_that_are_of_no_image_have_none_below():
    gate = array(1, H, W)
    [over] = panel(page(seen(dict(spatial=gate), image=None)), 'spatial').images
    np.testing.assert_array_equal(data(over), gate[0])


def test_many_modules_are_on_several_pages_with_every_name(monkeypatch):
    monkeypatch.setattr(pictures, 'ROWS', 2)
    rows = [replace(seen({}), site=f'backbone.layer{i}.eca') for i in range(5)]
    written = [[text for text, _ in texts_of(figure)] for figure in pages(rows, 'photo.jpg')]
    assert [texts.count('before') for texts in written] == [2, 2, 1]
    names = [f'backbone.layer{i}.eca: ECA' for i in range(5)]
    assert [text for texts in written for text in texts if text in names] == names
    assert 'photo.jpg, page 3 of 3' in written[2]


def test_a_full_page_can_be_read():
    gates = dict(rows=array(C, H, 1), columns=array(C, 1, W), channel=array(C, 1, 1))
    two = [array(H, W), array(H, W)]
    rows = [seen(gates), seen(dict(weight_1=array(C, H, W), weight=array(C, H, W)), before=two)]
    assert collisions(page(*(rows * (ROWS // 2)))) == []


def test_texts_in_the_way_of_each_other_are_noticed():
    figure = page(seen(dict(channel=array(C, 1, 1))))
    figure.set_size_inches(2.5, 1.5)
    assert collisions(figure) != []


@pytest.mark.parametrize('size', [(1, 1), (40, 1), (3, 200)])
def test_maps_of_odd_sizes(size):
    image = np.zeros((size[0] * 4, size[1] * 4, 3), np.uint8)
    gates = dict(rows=array(C, size[0], 1), columns=array(C, 1, size[1]), spatial=array(1, *size))
    row = seen(gates, before=[array(*size)], after=array(*size), image=image)
    assert collisions(page(row)) == []


def test_a_map_without_a_number_is_drawn():
    nan = np.full((1, H, W), np.nan, np.float32)
    FigureCanvasAgg(page(seen(dict(spatial=nan), after=nan[0], before=[nan[0]]))).draw()


def test_a_heading_tells_call_and_blend():
    rows = [seen({}, call=1, blend=0.125), seen({}, call=2, blend=0.125)]
    texts = [text for text, _ in texts_of(page(*rows))]
    assert 'backbone.layer2.0.conv2.eca: ECA, call 2 of 2, blend factor 0.125' in texts


def test_a_heading_tells_of_maps_that_are_not_drawn():
    texts = [text for text, _ in texts_of(page(seen({}, image=None, maps=100)))]
    assert 'backbone.layer2.0.conv2.eca: ECA, the first of 100 maps' in texts


def test_a_hostile_name_is_text_that_fits():
    name = '$\\frac{' + '\n\x1b[31m' + '\u202e\u732b' + 'x' * 500 + '.jpg'
    figure = page(seen({}), title=name)
    title = next(text for text, _ in texts_of(figure) if text.startswith('$'))
    assert title.startswith(r'$\frac{\n\x1b[31m\u202e\u732b')
    assert title.endswith('xxx.jpg')
    assert collisions(figure) == []


def test_blend_factors_are_bars_with_the_names_of_all_modules():
    factors = {f'backbone.layer1.{i}.conv2.coord_att': [i / 10 - 0.2] for i in range(50)}
    figure = draw_blend(factors)
    [ax] = figure.axes
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == pytest.approx([i / 10 - 0.2 for i in range(50)])
    assert [label.get_text() for label in ax.get_yticklabels()] == [*factors]
    assert ax.get_legend().get_texts()[0].get_text() == 'blend factor'
    assert 'blend factor (0: ' in ax.get_xlabel()
    assert collisions(figure) == []


def test_blend_factors_of_channels_are_their_mean_and_range():
    figure = draw_blend({'one': [0.5], 'several': [-0.5, 0.25, 1.0]})
    [ax] = figure.axes
    assert [bar.get_width() for bar in ax.patches] == [0.5, 0.25]
    [lines] = ax.collections
    assert [sorted(segment[:, 0]) for segment in lines.get_segments()] == [[0.5, 0.5], [-0.5, 1.0]]
    low, high = ax.get_xlim()
    assert low <= -0.5
    assert high >= 1.0
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {
        'blend factor',
        'range over channels',
    }


def test_a_blend_factor_of_nothing_is_drawn():
    figure = draw_blend({'one': [0.0]})
    assert figure.axes[0].get_xlim() == (0, 0.1)
    assert '0' in [text.get_text() for text in figure.axes[0].texts]
    assert collisions(figure) == []
