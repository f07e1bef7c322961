"""The ways in which a host is tried without data, guessed from its attributes."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from mmattn.probe.inputs import trials

IMAGE = (256, 320)
SQUARES = [(1, 3, side, side) for side in (224, 256, 512)]


class Host(nn.Module):
    """Holds layers and attributes; what it computes does not matter here."""

    def __init__(self, *layers, **attributes):
        super().__init__()
        self.layers = nn.Sequential(*layers)
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x):
        raise AssertionError('guessing runs nothing')


class LogitsToo(Host):
    def forward(self, x, logits, *, scale=1):
        raise AssertionError('guessing runs nothing')


class SamplesToo(Host):
    def forward(self, x, batch_data_samples, rescale=True):
        raise AssertionError('guessing runs nothing')


class Model(BaseModel):
    """Notes what it is run on."""

    def __init__(self, *layers, **attributes):
        super().__init__()
        self.layers = nn.Sequential(*layers)
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, inputs, data_samples, mode):
        self.calls = [*getattr(self, 'calls', []), (inputs, data_samples, mode)]


def conv(channels):
    return nn.Conv2d(channels, 4, 1)


def tried(host, input_shape=None, image=IMAGE):
    return [trial.args for trial in trials(host, input_shape, image)]


def is_pyramid(argument):
    return isinstance(argument, tuple) and isinstance(argument[0], tuple)


def pyramid(channels, *sides):
    return tuple((1, c, *side) for c, side in zip(channels, sides, strict=True))


# ---- Backbones ----


def test_an_image_of_the_asked_size_comes_first_then_squares():
    images = tried(Host(conv(3)), image=(96, 160))[:4]
    assert images == [((1, 3, 96, 160),), *((s,) for s in SQUARES)]


@pytest.mark.parametrize('channels', [1, 4, 12])
def test_other_channels_of_images_are_tried_after_three(channels):
    first = [args[0] for args in tried(Host(conv(channels)))[:8]]
    assert first[:4] == [(1, 3, *IMAGE), *SQUARES]
    assert first[4:] == [(1, channels, *shape[2:]) for shape in first[:4]]


@pytest.mark.parametrize(
    ('own', 'size'), [(384, (384, 384)), ((192, 448), (192, 448)), ([192, 448], (192, 448))]
)
def test_the_size_that_a_part_insists_on_comes_before_the_usual_squares(own, size):
    found = list(trials(Host(conv(3), Host(img_size=own)), None, IMAGE))
    assert [t.args[0] for t in found[:3]] == [(1, 3, *IMAGE), (1, 3, *size), SQUARES[0]]
    assert [t.image for t in found[:2]] == [IMAGE, size]


@pytest.mark.parametrize(
    ('host', 'image_first'),
    [
        (Host(), True),
        (Host(conv(3)), True),
        (Host(conv(64)), False),
        (Host(conv(64), out_indices=(0, 1)), True),
        (Host(nn.Conv3d(64, 4, 1)), False),
    ],
    ids=['no convolution', 'RGB', 'maps', 'maps, but stages', 'volume'],
)
def test_what_looks_like_a_backbone_is_given_an_image_first(host, image_first):
    args = tried(host)
    assert (args[0] == ((1, 3, *IMAGE),)) == image_first
    assert ((1, 3, *IMAGE),) in args
    assert any(is_pyramid(a[0]) for a in args) == any(True for _ in host.parameters())


# ---- Necks and heads ----


def test_levels_are_given_fine_to_coarse_then_in_all_other_ways():
    fine, middle, coarse = (32, 40), (16, 20), (8, 10)
    assert tried(Host(conv(64), in_channels=[8, 16, 32]))[:5] == [
        (pyramid([8, 16, 32], fine, middle, coarse),),
        (pyramid([32, 16, 8], fine, middle, coarse),),
        (pyramid([8, 16, 32], middle, middle, middle),),
        (pyramid([3, 8, 16, 32], IMAGE, fine, middle, coarse),),
        (((1, 8), (1, 16), (1, 32)),),
    ]


@pytest.mark.parametrize(
    ('levels', 'first'), [(1, 32), (2, 16), (3, 8), (4, 4), (5, 4)], ids=lambda n: str(n)
)
def test_the_coarsest_of_up_to_four_levels_has_stride_32(levels, first):
    maps = tried(Host(conv(64), in_channels=[8] * levels), image=(100, 130))[0][0]
    strides = [first * 2**level for level in range(levels)]
    assert [m[2:] for m in maps] == [(-(-100 // s), -(-130 // s)) for s in strides]


def test_a_single_level_is_given_bare_as_well():
    args = tried(Host(conv(64), in_channels=[64]))
    assert ((1, 64, 8, 10),) in args
    assert args.index((((1, 64, 8, 10),),)) < args.index(((1, 64, 8, 10),))
    assert args.index(((1, 64, 8, 10),)) < args.index((((1, 64),),))


def test_a_list_of_layers_has_one_for_each_level():
    class Heads(Host):
        def __init__(self):
            super().__init__()
            self.only = nn.ModuleList([conv(5)])
            self.convs = nn.ModuleList([conv(8), nn.Identity(), conv(16)])
            self.later = nn.ModuleList([conv(6), conv(7)])

    assert (8, 1, 16) in channels_of_levels(Heads())
    assert (6, 7) not in channels_of_levels(Heads())


def channels_of_levels(host):
    """Channels of the maps in the order in which they are tried, each combination once."""
    found = [tuple(m[1] for m in args[0]) for args in tried(host) if is_pyramid(args[0])]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize(
    ('attributes', 'levels'),
    [
        ({}, 5),
        (dict(num_levels=3), 3),
        (dict(strides=[8, 16]), 2),
        (dict(strides=8), 5),
        (dict(rescales=[1, 2, 4, 8]), 4),
        (dict(prior_generator=SimpleNamespace(strides=[8, 16, 32])), 3),
    ],
    ids=['none', 'num_levels', 'strides', 'one stride', 'rescales', 'anchors'],
)
def test_a_head_that_all_levels_share_is_given_as_many_as_it_names(attributes, levels):
    found = channels_of_levels(Host(conv(64), in_channels=32, **attributes))
    assert found[:2] == [(32,) * levels, (3, *(32,) * levels)]
    assert (32,) in found
    assert (64,) * levels in found
    assert (64,) in found


@pytest.mark.parametrize(
    'strides', [[8, 16, 64], [(8, 8), (16, 16), (64, 64)]], ids=['numbers', 'pairs']
)
def test_the_strides_of_anchors_make_the_sizes(strides):
    anchors = SimpleNamespace(strides=strides)
    maps = tried(Host(conv(64), in_channels=32, prior_generator=anchors))[0][0]
    assert maps == pyramid([32] * 3, (32, 40), (16, 20), (4, 5))


def test_own_strides_of_another_number_of_levels_do_not_make_the_sizes():
    maps = tried(Host(conv(64), in_channels=[8, 16, 32], strides=[2, 4]))[0][0]
    assert maps == pyramid([8, 16, 32], (32, 40), (16, 20), (8, 10))


@pytest.mark.parametrize(
    ('attributes', 'channels'),
    [
        (dict(in_index=2, in_channels=32), (1, 1, 32)),
        (dict(in_index=-1, in_channels=32), (32,)),
        (dict(in_index=[0, 1, 3], in_channels=[8, 16, 32]), (8, 16, 1, 32)),
        (dict(in_index=[1, 2], in_channels=48), (1, 47, 1)),
        (dict(in_index=[-2, -1], in_channels=[8, 16]), (8, 16)),
        (dict(in_index=2, in_channels=32, c1_bottleneck=conv(24)), (24, 1, 32)),
    ],
    ids=['one', 'last', 'several', 'concatenated', 'from the end', 'a shallow one'],
)
def test_a_decode_head_gets_the_levels_that_it_selects(attributes, channels):
    assert channels_of_levels(Host(conv(64), **attributes))[0] == channels


def test_a_head_of_regions_gets_regions():
    assert tried(Host(conv(64), in_channels=16, roi_feat_size=7)) == [((4, 16, 7, 7),)]
    assert tried(Host(conv(64), in_channels=16, roi_feat_size=(7, 5))) == [((4, 16, 7, 5),)]


def test_a_head_of_two_things_about_regions_gets_both():
    assert tried(LogitsToo(in_channels=16, roi_feat_size=7)) == [
        ((4, 16, 7, 7), (4, 16, 7, 7)),
        ((4, 16, 7, 7), (1, 4, 16)),
    ]


def test_a_head_that_goes_on_from_logits_gets_some_of_the_size_of_the_first_map():
    args = tried(LogitsToo(conv(64), in_channels=[8, 16], num_classes=19))[0]
    assert args == (pyramid([8, 16], (16, 20), (8, 10)), (1, 19, 16, 20))
    args = tried(LogitsToo(conv(64), in_channels=[8]))
    assert (pyramid([8], (8, 10)), (1, 1, 8, 10)) in args
    assert ((1, 8, 8, 10), (1, 1, 8, 10)) in args


def test_what_fuses_two_maps_gets_two_alike():
    args = tried(LogitsToo(conv(64), in_channels=[8]))
    assert ((1, 8, 8, 10), (1, 8, 8, 10)) in args


def test_a_head_that_takes_samples_gets_one_that_knows_its_image():
    maps, samples = tried(SamplesToo(conv(64), in_channels=[8, 16]), image=(64, 64))[0]
    assert maps == pyramid([8, 16], (4, 4), (2, 2))
    assert_knows_its_image(samples, IMAGE)


def assert_knows_its_image(samples, image):
    (sample,) = samples
    assert sample.metainfo == dict(
        img_shape=image,
        ori_shape=image,
        pad_shape=image,
        batch_input_shape=image,
        scale_factor=(1.0, 1.0),
        flip=False,
    )


# ---- What the user says ----


def test_a_given_shape_is_the_only_one():
    assert tried(Host(conv(64)), (3, 96, 128)) == [
        ((1, 3, 96, 128),),
        (((1, 3, 96, 128),),),
    ]
    assert tried(Host(conv(64)), [(8, 32, 40), (16, 16, 20)]) == [
        (((1, 8, 32, 40), (1, 16, 16, 20)),)
    ]
    assert next(iter(trials(Host(), (3, 96, 128), IMAGE))).image == (96, 128)


def test_a_second_argument_is_added_to_a_given_shape():
    assert tried(LogitsToo(num_classes=2), (8, 32, 40)) == [
        ((1, 8, 32, 40),),
        (((1, 8, 32, 40),), (1, 2, 32, 40)),
    ]


@pytest.mark.parametrize('shape', [None, (3, 96, 128)], ids=['guessed', 'given'])
def test_a_whole_model_is_tried_in_two_modes_for_each_image(shape):
    found = [(t.args, t.image, t.mode) for t in trials(Model(conv(3)), shape, (64, 96))]
    image = (96, 128) if shape else (64, 96)
    assert found[:2] == [(((1, 3, *image),), image, mode) for mode in ('tensor', 'predict')]
    assert [mode for *_, mode in found] == ['tensor', 'predict'] * (len(found) // 2)


# ---- One trial ----


def said(host):
    return str(next(iter(trials(host, None, IMAGE))))


def test_a_trial_says_what_it_gives():
    assert said(Host(conv(3))) == '1x3x256x320'
    assert said(Host(conv(64), in_channels=[8, 16])) == '2 maps (1x8x16x20, 1x16x8x10)'
    logits = LogitsToo(conv(64), in_channels=[8, 16], num_classes=19)
    assert said(logits) == '2 maps (1x8x16x20, 1x16x8x10) and 1x19x16x20'
    assert said(SamplesToo(conv(64), in_channels=[8])) == '1 maps (1x8x8x10)'


def test_a_part_is_run_on_tensors_alone():
    class Part(Host):
        def forward(self, x):
            self.seen = x

    part = Part(conv(64), in_channels=[8, 16])
    trial = next(iter(trials(part, None, IMAGE)))
    trial.prepare(part)
    trial.run(part, torch.zeros)
    assert [m.shape for m in part.seen] == [(1, 8, 16, 20), (1, 16, 8, 10)]


def test_a_model_is_run_with_a_sample_and_proposals():
    model = Model(conv(3))
    first, second, *_ = trials(model, None, IMAGE)
    for trial in (first, second):
        trial.prepare(model)
        trial.run(model, torch.zeros)
    assert [mode for *_, mode in model.calls] == ['tensor', 'predict']
    images, samples, _ = model.calls[0]
    assert images.shape == (1, 3, *IMAGE)
    assert torch.equal(samples[0].proposals.bboxes, torch.tensor([[0.0, 0, 64, 64]] * 4))
    del samples[0].proposals
    assert_knows_its_image(samples, IMAGE)


def prepared(**attributes):
    model = Model(conv(3), **attributes)
    next(iter(trials(model, None, IMAGE))).prepare(model)
    return model


class RPN(nn.Module):
    prior_generator = None

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, maps):
        self.seen.append(maps)

    def predict(self, maps):
        return 'searched'


def test_proposals_are_stood_in_for_where_a_model_has_two_stages():
    model = prepared(rpn_head=RPN(), roi_head=nn.Identity())
    maps = (torch.zeros(1, 8, 4, 4),)
    (proposals,) = model.rpn_head.predict(maps, [], rescale=False)
    assert torch.equal(proposals.bboxes, torch.tensor([[0.0, 0, 64, 64]] * 4))
    assert model.rpn_head.seen == [maps]

    assert prepared(rpn_head=RPN()).rpn_head.predict(maps) == 'searched'


def test_alignment_is_stood_in_for_where_it_has_no_weights():
    class Extractor(nn.Module):
        def __init__(self, *layers):
            super().__init__()
            self.roi_layers = nn.ModuleList(layers)
            self.out_channels = 8

        def forward(self, maps, rois):
            return 'aligned'

    pool = nn.Identity()
    pool.output_size = (7, 5)
    model = prepared(extractor=Extractor(pool), weighted=Extractor(pool, conv(3)))
    maps = [torch.ones(1, 8, 4, 4)]
    regions = model.extractor(maps, torch.zeros(3, 5))
    assert torch.equal(regions, torch.zeros(3, 8, 7, 5))
    assert model.weighted(maps, torch.zeros(3, 5)) == 'aligned'
    model = Model(extractor=Extractor(pool))
    next(trials(model, None, IMAGE)).prepare(model, has_values=True)
    assert model.extractor(maps, torch.zeros(3, 5)) == 'aligned'


class AuxiliaryHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, maps):
        self.seen.append(maps)


@pytest.mark.parametrize('several', [False, True])
def test_heads_that_only_train_run_as_well(several):
    class Segmentor(Model):
        def extract_feat(self, images):
            return (images + 1,)

    heads = [AuxiliaryHead() for _ in range(2 if several else 1)]
    model = Segmentor(auxiliary_head=nn.ModuleList(heads) if several else heads[0])
    next(iter(trials(model, None, IMAGE))).prepare(model)
    maps = model.extract_feat(torch.zeros(1))
    assert torch.equal(maps[0], torch.ones(1))
    assert all(len(head.seen) == 1 and head.seen[0] is maps for head in heads)
