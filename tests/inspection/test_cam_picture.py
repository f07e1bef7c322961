"""The pictures of class activation maps."""

import numpy as np
import pytest

from mmattn.inspection.cam import class_activation_map
from mmattn.inspection.cam_picture import draw_activation_maps
from mmattn.inspection.cam_target import Target
from tests.inspection.colours import SCENE, classifier, one_stage, segmentor, two_stage


def panels(figure):
    """Give the panels, without the colour bar."""
    return [ax for ax in figure.axes if ax.images]


def legend(figure):
    texts = [ax.get_legend().get_texts() for ax in figure.axes if ax.get_legend()]
    return [text.get_text() for each in texts for text in each]


def test_the_map_that_is_drawn_is_the_one_that_was_computed():
    found = class_activation_map(segmentor(), SCENE, target='red')
    figure = draw_activation_maps([found], ['mine'])
    image, overlay = panels(figure)
    np.testing.assert_array_equal(image.images[0].get_array(), SCENE)
    np.testing.assert_array_equal(overlay.images[1].get_array(), found.map)
    assert overlay.images[1].get_clim() == (0, 1)
    assert overlay.get_title() == f'mine\nred, score {found.answer.score:.3f}'
    assert figure.get_suptitle() == 'Grad-CAM of backbone'
    assert legend(figure) == ['pixels asked about']
    [bar] = [ax for ax in figure.axes if not ax.images]
    assert bar.get_ylabel() == 'map, from 0 to 1 in each panel'


def test_eigen_cam_says_that_it_knows_of_no_target():
    found = class_activation_map(classifier(), SCENE, method='eigen-cam', target='red')
    figure = draw_activation_maps([found], ['mine'])
    assert figure.get_suptitle() == 'EigenCAM of backbone, whatever is asked for'


def test_two_models_share_image_and_colour_bar():
    one = class_activation_map(two_stage(), SCENE, target='red')
    other = class_activation_map(one_stage(), SCENE, target=one.answer.target)
    figure = draw_activation_maps([one, other], ['with', 'without'])
    image, *overlays = panels(figure)
    assert [ax.get_title().split('\n')[0] for ax in (image, *overlays)] == [
        'image',
        'with',
        'without',
    ]
    for ax, found in zip(overlays, (one, other), strict=True):
        np.testing.assert_array_equal(ax.images[1].get_array(), found.map)
        [line] = ax.lines
        x1, y1, x2, y2 = found.answer.boxes[0]
        assert [*line.get_xdata()] == [x1 - 0.5, x2 - 0.5, x2 - 0.5, x1 - 0.5, x1 - 0.5]
        assert [*line.get_ydata()] == [y1 - 0.5, y1 - 0.5, y2 - 0.5, y2 - 0.5, y1 - 0.5]
    assert len(figure.axes) == 4
    assert legend(figure) == ['detection asked about']


def test_what_the_model_does_not_see_is_not_painted():
    steps = [dict(type='CenterCrop', crop_size=32)]
    found = class_activation_map(classifier(steps), SCENE)
    assert found.window == (32, 16, 64, 48)
    figure = draw_activation_maps([found], ['mine'])
    overlay = panels(figure)[1].images[1]
    np.testing.assert_array_equal(overlay.get_array(), found.map[16:48, 32:64])
    assert overlay.get_extent() == [31.5, 63.5, 47.5, 15.5]
    assert legend(figure) == ['seen by the model']


def test_a_map_of_zeros_says_so():
    model = classifier()
    model.module.head.fc.weight.data.fill_(-1)
    figure = draw_activation_maps([class_activation_map(model, SCENE)], ['mine'])
    assert panels(figure)[1].get_title().endswith('\nno place stands out')


@pytest.mark.parametrize('size', [(16, 300), (300, 16), (1, 1), (700, 500)])
@pytest.mark.parametrize('count', [1, 2])
def test_no_two_texts_overlap(size, count):
    image = np.zeros((*size, 3), np.uint8)
    image[: size[0] // 2 + 1, : size[1] // 2 + 1, 0] = 200
    names = ['upernet_van_b2_ade20k_with_a_name_that_is_rather_long', 'of $x_1$ and $x_2$'][:count]
    steps = [dict(type='Resize', scale=(64, 64), keep_ratio=False)]
    found = class_activation_map(segmentor(steps), image, target=Target('red', (0, 0, 1, 1)))
    figure = draw_activation_maps([found] * count, names)
    figure.draw_without_rendering()
    titles = [figure._suptitle, *(ax.title for ax in panels(figure))]
    titles += [figure.axes[-1].yaxis.label]
    boxes = [text.get_window_extent() for text in titles]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
