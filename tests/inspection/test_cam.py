"""Class activation maps of models whose answers are known."""

import re

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmattn import CoordAtt
from mmattn.errors import InputError
from mmattn.inspection.cam import METHODS, class_activation_map
from mmattn.inspection.cam_layers import find_layers
from mmattn.inspection.cam_target import Target, _Attached, find_class
from tests.inspection.colours import (
    CELL,
    GREEN,
    RED,
    SCENE,
    ColourBackbone,
    classifier,
    one_stage,
    picture,
    segmentor,
    two_stage,
)

MAKERS = [classifier, segmentor, one_stage, two_stage]


@pytest.fixture(scope='module', params=MAKERS, ids=lambda make: make.__name__)
def model(request):
    return request.param()


class Root(torch.nn.Module):
    def forward(self, x):
        return x.clamp(min=0).sqrt()


def share_inside(heat, box, margin=CELL):
    """Give how much of a map lies in a box, and the cells that its border cuts."""
    x1, y1, x2, y2 = box
    inside = heat[max(y1 - margin, 0) : y2 + margin, max(x1 - margin, 0) : x2 + margin]
    return inside.sum() / heat.sum()


def cells(image):
    """Compute what the backbone makes of an image: (2, H / 8, W / 8)."""
    red, green = image[..., 0] / 255.0, image[..., 1] / 255.0
    maps = np.stack([np.maximum(red - green, 0), np.maximum(green - red, 0)])
    height, width = image.shape[:2]
    return maps.reshape(2, height // CELL, CELL, width // CELL, CELL).mean((2, 4))


def enlarged(heat, size):
    """Enlarge a map and scale it from 0 to 1."""
    heat = torch.as_tensor(heat - heat.min(), dtype=torch.float32)[None, None]
    heat = F.interpolate(heat, size, mode='bilinear', align_corners=False)[0, 0].numpy()
    return (heat - heat.min()) / (heat.max() - heat.min())


@pytest.mark.parametrize('method', METHODS)
def test_the_map_points_at_the_one_thing(model, method):
    scene = picture((RED, (230, 20, 20)))
    found = class_activation_map(model, scene, method=method, target='red')
    assert found.map.shape == (64, 96) and found.map.dtype == np.float32
    assert found.map.min() == 0 and found.map.max() == pytest.approx(1)
    assert share_inside(found.map, RED) == pytest.approx(1, abs=1e-6)
    assert found.answer.label == 'red' and found.answer.score > 0.5
    assert found.layers == ['backbone'] and found.window == (0, 0, 96, 64)


@pytest.mark.parametrize('method', ['grad-cam', 'layer-cam'])
@pytest.mark.parametrize(('label', 'box'), [('red', RED), ('green', GREEN)])
def test_the_map_follows_the_target(model, method, label, box):
    found = class_activation_map(model, SCENE, method=method, target=label)
    assert share_inside(found.map, box) == pytest.approx(1, abs=1e-6)


def test_grad_cam_is_the_formula():
    # A linear answer: of the means of the channels.
    weights = np.array([3.0, 2.0])
    model = classifier()
    model.module.head.fc.weight.data[0] = torch.tensor(weights)
    found = class_activation_map(model, SCENE, target='red')
    channels = cells(SCENE)
    # Selvaraju et al. 2017, equations 1 and 2.
    gradients = np.broadcast_to(weights[:, None, None] / channels[0].size, channels.shape)
    alphas = gradients.mean((1, 2))
    expected = np.maximum((alphas[:, None, None] * channels).sum(0), 0)
    np.testing.assert_allclose(found.map, enlarged(expected, (64, 96)), atol=1e-5)


def test_layer_cam_is_the_formula():
    found = class_activation_map(one_stage(), SCENE, method='layer-cam', target=Target('red'))
    [box] = found.answer.boxes
    # The anchor of 24 pixels around the middle of a cell's corner; its logit reads 3 x 3 cells.
    column, row = (int((box[i] + box[i + 2]) / 2) // CELL for i in (0, 1))
    channels = cells(SCENE)
    gradient = np.zeros_like(channels[0])
    gradient[row - 1 : row + 2, column - 1 : column + 2] = 8 / 9
    # Jiang et al. 2021.
    expected = np.maximum(np.maximum(gradient, 0) * channels[0], 0)
    np.testing.assert_allclose(found.map, enlarged(expected, (64, 96)), atol=1e-5)


@pytest.mark.parametrize('flip', [1, -1])
def test_eigen_cam_is_the_projection_with_its_largest_value_positive(flip):
    model = classifier()
    # Where the first channel is negative where it was positive, its sign is another one.
    model.module.backbone.blocks[0] = torch.nn.Identity()
    model.module.backbone.conv.weight.data *= flip
    found = class_activation_map(model, SCENE, method='eigen-cam')
    channels = np.stack([(SCENE[..., 0] / 255.0 - SCENE[..., 1] / 255.0), np.zeros((64, 96))])
    channels[1] = -channels[0]
    channels = flip * channels.reshape(2, 8, CELL, 12, CELL).mean((2, 4)).reshape(2, -1)
    channels -= channels.mean(1, keepdims=True)
    _, axes = np.linalg.eigh(channels @ channels.T)
    projection = axes[:, -1] @ channels
    projection *= np.sign(projection[np.abs(projection).argmax()])
    expected = np.maximum(projection, 0).reshape(8, 12)
    np.testing.assert_allclose(found.map, enlarged(expected, (64, 96)), atol=1e-5)


def test_eigen_cam_of_a_large_map_needs_no_square_of_its_pixels():
    # 160000 positions, whose square would take 100 GB.
    model = classifier()
    scene = np.full((400, 400, 3), 90, np.uint8)
    scene[100:200, 40:80, 0] = 200
    found = class_activation_map(model, scene, method='eigen-cam', layer='backbone.conv')
    assert share_inside(found.map, (40, 100, 80, 200)) == pytest.approx(1, abs=1e-6)


def test_a_region_of_a_segmentor_is_asked_alone():
    left = class_activation_map(
        segmentor(), SCENE, method='layer-cam', target=Target('red', (16, 8, 24, 32))
    )
    # The logits are enlarged eightfold, so that a pixel reads the cells next to its own.
    assert left.map[:, 32 + CELL :].max() == 0 and left.map[8:32, 16:24].mean() > 0.5
    assert left.answer.mask.sum() == 8 * 24
    mask = np.zeros((64, 96), bool)
    mask[8:32, 16:24] = True
    again = class_activation_map(segmentor(), SCENE, method='layer-cam', target=Target('red', mask))
    np.testing.assert_array_equal(again.map, left.map)


@pytest.mark.parametrize(
    ('make', 'expected'), [(classifier, 'red'), (segmentor, 'gray'), (one_stage, 'red')]
)
def test_without_a_target_it_is_what_the_model_is_surest_of(make, expected):
    assert class_activation_map(make(), SCENE).answer.label == expected


def test_the_score_is_that_of_the_prediction(model):
    data = model.prepare([SCENE])
    with torch.no_grad():
        [sample] = model.module.test_step(data)
    answer = class_activation_map(model, SCENE, target='red').answer
    if model.task == 'classification':
        expected = sample.pred_score[0]
    elif model.task == 'segmentation':
        mask = sample.pred_sem_seg.data[0] == 0
        np.testing.assert_array_equal(answer.mask, mask.numpy())
        expected = sample.seg_logits.data.softmax(0)[0][mask].mean()
    else:
        expected = sample.pred_instances.scores[0]
        np.testing.assert_allclose(answer.boxes[0], sample.pred_instances.bboxes[0])
    assert answer.score == pytest.approx(float(expected))


@pytest.mark.parametrize('make', [one_stage, two_stage], ids=lambda make: make.__name__)
def test_detections_are_counted_from_the_best(make):
    model = make()
    labels = [
        class_activation_map(model, SCENE, target=Target(detection=i)).answer.label for i in (0, 1)
    ]
    assert labels == ['red', 'green']
    only = class_activation_map(model, SCENE, target=Target('green', detection=0)).answer
    assert only.label == 'green'


def test_a_class_of_a_detector_is_all_its_detections():
    other = (64, 8, 88, 32)
    scene = picture((RED, (230, 20, 20)), (other, (230, 20, 20)))
    found = class_activation_map(one_stage(), scene, method='layer-cam', target='red')
    assert len(found.answer.boxes) == 2
    assert share_inside(found.map, RED) == pytest.approx(0.5, abs=0.05)
    assert share_inside(found.map, other) == pytest.approx(0.5, abs=0.05)


def test_a_region_of_a_detector_is_the_detection_there():
    found = class_activation_map(two_stage(), SCENE, target=Target(region=(54, 38, 76, 58)))
    assert found.answer.label == 'green'


def test_of_several_maps_those_count_that_the_gradient_reaches():
    # The box comes of the finest of three levels.
    one = class_activation_map(one_stage(), SCENE, target=Target('red'))
    three = class_activation_map(one_stage(levels=3), SCENE, target=Target('red', detection=0))
    assert three.answer.boxes[0] == pytest.approx(one.answer.boxes[0])
    np.testing.assert_allclose(three.map, one.map, atol=1e-6)


def test_the_maps_of_several_layers_are_averaged():
    model = classifier()
    maps = [
        class_activation_map(model, SCENE, target='red', layer=layer).map
        for layer in ('backbone', r'backbone\.conv', r'backbone(\.conv)?')
    ]
    assert np.abs(maps[0] - maps[1]).max() > 0.1
    mean = (maps[0] + maps[1]) / 2
    np.testing.assert_allclose(maps[2], mean / mean.max(), atol=1e-4)


def test_a_centre_crop_leaves_the_rest_of_the_image_out():
    steps = [dict(type='ResizeEdge', scale=128), dict(type='CenterCrop', crop_size=96)]
    found = class_activation_map(classifier(steps), SCENE, target='red')
    # The short side of 64 becomes 128, of 192 x 128 the middle 96 x 96 is cut out.
    assert found.window == (24, 8, 72, 56)
    assert found.map[:, :24].max() == found.map[:, 72:].max() == 0
    assert found.map[:8].max() == found.map[56:].max() == 0
    _, y1, x2, y2 = RED
    # What is left of it, 24 to 40.
    assert share_inside(found.map, (24, y1, x2, y2), margin=4) > 0.99


@pytest.mark.parametrize('make', [segmentor, one_stage], ids=lambda make: make.__name__)
def test_padding_is_cut_off(make):
    # 60 x 90 pixels are no multiple of 32.
    model, scene = make(), SCENE[:60, :90]
    model.module.data_preprocessor.pad_size_divisor = 32
    model.module.data_preprocessor.test_cfg = dict(size_divisor=32)
    found = class_activation_map(model, scene, target='red')
    assert found.map.shape == (60, 90) and found.window == (0, 0, 90, 60)
    assert share_inside(found.map, RED) > 0.99


def test_enlarging_ahead_of_the_model_is_undone():
    steps = [dict(type='Resize', scale=(384, 256), keep_ratio=True)]
    found = class_activation_map(segmentor(steps), SCENE, target='red')
    assert found.map.shape == (64, 96)
    assert share_inside(found.map, RED, margin=2) > 0.99


def test_the_model_stays_as_it_was(model):
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    for method in METHODS:
        class_activation_map(model, SCENE, method=method, target='red')
    assert not model.module.training
    assert all(parameter.grad is None for parameter in model.module.parameters())
    assert not any(module._forward_hooks for module in model.module.modules())
    assert 'predict_by_feat' not in vars(getattr(model.module, 'bbox_head', model.module))
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, before[name])


def test_frozen_models_and_inference_mode_change_nothing(model):
    expected = class_activation_map(model, SCENE, target='red').map
    model.module.requires_grad_(False)
    with torch.inference_mode():
        found = class_activation_map(model, SCENE, target='red').map
    model.module.requires_grad_(True)
    np.testing.assert_array_equal(found, expected)


def test_what_is_done_in_place_behind_a_layer_does_not_change_its_map():
    model = classifier()
    expected = class_activation_map(model, SCENE, target='red', layer='backbone.conv').map
    model.module.backbone.blocks[0].inplace = True
    found = class_activation_map(model, SCENE, target='red', layer='backbone.conv').map
    np.testing.assert_array_equal(found, expected)


def test_a_tiny_gradient_makes_the_same_map():
    model = classifier()
    expected = class_activation_map(model, SCENE, target='red').map
    model.module.head.fc.weight.data *= 1e-20
    found = class_activation_map(model, SCENE, target='red').map
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_map_where_nothing_stands_out_is_zero():
    model = classifier()
    model.module.head.fc.weight.data.fill_(-1)
    for method in ('grad-cam', 'layer-cam'):
        assert not class_activation_map(model, SCENE, method=method, target='red').map.any()
    gray = np.full((64, 96, 3), 90, np.uint8)
    assert not class_activation_map(model, gray, method='eigen-cam', target='red').map.any()


def test_two_models_are_asked_for_the_same():
    first, second = segmentor(), segmentor()
    # The second one takes hardly anything for red.
    second.module.decode_head.conv_seg.bias.data[0] = -15
    one = class_activation_map(first, SCENE, target='red')
    other = class_activation_map(second, SCENE, target=one.answer.target)
    assert other.answer.label == 'red'
    np.testing.assert_array_equal(other.answer.mask, one.answer.mask)
    assert other.answer.score < 0.1 < one.answer.score

    one = class_activation_map(two_stage(), SCENE, target=Target(detection=1))
    other = class_activation_map(one_stage(), SCENE, target=one.answer.target)
    assert one.answer.label == other.answer.label == 'green'
    assert len(other.answer.boxes) == 1


@pytest.mark.parametrize(
    ('make', 'target', 'options', 'message'),
    [
        (classifier, 'rad', {}, "there is no class 'rad'; the nearest names are 'red', 'green'"),
        (classifier, 2, {}, 'there is no class 2: the 2 classes are counted from 0 to 1'),
        (classifier, Target(region=(0, 0, 2, 2)), {}, 'a classifier answers for the whole image'),
        (classifier, Target(detection=0), {}, 'a classifier answers for the whole image'),
        (segmentor, Target(detection=0), {}, 'a segmentor has no detections'),
        (segmentor, Target(region=(0, 0, 97, 2)), {}, r'0 <= X1 < X2 <= 96.*got 0 0 97 2$'),
        (segmentor, Target(region=(-1, 0, 9, 2)), {}, r'got -1 0 9 2$'),
        (segmentor, Target(region=(9, 0, 9, 2)), {}, r'got 9 0 9 2$'),
        (segmentor, Target(region=np.zeros((64, 96))), {}, 'at least one of them, got 0 of 64 x'),
        (one_stage, Target(detection=2), {}, 'no detection 2: there are 2 detections, counted'),
        (one_stage, Target(detection=-1), {}, 'no detection -1'),
        (one_stage, Target('red', detection=1), {}, "there are 1 detections of 'red'"),
        (one_stage, Target(region=(0, 0, 9, 9)), {}, 'intersection over union of at least 0.5'),
        (one_stage, Target(region=(0, 0, 9, 9), detection=0), {}, 'not both'),
        (classifier, None, dict(method='cam'), "expected method grad-cam, .*, got 'cam'"),
        (classifier, None, dict(layer='backbone.cnv'), "matches no layer.*'backbone.conv'"),
        (classifier, None, dict(layer='*'), 'is no regular expression'),
        (classifier, None, dict(layer=r'backbone\.blocks'), 'never called, as a list of layers'),
        (classifier, None, dict(layer='head.fc'), r'no map of the image.*got \(1, 2\)'),
        (two_stage, None, dict(layer='rpn_head.rpn_cls'), 'does not reach layer rpn_head.rpn_cls'),
        (
            two_stage,
            None,
            dict(layer='roi_head.bbox_roi_extractor'),
            r'no map of the image.*got \(\d+, 2, 3, 3\)',
        ),
    ],
)
def test_bad_targets_get_one_line(make, target, options, message):
    with pytest.raises(InputError, match=message) as caught:
        class_activation_map(make(), SCENE, target=target, **options)
    assert '\n' not in str(caught.value)


def test_what_is_not_there_is_told():
    scene = picture((GREEN, (20, 150, 20)))
    with pytest.raises(InputError, match="predicted for no pixel.*predicted are 'gray', 'green'"):
        class_activation_map(segmentor(), scene, target='red')
    with pytest.raises(InputError, match="finds no 'red' in the image; it finds 'green'"):
        class_activation_map(one_stage(), scene, target='red')
    for make in (one_stage, two_stage):
        with pytest.raises(InputError, match='the detector finds nothing in the image'):
            class_activation_map(make(), picture())


def test_heads_of_several_outputs_are_told(monkeypatch):
    model = classifier()
    monkeypatch.setattr(model.module.head, 'forward', lambda maps: (maps[0], maps[0]))
    with pytest.raises(InputError, match='LinearClsHead as its head gives no one score'):
        class_activation_map(model, SCENE)
    model.module.head = None
    with pytest.raises(InputError, match='NoneType as its head gives no one score'):
        class_activation_map(model, SCENE)


def test_nan_is_told():
    model = classifier()
    model.module.backbone.conv.weight.data[0] = float('nan')
    for method in METHODS:
        with pytest.raises(InputError, match='maps of layer backbone are not finite'):
            class_activation_map(model, SCENE, method=method)


def test_nan_of_the_gradient_alone_is_told():
    # A square root has an infinite slope at zero.
    model = classifier()
    model.module.backbone.blocks[0] = Root()
    with pytest.raises(InputError, match='gradients of layer backbone.conv.*eigen-cam'):
        class_activation_map(model, SCENE, layer='backbone.conv')


def test_a_score_without_gradient_is_told():
    model = one_stage()
    model.module.test_cfg.nms = dict(type='soft_nms', iou_threshold=0.1)
    model.module.bbox_head.test_cfg.nms = dict(type='soft_nms', iou_threshold=0.1)
    with pytest.raises(InputError, match='has no gradient.*or --method eigen-cam'):
        class_activation_map(model, SCENE)
    assert class_activation_map(model, SCENE, method='eigen-cam').map.any()


def test_classes_are_found_by_name_number_and_in_small_letters():
    model = classifier()
    for label in ('green', 'Green', 1, '1'):
        assert class_activation_map(model, SCENE, target=label).answer.label == 'green'


def test_one_of_several_names_of_a_class_is_enough_unless_two_have_it():
    model = classifier()
    model.classes = ('crane, bird', 'crane, machine')
    assert find_class(model, 'Machine') == 1
    assert find_class(model, 'crane, bird') == 0
    with pytest.raises(InputError, match="2 classes are called 'crane'; .* of 0, 1$"):
        find_class(model, 'crane')


@pytest.mark.parametrize('method', METHODS)
def test_attention_that_starts_as_the_identity_changes_no_map(method):
    sites = [dict(after='backbone', attention=dict(type='CoordAtt', reduction=1))]
    maps = [
        class_activation_map(model, SCENE, method=method, target='red')
        for model in (classifier(), classifier(sites=sites))
    ]
    np.testing.assert_allclose(maps[1].map, maps[0].map, atol=1e-6)
    inside = classifier(sites=sites)
    [(name, attention)] = [
        each for each in inside.module.named_modules() if isinstance(each[1], CoordAtt)
    ]
    attention.blend.data.fill_(1)
    found = class_activation_map(inside, SCENE, method=method, layer=re.escape(name))
    assert found.layers == [name] and found.map.any()


def test_the_gradient_is_kept_where_the_head_drops_it():
    x = torch.ones(2, requires_grad=True)
    with _Attached():
        kept = (2 * x).detach()
        assert (2 * x).numpy().tolist() == [2, 2]
    kept.sum().backward()
    assert x.grad.tolist() == [2, 2]
    assert not (2 * x).detach().requires_grad


def test_the_neck_of_a_detector_is_its_layer():
    model = one_stage()
    assert [*find_layers(model, None)] == ['backbone']
    model.module.neck = torch.nn.Identity()
    assert [*find_layers(model, None)] == ['neck']
    segments = segmentor()
    segments.module.neck = torch.nn.Identity()
    assert [*find_layers(segments, None)] == ['backbone']
    found = class_activation_map(model, SCENE, target='red')
    assert found.layers == ['neck'] and isinstance(model.module.backbone, ColourBackbone)
