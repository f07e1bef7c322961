"""Detectors in two stages, beside what mmdet finds and draws."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmattn.deploy.deployment import batch_of, image_for
from mmattn.deploy.detections import inside
from mmattn.deploy.exported import arrays_in
from mmattn.deploy.graph import graph_of
from mmattn.deploy.pasting import paste
from mmattn.deploy.two_stage import check_two_stages, features_of_boxes, proposals
from mmattn.errors import InputError
from mmattn.prediction.model import load
from tests.deploy.conftest import OTHER, SIZE, spread
from tests.prediction.tiny import save, tiny

pytest.importorskip('mmdet')


def boxes_of(count, side=100.0):
    random = torch.Generator().manual_seed(0)
    corners = torch.rand(count, 2, generator=random) * side
    return torch.cat([corners, corners + torch.rand(count, 2, generator=random) * 2 * side], 1)


@pytest.fixture
def feats():
    random = torch.Generator().manual_seed(0)
    sides = ((16, 24), (8, 12), (4, 6), (2, 3), (1, 2))
    return [torch.rand(1, 16, *each, generator=random) for each in sides]


@pytest.mark.parametrize('name', ['bbox_roi_extractor', 'mask_roi_extractor'])
def test_takes_features_from_the_level_of_a_box(model, feats, name):
    extractor = getattr(model('instance').module.roi_head, name)
    boxes = torch.cat([boxes_of(30), boxes_of(10, 600.0), torch.zeros(1, 4)])
    rois = torch.cat([torch.zeros(41, 1), boxes], 1)
    assert len(set(extractor.map_roi_levels(rois, 4).tolist())) == 4
    expected = extractor(feats[:4], rois)
    found = features_of_boxes(extractor, feats, boxes)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert (
        features_of_boxes(extractor, [x.bfloat16() for x in feats], boxes).dtype == torch.bfloat16
    )


def test_proposes_what_mmdet_proposes(model, feats):
    head = model('instance').module.rpn_head
    meta = dict(img_shape=SIZE, scale_factor=(1.0, 1.0))
    with torch.no_grad():
        [expected] = head.predict_by_feat(*head(feats), batch_img_metas=[meta], rescale=False)
        boxes, scores = proposals(head, feats, *SIZE)
    count = len(expected)
    assert 5 < count <= 20 == len(boxes)
    torch.testing.assert_close(boxes[:count], expected.bboxes)
    torch.testing.assert_close(scores[:count], expected.scores)
    assert (scores[count:] == -1).all() and (boxes[count:] == 0).all()


@pytest.mark.parametrize('kind', ['MaskRCNN', 'FasterRCNN', 'one for all classes'])
def test_finds_what_the_model_finds(tmp_path, kind):
    cfg = tiny('instance')
    task = 'instance'
    if kind == 'FasterRCNN':
        task = 'detection'
        cfg.model.type = 'FasterRCNN'
        cfg.model.roi_head.mask_head = cfg.model.roi_head.mask_roi_extractor = None
    elif kind != 'MaskRCNN':
        cfg.model.roi_head.bbox_head.reg_class_agnostic = True
        cfg.model.roi_head.mask_head.class_agnostic = True
    loaded = load(*save(cfg, tmp_path), device='cpu')
    spread(loaded.module, 'rpn_head', 'roi_head')
    graph = graph_of(loaded)
    for size in (SIZE, OTHER):
        image = image_for(loaded, size, given=True)
        [expected] = loaded.run(batch_of(loaded, image))
        with torch.no_grad():
            outputs = [output[0].numpy() for output in graph(image)]
        outputs = dict(zip(graph.outputs, outputs, strict=True))
        found = arrays_in(task, outputs, size, (1.0, 1.0), graph.mask_threshold)
        assert len(expected['labels']) == 6 and found.keys() == expected.keys()
        if task == 'instance':
            drawn = expected.pop('masks')
            assert drawn.any() and not drawn.all()
            assert (found['masks'] != drawn).mean() < 1e-3
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-3)


def test_pastes_as_mmdet_does(model):
    head = model('instance').module.roi_head.mask_head
    boxes = torch.cat(
        [
            inside(boxes_of(30, 40.0) - 10, *SIZE),
            # Some without an area.
            torch.tensor([[5.0, 5, 5, 20], [3, 3, 3, 3], [0, 0, 0, 0], [90, 3, 200, 9]]),
        ]
    )
    logits = torch.randn(len(boxes), 80, 28, 28, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(len(boxes))
    results = InstanceData(bboxes=boxes.clone(), labels=labels)
    meta = dict(img_shape=SIZE, ori_shape=SIZE, scale_factor=(1.0, 1.0))
    test_cfg = model('instance').module.roi_head.test_cfg
    [expected] = head.predict_by_feat([logits], [results], [meta], test_cfg)
    chosen = logits[labels, labels].sigmoid().numpy()
    found = paste(chosen, boxes.numpy(), SIZE, test_cfg.mask_thr_binary)
    assert expected.masks.any() and np.array_equal(found, expected.masks.numpy())


def test_nothing_is_found_nothing_is_drawn():
    assert paste(np.zeros((0, 28, 28), np.float32), np.zeros((0, 4)), (5, 7), 0.5).shape == (
        0,
        5,
        7,
    )


def without_rpn(cfg):
    cfg.model.rpn_head = None


def other_extractor(cfg):
    cfg.model.roi_head.bbox_roi_extractor.type = 'GenericRoIExtractor'


def soft_nms(cfg):
    cfg.model.test_cfg.rcnn.nms = dict(type='soft_nms', iou_threshold=0.5)


def all_proposals(cfg):
    cfg.model.test_cfg.rpn.nms_pre = -1


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        (without_rpn, 'takes proposals from elsewhere and cannot be exported'),
        (other_extractor, 'GenericRoIExtractor with RoIAlign cannot be exported; expected Single'),
        (soft_nms, "test_cfg.nms with type='soft_nms' cannot be exported"),
        (all_proposals, 'with a test_cfg.rpn.nms_pre of 1 or more'),
    ],
)
def test_refuses_what_it_does_not_know(tmp_path, change, line):
    cfg = tiny('instance')
    change(cfg)
    loaded = load(*save(cfg, tmp_path), device='cpu')
    with pytest.raises(InputError, match=line):
        check_two_stages(loaded.module)


def test_refuses_heads_that_predict_in_a_way_of_their_own(model):
    module = model('instance').module

    class Other(type(module.roi_head)):
        def predict_mask(self):
            """Draw in a way of its own."""

    before = type(module.roi_head)
    module.roi_head.__class__ = Other
    try:
        with pytest.raises(InputError, match=r'^Other predicts in a way of its own and cannot'):
            check_two_stages(module)
    finally:
        module.roi_head.__class__ = before
