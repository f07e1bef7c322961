import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData

from mmattn import CoordAttMobileNetV2, SSDLiteHead, SSDLiteNeck
from tests.helpers import randomize

pytest.importorskip('mmdet', reason='mmdet is not installed')
CHANNELS = (96, 1280, 512, 256, 256, 64)
SIZES = (20, 10, 5, 3, 2, 1)
STRIDES = (16, 32, 64, 120, 160, 320)
MIN_SIZES = (45, 90, 135, 180, 225, 270)
COCO_MAX_SIZES = (90, 135, 180, 225, 270, 315)
VOC_MAX_SIZES = (120, 180, 220, 260, 300, 320)
VOC_ANCHORS = dict(
    type='SSDAnchorGenerator',
    scale_major=False,
    strides=list(STRIDES),
    ratios=[[2, 3]] * 6,
    min_sizes=list(MIN_SIZES),
    max_sizes=list(VOC_MAX_SIZES),
)
FOCAL = dict(
    loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=5.0),
    loss_bbox=dict(type='SmoothL1Loss', beta=1.0),
)
RECIPES = {
    'coco': dict(num_classes=80, **FOCAL),
    'voc': dict(num_classes=20, anchor_generator=VOC_ANCHORS),
}
TRAIN_CFG = dict(
    assigner=dict(
        type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.0,
        ignore_iof_thr=-1, gt_max_assign_all=False,
    ),
    sampler=dict(type='PseudoSampler'),
    smoothl1_beta=1.0, allowed_border=-1, pos_weight=-1, neg_pos_ratio=3, debug=False,
)  # fmt: skip
TEST_CFG = dict(
    nms_pre=100, nms=dict(type='nms', iou_threshold=0.5), min_bbox_size=0, score_thr=0.0,
    max_per_img=10,
)  # fmt: skip
META = dict(
    img_shape=(320, 320), ori_shape=(320, 320), pad_shape=(320, 320), scale_factor=(1.0, 1.0),
    batch_input_shape=(320, 320),
)  # fmt: skip


@pytest.fixture(autouse=True)
def scope():
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def build(recipe='coco', **options):
    options = {**RECIPES[recipe], 'train_cfg': TRAIN_CFG, 'test_cfg': TEST_CFG, **options}
    return SSDLiteHead(**ConfigDict(options))


def instances(boxes, labels):
    return InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float), labels=torch.tensor(labels))


def features(batch=2, channels=CHANNELS):
    return [torch.randn(batch, c, s, s) for c, s in zip(channels, SIZES, strict=True)]


@pytest.mark.parametrize(
    ('recipe', 'max_sizes', 'last_ratios'),
    [('coco', COCO_MAX_SIZES, (2,)), ('voc', VOC_MAX_SIZES, (2, 3))],
)
def test_anchors(recipe, max_sizes, last_ratios):
    """Two squares, and each ratio lying and standing; in the middle of each cell."""
    generator = build(recipe).prior_generator
    levels = generator.grid_priors([(s, s) for s in SIZES], device='cpu')
    for i, level in enumerate(levels):
        shapes = [(MIN_SIZES[i],) * 2, (math.sqrt(MIN_SIZES[i] * max_sizes[i]),) * 2]
        for ratio in last_ratios if i == 5 else (2, 3):
            long, short = MIN_SIZES[i] * math.sqrt(ratio), MIN_SIZES[i] / math.sqrt(ratio)
            shapes += [(long, short), (short, long)]
        expected = [
            (x * STRIDES[i] + STRIDES[i] / 2, y * STRIDES[i] + STRIDES[i] / 2, *shape)
            for y in range(SIZES[i])
            for x in range(SIZES[i])
            for shape in shapes
        ]
        centers, sizes = (level[:, :2] + level[:, 2:]) / 2, level[:, 2:] - level[:, :2]
        torch.testing.assert_close(torch.cat([centers, sizes], dim=1), torch.tensor(expected))
    assert sum(map(len, levels)) == 6 * 538 + (6 if recipe == 'voc' else 4)


@pytest.mark.parametrize(('recipe', 'outputs'), [('coco', 80), ('voc', 21)])
def test_outputs(recipe, outputs):
    head = build(recipe)
    anchors = [6, 6, 6, 6, 6, 6 if recipe == 'voc' else 4]
    for maps, width in zip(head(features()), (outputs, 4), strict=True):
        assert [tuple(x.shape) for x in maps] == [
            (2, a * width, s, s) for a, s in zip(anchors, SIZES, strict=True)
        ]


def test_predictors():
    """Depthwise 3x3, batch norm, ReLU6, 1x1; on the last level the 1x1 alone."""
    head = randomize(build()).eval()
    p = head.state_dict()
    x = features()
    for name, outs in zip(('cls_convs', 'reg_convs'), head(x), strict=True):
        for i in range(5):
            y = F.conv2d(x[i], p[f'{name}.{i}.0.conv.weight'], padding=1, groups=CHANNELS[i])
            mean, var = p[f'{name}.{i}.0.bn.running_mean'], p[f'{name}.{i}.0.bn.running_var']
            y = F.batch_norm(y, mean, var, p[f'{name}.{i}.0.bn.weight'], p[f'{name}.{i}.0.bn.bias'])
            y = F.conv2d(F.relu6(y), p[f'{name}.{i}.1.weight'], p[f'{name}.{i}.1.bias'])
            torch.testing.assert_close(outs[i], y)
        y = F.conv2d(x[5], p[f'{name}.5.0.weight'], p[f'{name}.5.0.bias'])
        torch.testing.assert_close(outs[5], y)


ATTENTIONS = {
    'plain': None,
    'se': dict(type='SE', reduction=24),
    'cbam': dict(type='CBAM', reduction=24),
    'coordatt': dict(type='CoordAtt', reduction=32),
}


def count(attention, recipe):
    with torch.device('meta'):
        backbone = CoordAttMobileNetV2(attention=attention, out_indices=(4, 7))
        neck = SSDLiteNeck()
        head = build(recipe)
    assert backbone.out_channels == neck.in_channels and neck.out_channels == head.in_channels
    return sum(p.numel() for module in (backbone, neck, head) for p in module.parameters())


# What the release has beyond this head: a class output per anchor that no label asks for, and a
# bias ahead of each batch norm.
SPARE = sum(a * (c + 1) for a, c in zip((6, 6, 6, 6, 6, 4), CHANNELS, strict=True))
SPARE += 2 * sum(CHANNELS[:5])


@pytest.mark.parametrize(
    ('name', 'millions', 'published'),
    [('plain', 4.30, 4.3), ('se', 4.69, 4.7), ('cbam', 4.69, 4.7), ('coordatt', 4.75, 4.8)],
)
def test_published_size_on_coco(name, millions, published):
    """The README of coordinate attention gives one decimal, 4.8 M for 4.75 M."""
    total = count(ATTENTIONS[name], 'coco')
    assert SPARE == 19_490
    assert (total + SPARE) / 1e6 == pytest.approx(millions, abs=0.005)
    assert millions == pytest.approx(published, abs=0.0501)


def test_published_size_on_voc_is_that_of_coco():
    """The README gives 4.3 M and 4.8 M for VOC too, which 21 outputs per anchor do not have."""
    assert count(None, 'voc') / 1e6 == pytest.approx(3.42, abs=0.01)
    assert count(ATTENTIONS['coordatt'], 'voc') / 1e6 == pytest.approx(3.87, abs=0.01)


@pytest.mark.parametrize(('tap', 'total'), [(576, 1.584 + 0.701), (384, 1.481 + 0.701)])
def test_size_with_the_taps_of_mobilenext(tap, total):
    """What comes on top of 2.25 M in the backbone: 4.54 M, or the published 4.4 M with 384."""
    options = dict(extra_channels=(512, 256, 256, 128), ratios=(0.2, 0.25, 0.5, 0.5))
    with torch.device('meta'):
        neck = SSDLiteNeck(in_channels=(tap, 1280), block='sandglass', **options)
        head = build(in_channels=neck.out_channels)
    parameters = sum(p.numel() for module in (neck, head) for p in module.parameters())
    spare = sum(a * (c + 1) for a, c in zip((6,) * 5 + (4,), neck.out_channels, strict=True))
    spare += 2 * sum(neck.out_channels[:5])
    assert (parameters + spare) / 1e6 == pytest.approx(total, abs=0.002)


def test_start():
    head = build()
    head.init_weights()
    for name, p in head.named_parameters():
        if name.startswith('cls_convs') and name.split('.')[2] == ('0' if '.5.' in name else '1'):
            if name.endswith('bias'):
                torch.testing.assert_close(p.sigmoid(), torch.full_like(p, 0.01))
            else:
                assert p.std().item() == pytest.approx(0.01, rel=0.1)
        elif p.dim() == 1 and not name.endswith('bn.weight'):
            assert not p.any(), name
    head = build('voc')
    head.init_weights()
    for i, channels in enumerate(CHANNELS):
        weight = head.cls_convs[i][-1].weight
        bound = math.sqrt(6 / (channels + 6 * 21))
        assert 0.95 < weight.abs().max() / bound <= 1
        assert not head.cls_convs[i][-1].bias.any()


GROUND_TRUTH = [([[20, 30, 150, 160], [200, 100, 300, 260]], [3, 7]), ([[5, 5, 60, 50]], [0])]


def test_multi_box_loss_is_that_of_mmdet():
    from mmdet.models.dense_heads import SSDHead

    ours = build('voc')
    theirs = SSDHead(
        num_classes=20,
        in_channels=CHANNELS,
        anchor_generator=VOC_ANCHORS,
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
        train_cfg=ConfigDict(TRAIN_CFG),
    )
    outs = ours(features())
    losses = [
        head.loss_by_feat(*outs, [instances(*gt) for gt in GROUND_TRUTH], [META] * 2)
        for head in (ours, theirs)
    ]
    for a, b in zip(*(x['loss_cls'] + x['loss_bbox'] for x in losses), strict=True):
        assert torch.equal(a, b)


def test_focal_loss():
    """Five times the focal loss over all anchors, and the box loss, per anchor with an object."""
    from torchvision.ops import sigmoid_focal_loss

    head = build()
    scores, deltas = head(features())
    truth = [instances(*gt) for gt in GROUND_TRUTH]
    losses = head.loss_by_feat(scores, deltas, truth, [META] * 2)
    anchors, flags = head.get_anchors([(s, s) for s in SIZES], [META] * 2, device='cpu')
    labels, _, targets, weights, positive = head.get_targets(anchors, flags, truth, [META] * 2)
    scores = torch.cat([s.permute(0, 2, 3, 1).reshape(-1, 80) for s in scores])
    deltas = torch.cat([d.permute(0, 2, 3, 1).reshape(-1, 4) for d in deltas])
    labels, targets, weights = (
        torch.cat([level.flatten(0, 1) for level in levels])
        for levels in (labels, targets, weights)
    )
    assert positive == (labels < 80).sum() > 3
    wanted = F.one_hot(labels, 81)[:, :80].float()
    expected = sigmoid_focal_loss(scores, wanted, alpha=0.25, gamma=2, reduction='sum') / positive
    torch.testing.assert_close(sum(losses['loss_cls']), 5 * expected)
    expected = F.smooth_l1_loss(deltas * weights, targets * weights, reduction='sum')
    torch.testing.assert_close(sum(losses['loss_bbox']), expected / positive)


@pytest.mark.parametrize('recipe', ['coco', 'voc'])
def test_trains_and_predicts_at_batch_1(recipe):
    from mmdet.structures import DetDataSample

    bbox_head = dict(RECIPES[recipe], type='SSDLiteHead', in_channels=(24, 1280, 8, 8, 8, 4))
    model = dict(
        type='SingleStageDetector',
        backbone=dict(type='CoordAttMobileNetV2', widen_factor=0.25, out_indices=(4, 7)),
        neck=dict(
            type='SSDLiteNeck', in_channels=(24, 1280), extra_channels=(8, 8, 8, 4),
            ratios=(0.01, 1, 1, 1),
        ),
        bbox_head=bbox_head,
        train_cfg=TRAIN_CFG,
        test_cfg=TEST_CFG,
    )  # fmt: skip
    model = MODELS.build(ConfigDict(model))
    model.init_weights()
    images = torch.randn(1, 3, 320, 320)
    assert [x.shape[-1] for x in model.extract_feat(images)] == list(SIZES)
    sample = DetDataSample(metainfo=META)
    sample.gt_instances = instances([[20, 30, 150, 160], [10, 20, 310, 300]], [3, 7])
    loss, _ = model.parse_losses(model.train().loss(images, [sample]))
    assert loss.isfinite()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    [found] = model.eval().predict(images, [sample])
    found = found.pred_instances
    assert found.bboxes.shape == (10, 4)
    assert found.bboxes.min() >= 0 and found.bboxes.max() <= 320
    assert found.labels.max() < RECIPES[recipe]['num_classes']


def test_an_image_without_objects():
    for recipe in RECIPES:
        head = build(recipe)
        empty = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        losses = head.loss_by_feat(*head(features(1)), [empty], [META])
        total = sum(losses['loss_cls']).sum() + sum(losses['loss_bbox'])
        total.backward()
        assert total.isfinite()


def test_wrong_options():
    with pytest.raises(ValueError, match='expected in_channels of 6 levels, .* got 2'):
        build(in_channels=(96, 1280))
    with pytest.raises(ValueError, match='loss_cls and loss_bbox, or neither .* loss_bbox=None'):
        build(loss_bbox=None)
    with pytest.raises(ValueError, match='loss_cls with use_sigmoid=True, got'):
        build(loss_cls=dict(type='CrossEntropyLoss'))
