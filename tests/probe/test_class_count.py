import pytest
from mmengine.registry import DefaultScope

from mmattn.probe.class_count import (
    faults_of_class_weights,
    faults_of_out_channels,
    faults_of_topk,
    heads_in,
    wrong_counts,
)
from tests.configs.leaves import named, read

FCN = dict(type='FCNHead', in_channels=8, channels=4)
SIGMOID = dict(type='CrossEntropyLoss', use_sigmoid=True)
TWO = dict(classes=('background', 'thing'))
RETINA = dict(type='RetinaHead', in_channels=8)


@pytest.fixture(autouse=True)
def scope(request):
    name = request.node.callspec.params.get('package') if hasattr(request.node, 'callspec') else 0
    with DefaultScope.overwrite_default_scope(name or 'mmseg'):
        yield


def wrong(model, metainfo=TWO):
    return {found.key: (found.given, found.expected) for found in wrong_counts(model, metainfo)}


def segmentor(*heads, **decode_head):
    return dict(
        type='EncoderDecoder',
        decode_head=dict(FCN, **decode_head),
        auxiliary_head=list(heads),
    )


# ---- Numbers of classes ----


@pytest.mark.parametrize('number', [1, 3, 150])
def test_every_head_of_a_segmentor(number):
    model = segmentor(dict(FCN, num_classes=2), dict(FCN, num_classes=number), num_classes=number)
    assert wrong(model) == {
        'model.decode_head.num_classes': (number, 2),
        'model.auxiliary_head.1.num_classes': (number, 2),
    }


@pytest.mark.parametrize(
    'head',
    [
        dict(num_classes=2),
        dict(num_classes=2, out_channels=1, loss_decode=SIGMOID, threshold=0.5),
        # One channel is enough for two classes, however they are counted.
        dict(num_classes=1, loss_decode=SIGMOID),
        dict(num_classes=1, loss_decode=[SIGMOID, dict(type='DiceLoss')]),
        dict(num_classes=1, out_channels=1, loss_decode=dict(type='FocalLoss')),
    ],
)
def test_two_classes(head):
    assert wrong(segmentor(**head)) == {}


def test_a_softmax_over_one_channel_tells_nothing_apart():
    expected = {'model.decode_head.num_classes': (1, 2)}
    assert wrong(segmentor(num_classes=1)) == expected
    both = [SIGMOID, dict(type='CrossEntropyLoss')]
    assert wrong(segmentor(num_classes=1, loss_decode=both)) == expected


def test_heads_in_whatever_is_around_a_model():
    inner = segmentor(num_classes=3)
    assert wrong(dict(type='InsertAttention', host=inner, sites=[])) == {
        'model.host.decode_head.num_classes': (3, 2)
    }
    assert wrong(dict(type='SegTTAModel', module=inner)) == {
        'model.module.decode_head.num_classes': (3, 2)
    }
    head = dict(_scope_='mmdet', type='SemiBaseDetector', detector=dict(bbox_head=dict(RETINA)))
    head['detector']['bbox_head']['num_classes'] = 80
    assert wrong(head) == {'model.detector.bbox_head.num_classes': (80, 2)}


@pytest.mark.parametrize('package', ['mmdet'])
def test_lists_of_heads_and_defaults_of_a_detector(package):
    bbox = dict(type='Shared2FCBBoxHead', num_classes=2)
    model = dict(
        type='CascadeRCNN',
        rpn_head=dict(type='ATSSHead', num_classes=1, in_channels=8),
        roi_head=dict(
            bbox_head=[bbox, dict(bbox, num_classes=3)],
            mask_head=[dict(type='FCNMaskHead'), dict(type='FCNMaskHead', class_agnostic=True)],
            semantic_head=dict(type='FusedSemanticHead', num_classes=183),
        ),
    )
    assert wrong(model) == {
        'model.roi_head.bbox_head.1.num_classes': (3, 2),
        'model.roi_head.mask_head.0.num_classes': (80, 2),
    }


@pytest.mark.parametrize('package', ['mmdet'])
def test_things_and_stuff(package):
    metainfo = dict(classes=tuple('abcde'), thing_classes=tuple('abc'), stuff_classes=tuple('de'))
    model = dict(
        bbox_head=dict(RETINA, num_classes=3),
        semantic_head=dict(type='PanopticFPNHead', num_things_classes=3, num_stuff_classes=2),
        panoptic_head=dict(type='Mask2FormerHead', num_things_classes=80, num_stuff_classes=53),
    )
    assert wrong(model, metainfo) == {
        'model.panoptic_head.num_things_classes': (80, 3),
        'model.panoptic_head.num_stuff_classes': (53, 2),
    }
    # Instances alone.
    model = dict(head=dict(type='Mask2FormerHead', num_things_classes=2, num_stuff_classes=0))
    assert wrong(model) == {}


@pytest.mark.parametrize('package', ['mmdet'])
@pytest.mark.parametrize(
    'head',
    [
        dict(type='GroundingDINOHead', num_classes=256),
        dict(type='RPNHead', num_classes=1),
        dict(type='LinearReIDHead', num_classes=380),
        dict(num_classes=3),
        dict(type='NoSuchHead', num_classes=3),
    ],
)
def test_what_counts_something_else_is_left_alone(package, head):
    assert wrong(dict(head=head)) == {}
    tracker = dict(type='ByteTrack', tracker=dict(), detector=dict(head=dict(RETINA)))
    assert wrong(tracker) == {}


class Own:
    def __init__(self, num_classes):
        pass


class OwnHead(Own):
    pass


def test_a_head_of_somebody_else_is_left_alone():
    assert wrong(dict(head=dict(type=OwnHead, num_classes=3))) == {}


@pytest.mark.parametrize('package', ['mmpretrain'])
def test_a_classifier(package):
    model = dict(
        backbone=dict(type='VGG', depth=11, num_classes=3),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=8),
        data_preprocessor=dict(num_classes=1000),
    )
    expected = {
        'model.backbone.num_classes': (3, 2),
        'model.head.num_classes': (3, 2),
    }
    assert wrong(model) == expected
    # Labels become vectors where images are mixed.
    model['train_cfg'] = dict(augments=dict(type='Mixup'))
    assert wrong(model) == expected | {'model.data_preprocessor.num_classes': (1000, 2)}
    loss = dict(type='LabelSmoothLoss', num_classes=9)
    head = dict(type='MultiLabelLinearClsHead', num_classes=2, in_channels=8, loss=loss)
    assert wrong(dict(head=head)) == {'model.head.loss.num_classes': (9, 2)}


def test_heads_of_this_package_are_looked_at():
    cfg = read(named('seg', 'deeplabv3_mobilenetv2_d16_voc12aug'))
    assert [head.key for head in heads_in(cfg.model)] == ['model.decode_head']


# ---- Weights of classes ----


def weights(model):
    return list(faults_of_class_weights(model))


@pytest.mark.parametrize(
    ('loss', 'number', 'fault'),
    [
        (dict(type='CrossEntropyLoss'), 3, '3 weights, expected 2 for 2 classes'),
        (SIGMOID, 3, '3 weights, expected 2 for 2 classes'),
        (dict(type='FocalLoss'), 3, '3 weights, expected 2 for 2 classes'),
        (dict(type='OhemCrossEntropy'), 1, '1 weights, expected 2 for 2 classes'),
        (
            dict(type='mmdet.CrossEntropyLoss'),
            2,
            '2 weights, expected 3 for 2 classes and the background',
        ),
    ],
)
def test_weights_for_another_number_of_classes(loss, number, fault):
    loss = dict(loss, class_weight=[1.0] * number)
    model = segmentor(num_classes=2, loss_decode=loss)
    assert weights(model) == [f'model.decode_head.loss_decode.class_weight has {fault}']
    model = segmentor(num_classes=2, loss_decode=[SIGMOID, loss])
    assert weights(model) == [f'model.decode_head.loss_decode.1.class_weight has {fault}']


@pytest.mark.parametrize(
    'loss',
    [
        dict(type='CrossEntropyLoss', class_weight=[1, 2]),
        dict(type='CrossEntropyLoss', class_weight='weights.npy'),
        dict(type='CrossEntropyLoss', class_weight=2.0),
        dict(SIGMOID, class_weight=[2.0]),
        dict(type='mmdet.CrossEntropyLoss', class_weight=[1, 1, 0.1]),
        dict(type='DiceLoss', class_weight=[1, 2, 3]),
        dict(type='LovaszLoss', class_weight=[1, 2, 3]),
        dict(type='OwnLoss', class_weight=[1, 2, 3]),
        None,
    ],
)
def test_weights_that_may_fit(loss):
    assert weights(segmentor(num_classes=2, loss_decode=loss)) == []


def test_weights_for_one_channel():
    loss = dict(SIGMOID, class_weight=[1.0, 2.0])
    model = segmentor(num_classes=2, out_channels=1, loss_decode=loss)
    assert weights(model) == [
        'model.decode_head.loss_decode.class_weight has 2 weights, expected 1 for out_channels=1'
    ]


@pytest.mark.parametrize('package', ['mmdet'])
def test_weights_of_a_detector(package):
    loss = dict(type='CrossEntropyLoss', class_weight=[1.0] * 2)
    model = dict(roi_head=dict(bbox_head=[dict(type='BBoxHead', num_classes=2, loss_cls=loss)]))
    assert weights(model) == [
        'model.roi_head.bbox_head.0.loss_cls.class_weight has 2 weights, expected 3 for 2 classes '
        'and the background'
    ]
    loss['class_weight'] = [1.0] * 2 + [0.1]
    head = dict(type='Mask2FormerHead', num_things_classes=1, num_stuff_classes=1, loss_cls=loss)
    assert weights(model) == weights(dict(panoptic_head=head)) == []


# ---- Channels and the best of several ----


def test_channels_of_a_segmentor():
    assert list(faults_of_out_channels(segmentor(num_classes=3, out_channels=2))) == [
        'model.decode_head.out_channels=2 has to be num_classes=3, or 1 for two classes'
    ]
    for number in (1, 2):
        assert not list(faults_of_out_channels(segmentor(num_classes=2, out_channels=number)))
    head = dict(type='Mask2FormerHead', num_classes=3, out_channels=256)
    assert not list(faults_of_out_channels(dict(decode_head=head)))


@pytest.mark.parametrize('package', ['mmpretrain'])
def test_the_best_of_more_classes_than_there_are(package):
    model = dict(head=dict(type='LinearClsHead', num_classes=3, in_channels=8))
    metric = dict(type='Accuracy', topk=(1, 5))
    line = 'topk=(1, 5) asks for the best 5 of 3 classes'
    assert list(faults_of_topk(model, metric, 'val_evaluator')) == [f'val_evaluator.{line}']
    several = [dict(type='SingleLabelMetric'), metric]
    for evaluator, where in (
        (several, 'val_evaluator.1'),
        (dict(metrics=several), 'val_evaluator.metrics.1'),
    ):
        assert list(faults_of_topk(model, evaluator, 'val_evaluator')) == [f'{where}.{line}']
    assert not list(faults_of_topk(model, dict(type='Accuracy', topk=3), 'val_evaluator'))
