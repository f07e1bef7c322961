import itertools
import re

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torchvision.ops import FeaturePyramidNetwork

from mmattn import AFFFPN
from tests.helpers import needs_torch, randomize

IN_CHANNELS = [4, 6, 8, 10]
# Not multiples of two, and not square.
SIZES = [(33, 21), (17, 11), (9, 6), (5, 3)]
ADD = dict(type='AddFusion')
ALL_OPTIONS = dict(norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU'), no_norm_on_lateral=True)
LEVELS = [
    dict(num_outs=4),
    dict(num_outs=6),
    dict(start_level=1, num_outs=5),
    dict(end_level=3, num_outs=5),
    dict(start_level=3, num_outs=1),
    dict(start_level=1, end_level=2, num_outs=2),
]


def features(sizes=SIZES, **options):
    return [torch.randn(2, c, *size, **options) for c, size in zip(IN_CHANNELS, sizes, strict=True)]


def plain_fpn(package, **options):
    necks = pytest.importorskip(f'{package}.models.necks', reason=f'{package} is not installed')
    return randomize(necks.FPN(IN_CHANNELS, 8, **options))


def run(neck, inputs):
    """The outputs, then the gradients of all parameters and inputs."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    outs = neck(inputs)
    sum(out.square().sum() for out in outs).backward()
    return [*outs, *(p.grad for p in neck.parameters()), *(x.grad for x in inputs)]


def assert_equal(actual, expected):
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected, strict=True):
        # An input that is not in use has no gradient.
        assert (a is None and b is None) or torch.equal(a, b)


@pytest.mark.parametrize('levels', LEVELS, ids=str)
@pytest.mark.parametrize('add_extra_convs', [False, True, 'on_input', 'on_lateral', 'on_output'])
@pytest.mark.parametrize('options', [{}, ALL_OPTIONS], ids=['plain', 'all_options'])
@pytest.mark.parametrize('relu', [False, True])
def test_addition_is_the_fpn_of_mmdet(levels, add_extra_convs, options, relu):
    options = dict(options, **levels, add_extra_convs=add_extra_convs, relu_before_extra_convs=relu)
    theirs = plain_fpn('mmdet', **options)
    ours = AFFFPN(IN_CHANNELS, 8, fusion=ADD, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    inputs = features()
    assert_equal(run(ours, inputs), run(theirs, inputs))


@pytest.mark.parametrize(
    ('upsample_cfg', 'sizes'),
    [
        (dict(mode='bilinear', align_corners=False), SIZES),
        (dict(mode='nearest', scale_factor=2), [(32, 24), (16, 12), (8, 6), (4, 3)]),
    ],
    ids=str,
)
def test_upsampling_is_that_of_mmdet(upsample_cfg, sizes):
    theirs = plain_fpn('mmdet', num_outs=4, upsample_cfg=upsample_cfg)
    ours = AFFFPN(IN_CHANNELS, 8, 4, upsample_cfg=upsample_cfg, fusion=ADD)
    ours.load_state_dict(theirs.state_dict())
    inputs = features(sizes)
    assert_equal(run(ours, inputs), run(theirs, inputs))


@pytest.mark.parametrize(
    ('options', 'as_mmseg_says_it'),
    [
        (dict(num_outs=4), {}),
        (dict(num_outs=5, add_extra_convs='on_output'), dict(add_extra_convs=True)),
        (dict(num_outs=2, start_level=1, end_level=2), dict(end_level=3)),
    ],
)
def test_addition_is_the_fpn_of_mmseg(options, as_mmseg_says_it):
    theirs = plain_fpn('mmseg', **{**options, **as_mmseg_says_it})
    ours = AFFFPN(IN_CHANNELS, 8, fusion=ADD, **options)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    inputs = features()
    assert_equal(run(ours, inputs), run(theirs, inputs))


@pytest.mark.parametrize('fusion', ['AFF', 'iAFF', 'ConcatFusion'])
def test_identity_start_is_the_plain_fpn(fusion):
    theirs = AFFFPN(IN_CHANNELS, 8, 5, fusion=ADD)
    ours = AFFFPN(IN_CHANNELS, 8, 5, fusion=dict(type=fusion, start='identity'))
    ours.init_weights()
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    # The weights of a plain pyramid are all there is but for the fusion modules.
    assert unexpected == [] and all(key.startswith('fusions.') for key in missing)
    inputs = features()
    assert_equal(ours(inputs), theirs(inputs))


@pytest.mark.parametrize('fusion', ['AFF', 'iAFF'])
def test_fuses_the_lateral_map_with_the_upsampled_one(fusion):
    neck = randomize(AFFFPN([4, 6, 8], 8, 3, fusion=dict(type=fusion, reduction=2))).eval()
    inputs = [torch.randn(2, c, *size) for c, size in ((4, (9, 7)), (6, (5, 4)), (8, (3, 2)))]

    def conv(x, name, padding=0):
        return F.conv2d(x, *(neck.get_parameter(f'{name}.conv.{p}') for p in ('weight', 'bias')),
                        padding=padding)  # fmt: skip

    low, middle, high = (conv(x, f'lateral_convs.{i}') for i, x in enumerate(inputs))
    middle = neck.fusions[1](x=middle, y=F.interpolate(high, size=(5, 4)))
    low = neck.fusions[0](x=low, y=F.interpolate(middle, size=(9, 7)))
    expected = [conv(x, f'fpn_convs.{i}', 1) for i, x in enumerate((low, middle, high))]
    assert_equal(neck(inputs), expected)


def test_one_fusion_module_per_node():
    neck = AFFFPN(IN_CHANNELS, 8, 5)
    assert len({id(p) for p in neck.fusions.parameters()}) == len(list(neck.fusions.parameters()))
    assert len(neck.fusions) == 3
    assert len(AFFFPN(IN_CHANNELS, 8, 4, start_level=1, add_extra_convs=True).fusions) == 2


@pytest.mark.parametrize(('reduction', 'cost'), [(4, 67_456), (16, 18_016)])
def test_published_cost_of_a_node(reduction, cost):
    with torch.device('meta'):
        plain = AFFFPN([256, 512, 1024, 2048], 256, 5, fusion=ADD)
        neck = AFFFPN([256, 512, 1024, 2048], 256, 5, fusion=dict(type='AFF', reduction=reduction))
    count = [sum(p.numel() for p in module.parameters()) for module in (neck, plain)]
    assert count[0] - count[1] == 3 * cost


def test_start_of_the_convolutions():
    neck = AFFFPN(IN_CHANNELS, 16, 4)
    neck.init_weights()
    for name, conv in neck.named_modules():
        if isinstance(conv, nn.Conv2d):
            fan = (conv.in_channels + conv.out_channels) * conv.kernel_size[0] ** 2
            assert 0.8 < conv.weight.abs().max() / (6 / fan) ** 0.5 <= 1, name
            assert not conv.bias.any(), name
    # The norm behind each convolution keeps the gate half open whatever their scale.
    x = torch.randn(4, 16, 9, 7)
    gate = neck.fusions[0](x=x + 1, y=x) - x
    assert 0.4 < gate.mean() < 0.6 and 0.05 < gate.std() < 0.4


def test_init_cfg_of_the_fusion_has_the_last_word():
    init_cfg = dict(type='Constant', layer='Conv2d', val=0.25)
    neck = AFFFPN(IN_CHANNELS, 8, 4, fusion=dict(type='AFF', init_cfg=init_cfg))
    neck.init_weights()
    for name, p in neck.named_parameters():
        if p.dim() == 4:
            assert (p == 0.25).all() == name.startswith('fusions.'), name


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('fusion', ['AFF', 'iAFF'])
def test_half_precision(dtype, fusion):
    neck = AFFFPN(IN_CHANNELS, 8, 5, fusion=dict(type=fusion)).eval()
    neck.init_weights()
    inputs = features()
    expected = neck(inputs)
    with torch.autocast('cpu', dtype):
        mixed = neck(inputs)
    narrow = neck.to(dtype)([x.to(dtype) for x in inputs])
    for a, b, c in zip(expected, mixed, narrow, strict=True):
        assert b.dtype == c.dtype == dtype
        slack = 30 * torch.finfo(dtype).eps * a.abs().max()
        assert (a - b).abs().max() <= slack and (a - c).abs().max() <= slack


@pytest.mark.parametrize('fusion', ['AFF', 'iAFF'])
def test_keeps_channels_last(fusion):
    neck = AFFFPN(IN_CHANNELS, 8, 5, fusion=dict(type=fusion)).eval()
    inputs = features()
    expected = neck(inputs)
    outs = neck.to(memory_format=torch.channels_last)(
        [x.to(memory_format=torch.channels_last) for x in inputs]
    )
    for a, b in zip(outs, expected, strict=True):
        assert a.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('fusion', ['AFF', 'iAFF'])
def test_trains_at_batch_1_down_to_one_pixel(fusion):
    neck = AFFFPN(IN_CHANNELS, 8, 6, fusion=dict(type=fusion)).train()
    neck.init_weights()
    inputs = [torch.randn(1, c, s, s) for c, s in zip(IN_CHANNELS, (4, 2, 1, 1), strict=True)]
    sum(out.square().sum() for out in neck(inputs)).backward()
    assert [n for n, p in neck.named_parameters() if p.grad is None] == []
    assert all(p.grad.isfinite().all() for p in neck.parameters())


@pytest.mark.parametrize('fusion', ['AFF', pytest.param('iAFF', marks=pytest.mark.slow)])
def test_compiles_whole_with_dynamic_sizes(fusion):
    # One node: each takes seconds, and the others are like it.
    neck = AFFFPN(IN_CHANNELS, 8, 3, start_level=2, fusion=dict(type=fusion)).eval()
    compiled = torch.compile(neck, fullgraph=True, dynamic=True, backend='aot_eager')
    for sizes in (SIZES, [(40, 24), (20, 12), (10, 7), (6, 4)]):
        inputs = features(sizes)
        for a, b in zip(compiled(inputs), neck(inputs), strict=True):
            torch.testing.assert_close(a, b)
    torch.compiler.reset()


def test_leaves_config_dicts_alone():
    fusion, upsample_cfg = dict(type='AFF', reduction=2), dict(mode='nearest')
    AFFFPN(IN_CHANNELS, 8, 4, fusion=fusion, upsample_cfg=upsample_cfg)
    assert fusion == dict(type='AFF', reduction=2) and upsample_cfg == dict(mode='nearest')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(end_level=4), 'end_level from 0 to 3, the last of 4 in_channels, or -1 for the last'),
        (dict(end_level=-2), 'got -2'),
        (dict(start_level=4), 'start_level from 0 to 3, the last input in use, got 4'),
        (dict(start_level=-1), 'got -1'),
        (dict(start_level=2, end_level=1), 'start_level from 0 to 1'),
        (dict(num_outs=3), 'num_outs of at least 4, the number of inputs from start_level 0 to'),
        (dict(end_level=1, num_outs=3), 'num_outs of exactly 2'),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        AFFFPN(IN_CHANNELS, 8, **{'num_outs': 4, **options})


def test_activations_leave_what_the_convolutions_gave():
    neck = AFFFPN(IN_CHANNELS, 8, 5, act_cfg=dict(type='ReLU'), add_extra_convs='on_input')
    given = []
    for layers in (neck.lateral_convs, neck.fpn_convs):
        for layer in layers:
            layer.conv.register_forward_hook(lambda module, args, out: given.append(out))
    neck(features())
    assert len(given) == 9 and all((out < 0).any() for out in given)


def test_wrong_inputs():
    with pytest.raises(ValueError, match='expected 4 maps, one per entry of in_channels, got 3'):
        AFFFPN(IN_CHANNELS, 8, 4)(features()[:3])
    with pytest.raises(ValueError, match='expected 4 maps, one per entry of in_channels, got 5'):
        AFFFPN(IN_CHANNELS, 8, 4)([*features(), features()[-1]])
    # A fixed factor does not fit sizes that are not multiples of it.
    neck = AFFFPN(IN_CHANNELS, 8, 4, upsample_cfg=dict(scale_factor=2))
    with pytest.raises(ValueError, match=r'got x \(2, 8, 9, 6\) and y \(2, 8, 10, 6\)'):
        neck(features())


UPSAMPLINGS = ['Nearest', 'Bilinear', 'DySample', 'CARAFE']


@pytest.mark.parametrize(
    ('kind', 'mode'), [('Nearest', 'nearest'), ('Bilinear', 'bilinear')], ids=str
)
def test_interpolating_modules_are_the_interpolation(kind, mode):
    theirs = AFFFPN(IN_CHANNELS, 8, 5, upsample_cfg=dict(mode=mode), fusion=ADD)
    ours = AFFFPN(IN_CHANNELS, 8, 5, upsample=dict(type=kind), fusion=ADD)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    inputs = features()
    assert_equal(run(ours, inputs), run(theirs, inputs))


@pytest.mark.parametrize('kind', UPSAMPLINGS)
def test_one_upsampling_module_per_node(kind):
    neck = randomize(AFFFPN(IN_CHANNELS, 8, 5, fusion=ADD, upsample=dict(type=kind)))
    parameters = list(neck.upsamplings.parameters())
    assert len({id(p) for p in parameters}) == len(parameters)
    assert len(neck.upsamplings) == 3
    outs = run(neck, features())
    assert all(x is not None and x.isfinite().all() for x in outs)
    assert [tuple(x.shape[2:]) for x in outs[:4]] == SIZES


def test_each_node_enlarges_the_level_above():
    neck = randomize(AFFFPN([4, 6], 8, 2, fusion=ADD, upsample=dict(type='DySample')))
    inputs = [torch.randn(2, 4, 9, 7), torch.randn(2, 6, 5, 4)]
    low, high = (conv(x) for conv, x in zip(neck.lateral_convs, inputs, strict=True))
    expected = neck.fpn_convs[0](low + neck.upsamplings[0](high)[:, :, :9, :7])
    assert torch.equal(neck(inputs)[0], expected)


def test_upsampling_modules_start_as_their_papers():
    for kind, name in (('DySample', 'offset'), ('CARAFE', 'content_encoder')):
        neck = AFFFPN([4, 6], 8, 2, fusion=ADD, upsample=dict(type=kind))
        neck.init_weights()
        assert 5e-4 < neck.upsamplings[0].get_submodule(name).weight.std() < 2e-3
    init_cfg = dict(type='Constant', layer='Conv2d', val=0.25)
    neck = AFFFPN([4, 6], 8, 2, fusion=ADD, upsample=dict(type='DySample', init_cfg=init_cfg))
    neck.init_weights()
    assert (neck.upsamplings[0].offset.weight == 0.25).all()


@pytest.mark.parametrize('start', ['identity', 'paper'])
def test_upsampling_starts_near_the_bilinear_pyramid(start):
    theirs = AFFFPN(IN_CHANNELS, 8, 4, upsample_cfg=dict(mode='bilinear'), fusion=ADD)
    ours = AFFFPN(IN_CHANNELS, 8, 4, fusion=ADD, upsample=dict(type='DySample', start=start))
    ours.init_weights()
    ours.load_state_dict(theirs.state_dict(), strict=False)
    # A crop of twice the size, where the plain one goes straight to the size.
    inputs = features([(40, 24), (20, 12), (10, 6), (5, 3)])
    off = max((a - b).abs().max() for a, b in zip(ours(inputs), theirs(inputs), strict=True))
    assert off < (1e-5 if start == 'identity' else 0.05)


def test_a_size_out_of_reach_of_an_upsampling_module():
    neck = AFFFPN([4, 6], 8, 2, fusion=ADD, upsample=dict(type='DySample'))
    same = [torch.randn(2, 4, 5, 4), torch.randn(2, 6, 5, 4)]
    with pytest.raises(ValueError, match='DySample expected a size from 9 x 7 to 10 x 8, 2 times'):
        neck(same)


def test_refuses_a_module_that_enlarges_nothing():
    words = 'expected upsample as the config of an upsampling module, .* got that of ECA'
    with pytest.raises(ValueError, match=words):
        AFFFPN(IN_CHANNELS, 8, 4, upsample=dict(type='ECA'))


def test_one_way_to_upsample():
    options = dict(upsample=dict(type='DySample'), upsample_cfg=dict(mode='nearest'))
    with pytest.raises(ValueError, match='expected one of upsample, .* got both: '):
        AFFFPN(IN_CHANNELS, 8, 4, **options)
    AFFFPN(IN_CHANNELS, 8, 4, **options | dict(upsample_cfg=None))


@pytest.mark.slow
@needs_torch('2.5', 'torch.export of free sizes')
@pytest.mark.parametrize('kind', UPSAMPLINGS)
def test_exports_upsampling_at_free_sizes(kind):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
            self.stage = nn.Conv2d(8, 8, 3, stride=2, padding=1)
            self.neck = AFFFPN([8, 8], 8, 2, fusion=ADD, upsample=dict(type=kind))

        def forward(self, x):
            x = self.stem(x)
            return self.neck([x, self.stage(x)])

    model = randomize(Model()).eval()
    sides = {2: torch.export.Dim('h', min=16), 3: torch.export.Dim('w', min=16)}
    program = torch.export.export(model, (torch.rand(1, 3, 64, 48),), dynamic_shapes=dict(x=sides))
    x = torch.rand(1, 3, 71, 90)
    for a, b in zip(program.module()(x), model(x), strict=True):
        torch.testing.assert_close(a, b)


RESNET = dict(type='ResNet', depth=18, num_stages=4, out_indices=(0, 1, 2, 3), norm_eval=False)
NECK = dict(
    type='AFFFPN',
    in_channels=[64, 128, 256, 512],
    out_channels=16,
    num_outs=5,
    fusion=dict(type='AFF', reduction=4),
)


def mask_rcnn(fusion):
    def delta(*stds):
        return dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=list(stds))

    def assigner(pos, neg):
        return dict(
            type='MaxIoUAssigner', pos_iou_thr=pos, neg_iou_thr=neg, min_pos_iou=neg,
            match_low_quality=True, ignore_iof_thr=-1,
        )  # fmt: skip

    def sampler(num, add_gt):
        return dict(
            type='RandomSampler', num=num, pos_fraction=0.5, neg_pos_ub=-1,
            add_gt_as_proposals=add_gt,
        )  # fmt: skip

    def extractor(size):
        layer = dict(type='RoIAlign', output_size=size, sampling_ratio=0)
        return dict(
            type='SingleRoIExtractor', roi_layer=layer, out_channels=16,
            featmap_strides=[4, 8, 16, 32],
        )  # fmt: skip

    sigmoid = dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)
    softmax = dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)
    l1 = dict(type='L1Loss', loss_weight=1.0)
    proposals = dict(nms_pre=50, max_per_img=20, nms=dict(type='nms', iou_threshold=0.7),
                     min_bbox_size=0)  # fmt: skip
    return dict(
        type='MaskRCNN',
        backbone=RESNET,
        neck=dict(NECK, fusion=fusion),
        rpn_head=dict(
            type='RPNHead', in_channels=16, feat_channels=16,
            anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[1.0],
                                  strides=[4, 8, 16, 32, 64]),
            bbox_coder=delta(1.0, 1.0, 1.0, 1.0), loss_cls=sigmoid, loss_bbox=l1,
        ),
        roi_head=dict(
            type='StandardRoIHead',
            bbox_roi_extractor=extractor(7),
            bbox_head=dict(
                type='Shared2FCBBoxHead', in_channels=16, fc_out_channels=16, roi_feat_size=7,
                num_classes=3, bbox_coder=delta(0.1, 0.1, 0.2, 0.2), loss_cls=softmax,
                loss_bbox=l1,
            ),
            mask_roi_extractor=extractor(14),
            mask_head=dict(
                type='FCNMaskHead', num_convs=1, in_channels=16, conv_out_channels=16,
                num_classes=3,
                loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0),
            ),
        ),
        train_cfg=dict(
            rpn=dict(assigner=assigner(0.7, 0.3), sampler=sampler(32, False), allowed_border=-1,
                     pos_weight=-1, debug=False),
            rpn_proposal=proposals,
            rcnn=dict(assigner=assigner(0.5, 0.5), sampler=sampler(32, True), mask_size=28,
                      pos_weight=-1, debug=False),
        ),
        test_cfg=dict(
            rpn=proposals,
            rcnn=dict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=5,
                      mask_thr_binary=0.5),
        ),
    )  # fmt: skip


def assert_every_parameter_trains(model, losses):
    loss, _ = model.parse_losses(losses)
    assert loss.isfinite()
    loss.backward()
    assert len(model.neck.fusions) == 3
    for name, p in model.neck.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name


@pytest.mark.parametrize('fusion', ['AFF', 'iAFF'])
def test_in_mask_rcnn_of_mmdet(fusion):
    pytest.importorskip('mmdet', reason='mmdet is not installed')
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmdet.utils import register_all_modules
    from mmengine.structures import InstanceData

    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(ConfigDict(mask_rcnn(dict(type=fusion))))
        model.init_weights()
        # Neither a multiple of 32 nor of the strides in between.
        sample = DetDataSample(metainfo=dict(
            img_shape=(75, 107), ori_shape=(75, 107), pad_shape=(75, 107), scale_factor=(1.0, 1.0),
            batch_input_shape=(75, 107),
        ))  # fmt: skip
        mask = torch.zeros(2, 75, 107, dtype=torch.uint8)
        mask[0, 10:60, 10:50] = mask[1, 5:30, 60:100] = 1
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[10.0, 10, 50, 60], [60, 5, 100, 30]]),
            labels=torch.tensor([0, 2]),
            masks=BitmapMasks(mask.numpy(), 75, 107),
        )
        images = torch.randn(1, 3, 75, 107)
        assert_every_parameter_trains(model.train(), model.loss(images, [sample]))
        [found] = model.eval().predict(images, [sample])
    assert found.pred_instances.bboxes.shape == (5, 4)


@pytest.mark.parametrize('fusion', ['AFF', 'iAFF'])
def test_in_a_segmentor_of_mmseg(fusion):
    pytest.importorskip('mmseg', reason='mmseg is not installed')
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    model = dict(
        type='EncoderDecoder',
        backbone=dict(RESNET, type='ResNetV1c'),
        neck=dict(NECK, num_outs=4, fusion=dict(type=fusion)),
        decode_head=dict(
            type='FPNHead', in_channels=[16] * 4, in_index=[0, 1, 2, 3], channels=8,
            feature_strides=[4, 8, 16, 32], num_classes=5, norm_cfg=dict(type='BN'),
            align_corners=False, loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0),
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )  # fmt: skip
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(ConfigDict(model))
        model.init_weights()
        sample = SegDataSample(
            metainfo=dict(img_shape=(64, 96), ori_shape=(64, 96), pad_shape=(64, 96)),
            gt_sem_seg=PixelData(data=torch.randint(0, 5, (1, 64, 96))),
        )
        images = torch.randn(1, 3, 64, 96)
        assert_every_parameter_trains(model.train(), model.loss(images, [sample]))
        [found] = model.eval().predict(images, [sample])
    assert found.pred_sem_seg.data.shape == (1, 64, 96)


def test_accepts_the_levels_that_mmdet_accepts():
    necks = pytest.importorskip('mmdet.models.necks', reason='mmdet is not installed')
    for start, end, outs in itertools.product(range(3), range(-1, 3), range(1, 5)):
        options = dict(start_level=start, end_level=end, num_outs=outs)
        accepted = []
        for cls, extra in ((necks.FPN, {}), (AFFFPN, dict(fusion=ADD))):
            try:
                accepted.append(len(cls([2, 2, 2], 2, **options, **extra).lateral_convs) > 0)
            except (AssertionError, ValueError):
                accepted.append(False)
        assert accepted[0] == accepted[1], options


def test_takes_the_weights_of_torchvision():
    theirs = randomize(FeaturePyramidNetwork([8, 12, 16], 8))
    ours = AFFFPN([8, 12, 16], 8, num_outs=3, fusion=dict(type='AddFusion'))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = [torch.randn(1, c, 16 // 2**i, 24 // 2**i) for i, c in enumerate((8, 12, 16))]
    expected = theirs(dict(enumerate(x))).values()
    for a, b in zip(ours(x), expected, strict=True):
        torch.testing.assert_close(a, b)
