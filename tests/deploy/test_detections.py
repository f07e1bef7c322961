"""Detections in tensors of fixed sizes, beside what mmdet and mmcv make of the same maps."""

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict

from mmattn.deploy.deployment import batch_of, image_for
from mmattn.deploy.detections import (
    best,
    check_dense_head,
    check_suppression,
    inside,
    suppress,
    without_small,
)
from mmattn.deploy.graph import graph_of
from mmattn.errors import InputError
from mmattn.prediction.model import load
from tests.deploy.conftest import OTHER, SIZE
from tests.deploy.test_graph import arrays_of_graph
from tests.prediction.tiny import save, tiny

pytest.importorskip('mmdet')
NMS = dict(type='nms', iou_threshold=0.5)


def test_best_fills_up_what_is_not_there():
    scores = torch.tensor([[0.1, 0.7], [0.9, 0.2]])
    values, places, labels = best(scores, 0.15, 5)
    assert values.tolist() == pytest.approx([0.9, 0.7, 0.2, -1, -1])
    assert (places.tolist(), labels.tolist()) == ([1, 0, 1, 0, 0], [0, 1, 1, 0, 0])


@pytest.mark.parametrize('options', [NMS, dict(NMS, class_agnostic=True)], ids=str)
def test_suppresses_as_mmcv_does(options):
    mmcv = pytest.importorskip('mmcv.ops')
    random = torch.Generator().manual_seed(0)
    corners = torch.rand(200, 2, generator=random) * 60
    boxes = torch.cat([corners, corners + 5 + torch.rand(200, 2, generator=random) * 20], 1)
    scores = torch.rand(200, generator=random)
    labels = torch.randint(0, 3, (200,), generator=random)
    expected, kept = mmcv.batched_nms(boxes, scores, labels, options)
    assert 20 < len(kept) < 190
    # What does not count suppresses nothing.
    less = torch.cat([scores, torch.full((50,), -1.0)])
    found = suppress(
        torch.cat([boxes, boxes[:50]]), less, torch.cat([labels, labels[:50]]), options, 220
    )
    count = len(kept)
    assert torch.equal(found[0][:count], expected[:, :4])
    assert torch.equal(found[1][:count], expected[:, 4])
    assert torch.equal(found[2][:count], labels[kept])
    assert (found[0][count:] == 0).all() and (found[1][count:] == -1).all()
    assert (found[2][count:] == -1).all()


def test_cuts_boxes_and_leaves_small_ones_out():
    boxes = torch.tensor([[-5.0, -5.0, 50.0, 9.0], [3.0, 3.0, 3.0, 8.0]])
    assert inside(boxes, 8, 20).tolist() == [[0, 0, 20, 8], [3, 3, 3, 8]]
    assert without_small(boxes, torch.ones(2), 0).tolist() == [1, -1]
    assert without_small(boxes, torch.ones(2), -1).tolist() == [1, 1]


HEADS = {
    'RetinaHead': {},
    'ATSSHead': dict(
        type='ATSSHead',
        anchor_generator=dict(
            type='AnchorGenerator',
            ratios=[1.0],
            octave_base_scale=8,
            scales_per_octave=1,
            strides=[8, 16, 32, 64, 128],
        ),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True),
    ),
    'FCOSHead': dict(type='FCOSHead'),
}


@pytest.mark.parametrize('kind', HEADS)
def test_finds_what_the_model_finds(tmp_path, kind):
    cfg = tiny('detection')
    if HEADS[kind]:
        shape = dict(num_classes=80, in_channels=16, feat_channels=16, stacked_convs=1)
        if kind == 'ATSSHead':
            shape['norm_cfg'] = dict(type='GN', num_groups=2)
        else:
            shape['norm_cfg'] = None
        cfg.model.bbox_head = ConfigDict({**HEADS[kind], **shape})
        cfg.model.neck.num_outs = 5
        cfg.model.train_cfg = None
    loaded = load(*save(cfg, tmp_path), device='cpu')
    head = loaded.module.bbox_head
    torch.manual_seed(0)
    # Not so large that sigmoid gives equal scores.
    for parameter in head.parameters():
        parameter.data.normal_(0, 0.05)
    graph = graph_of(loaded)
    for size in (SIZE, OTHER):
        image = image_for(loaded, size, given=True)
        [expected] = loaded.run(batch_of(loaded, image))
        found = arrays_of_graph(graph, 'detection', image)
        assert len(expected['labels']) == 6
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-4)


def test_refuses_what_it_does_not_know(model):
    with pytest.raises(InputError, match="test_cfg.nms with type='soft_nms' cannot be exported"):
        check_suppression(dict(type='soft_nms', iou_threshold=0.5))
    with pytest.raises(InputError, match=r'test_cfg.nms with options max_num cannot'):
        check_suppression(dict(NMS, max_num=3))

    class OtherHead:
        def _predict_by_feat_single(self):
            """Decode in a way of its own."""

    with pytest.raises(InputError, match='OtherHead finds boxes in a way of its own'):
        check_dense_head(OtherHead())
