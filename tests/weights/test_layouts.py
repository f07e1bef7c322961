"""Every layout of the table: weights under the published names compute what they did there."""

import copy
import re
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmcv.cnn.bricks import ContextBlock
from torch import nn
from torchvision.models.resnet import Bottleneck
from torchvision.ops import FeaturePyramidNetwork

from mmattn import (
    AFFFPN,
    CBAM,
    ECA,
    MSCAN,
    VAN,
    AFFResNet,
    CIFARAFFResNet,
    CIFARAFFResNeXt,
    CoordAttMobileNetV2,
    GlobalContext,
    LSKNet,
    MobileNeXt,
    StripNet,
)
from mmattn.insertion.insert_attention import InsertAttention
from mmattn.weights.fit import fit_weights
from mmattn.weights.layouts import LAYOUTS, recognise, rename_published
from mmattn.weights.reading import weights_in
from mmattn.weights.state_dicts import find_state_dict
from tests.attention.test_triplet_attention import Released
from tests.backbones import (
    test_aff_resnet,
    test_cifar_aff_resnet,
    test_coord_att_mobilenet_v2,
    test_lsknet,
    test_mobilenext,
    test_mscan,
    test_strip_net,
    test_van,
)
from tests.helpers import randomize

ResNet = pytest.importorskip('mmdet.models.backbones').ResNet
FPN = pytest.importorskip('mmdet.models.necks').FPN
ROUND_TRIPS = {}


def round_trip(name):
    """Register a case that returns weights in a layout, an input, its outputs and a receiver."""

    def register(case):
        ROUND_TRIPS[name] = case
        return case

    return register


def classifier(width, *names):
    return {name: torch.rand(10, width) if 'weight' in name else torch.rand(10) for name in names}


def image():
    return torch.randn(1, 3, 64, 96)


@round_trip('released VAN')
def released_van():
    p = randomize(VAN(test_van.TINY)).state_dict()
    x = image()
    expected = test_van.equations(p, x, test_van.TINY, 1e-6, training=False)
    return {**p, **classifier(32, 'head.weight', 'head.bias')}, x, expected, VAN(test_van.TINY)


@round_trip('mmpretrain VAN')
def mmpretrain_van():
    from mmpretrain.models import VAN as Theirs

    arch = dict(embed_dims=[8, 16, 24, 32], depths=[1, 2, 1, 1], ffn_ratios=[8, 8, 4, 4])
    theirs = randomize(Theirs(arch=arch, out_indices=(0, 1, 2, 3)))
    theirs.eval()
    x = image()
    state_dict = theirs.state_dict()
    ours = VAN(test_van.TINY, stage_norm_cfg=dict(type='LN', eps=1e-5))
    return state_dict, x, theirs(x), ours


# transformers: VanForImageClassification, written out.
HUGGING_FACE = {
    'patch_embed{i}.proj': 'stages.{s}.embeddings.convolution',
    'patch_embed{i}.norm': 'stages.{s}.embeddings.normalization',
    'norm{i}': 'stages.{s}.normalization',
    'block{i}.{j}.norm1': 'stages.{s}.layers.{j}.pre_normomalization',
    'block{i}.{j}.norm2': 'stages.{s}.layers.{j}.post_normalization',
    'block{i}.{j}.layer_scale_1': 'stages.{s}.layers.{j}.attention_scaling.weight',
    'block{i}.{j}.layer_scale_2': 'stages.{s}.layers.{j}.mlp_scaling.weight',
    'block{i}.{j}.attn.proj_1': 'stages.{s}.layers.{j}.attention.pre_projection.conv',
    'block{i}.{j}.attn.proj_2': 'stages.{s}.layers.{j}.attention.post_projection',
    'block{i}.{j}.attn.spatial_gating_unit.conv0': (
        'stages.{s}.layers.{j}.attention.attention_layer.attention.depth_wise'
    ),
    'block{i}.{j}.attn.spatial_gating_unit.conv_spatial': (
        'stages.{s}.layers.{j}.attention.attention_layer.attention.depth_wise_dilated'
    ),
    'block{i}.{j}.attn.spatial_gating_unit.conv1': (
        'stages.{s}.layers.{j}.attention.attention_layer.attention.point_wise'
    ),
    'block{i}.{j}.mlp.fc1': 'stages.{s}.layers.{j}.mlp.in_dense',
    'block{i}.{j}.mlp.dwconv.dwconv': 'stages.{s}.layers.{j}.mlp.depth_wise',
    'block{i}.{j}.mlp.fc2': 'stages.{s}.layers.{j}.mlp.out_dense',
}


@round_trip('Hugging Face VAN')
def hugging_face_van():
    p, x, expected, model = released_van()
    names = {}
    for i, depth in enumerate(test_van.TINY['depths'], 1):
        for j in range(depth):
            places = dict(i=i, s=i - 1, j=j)
            names.update({a.format(**places): b.format(**places) for a, b in HUGGING_FACE.items()})
    state_dict = classifier(32, 'classifier.weight', 'classifier.bias', 'van.layernorm.weight')
    for key, value in p.items():
        parent, leaf = key.rsplit('.', 1)
        if key in names:
            state_dict[f'van.encoder.{names[key]}'] = value
        elif parent in names:
            state_dict[f'van.encoder.{names[parent]}.{leaf}'] = value
        else:
            assert parent == 'head'
    return state_dict, x, expected, model


def released_kin_of_van(kind, released):
    p = randomize(kind(test_van.TINY)).state_dict()
    x = image()
    expected = test_van.equations(p, x, test_van.TINY, training=False, **released)
    p.update(classifier(32, 'head.weight', 'head.bias'))
    return p, x, expected, kind(test_van.TINY)


@round_trip('released MSCAN')
def released_mscan():
    return released_kin_of_van(MSCAN, test_mscan.RELEASED)


@round_trip('released LSKNet')
def released_lsknet():
    return released_kin_of_van(LSKNet, test_lsknet.RELEASED)


@round_trip('released StripNet')
def released_strip_net():
    return released_kin_of_van(StripNet, test_strip_net.RELEASED)


@round_trip('mmseg MSCAN')
def mmseg_mscan():
    theirs = test_mscan.mscan_of_mmseg()
    x = image()
    return theirs.state_dict(), x, theirs(x), MSCAN(test_van.TINY)


@round_trip('released mbv2_ca')
def released_mbv2_ca():
    source = randomize(CoordAttMobileNetV2(0.35, out_indices=range(8)))
    p = test_coord_att_mobilenet_v2.released_from(source.state_dict())
    x = image()
    expected = test_coord_att_mobilenet_v2.equations(p, x)
    p.update(classifier(1280, 'classifier.1.weight', 'classifier.1.bias'))
    return p, x, expected, CoordAttMobileNetV2(0.35, out_indices=range(8))


@round_trip('torchvision MobileNetV2')
def torchvision_mobilenet_v2():
    theirs = randomize(torchvision.models.mobilenet_v2(width_mult=0.35)).eval()
    x = image()
    expected = test_coord_att_mobilenet_v2.torchvision_maps(theirs, x)
    ours = CoordAttMobileNetV2(0.35, attention=None, out_indices=range(8))
    return theirs.state_dict(), x, expected, ours


@round_trip('released MobileNeXt')
def released_mobilenext():
    options = dict(widen_factor=0.35, out_indices=range(8))
    p = test_mobilenext.released_from(randomize(MobileNeXt(**options)))
    x = image()
    expected, _ = test_mobilenext.equations(p, x, 1)
    p.update(classifier(1280, 'classifier.1.weight', 'classifier.1.bias'))
    return p, x, expected, MobileNeXt(**options)


def torchvision_maps(model, x):
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    maps = []
    for i in range(1, 5):
        x = getattr(model, f'layer{i}')(x)
        maps.append(x)
    return maps


@round_trip('torchvision ResNet')
def torchvision_resnet():
    theirs = randomize(torchvision.models.resnet18()).eval()
    x = image()
    return theirs.state_dict(), x, torchvision_maps(theirs, x), ResNet(18)


@round_trip('mmpretrain ResNet')
def mmpretrain_resnet():
    from mmpretrain.models import ImageClassifier, LinearClsHead
    from mmpretrain.models import ResNet as Theirs

    backbone = Theirs(18, out_indices=(0, 1, 2, 3))
    theirs = ImageClassifier(backbone, head=LinearClsHead(10, 512))
    randomize(theirs).eval()
    x = image()
    return theirs.state_dict(), x, theirs.backbone(x), ResNet(18)


@round_trip('AFF-ResNet port')
def aff_resnet_port():
    fusion = dict(type='AFF', scale=2.0)
    source = randomize(AFFResNet(18, fusion=fusion, fusion_stages=range(4)))
    p = test_aff_resnet.port_keys(source.state_dict())
    x = image()
    expected = test_aff_resnet.port_equations(p, x, iterations=1)
    p.update(classifier(512, 'fc.weight', 'fc.bias'))
    return p, x, expected, AFFResNet(18, fusion=fusion, fusion_stages=range(4))


def released_aff(resnext, options, iterations):
    source = randomize(AFFResNet(50, **options))
    p = test_aff_resnet.released_from(source.state_dict(), resnext)
    x = image()
    expected = test_aff_resnet.released_equations(p, x, iterations)
    name = 'output' if resnext else 'fc'
    p.update(classifier(2048, f'{name}.weight', f'{name}.bias'))
    return p, x, expected, AFFResNet(50, **options)


@round_trip('released AFF-ResNet')
def released_aff_resnet():
    return released_aff(False, test_aff_resnet.RELEASE, 1)


@round_trip('released AFF-ResNeXt')
def released_iaff_resnext():
    options = dict(groups=32, base_width=4, stem_channels=128, fusion=test_aff_resnet.IAFF)
    return released_aff(True, {**options, **test_aff_resnet.RELEASE}, 2)


@round_trip('released AFF-ResNet for CIFAR')
def released_cifar_aff_resnet():
    return test_cifar_aff_resnet.released(CIFARAFFResNet, 1)


@round_trip('released AFF-ResNeXt for CIFAR')
def released_cifar_iaff_resnext():
    return test_cifar_aff_resnet.released(CIFARAFFResNeXt, 2)


def resnet_with(name, make):
    """ResNet-50 as published with attention: in each block a child, before the addition."""

    class Block(Bottleneck):
        def __init__(self, inplanes, planes, *args, **kwargs):
            super().__init__(inplanes, planes, *args, **kwargs)
            self.add_module(name, make(4 * planes))

        def forward(self, x):
            out = self.relu(self.bn1(self.conv1(x)))
            out = self.relu(self.bn2(self.conv2(out)))
            out = getattr(self, name)(self.bn3(self.conv3(out)))
            return self.relu(out + (x if self.downsample is None else self.downsample(x)))

    return randomize(torchvision.models.ResNet(Block, [3, 4, 6, 3])).eval()


class PublishedECA(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x):
        means = x.mean((2, 3))[:, None]
        return x * self.conv(means)[:, 0, :, None, None].sigmoid()


@round_trip('ECA-ResNet')
def eca_resnet():
    theirs = resnet_with('eca', lambda channels: PublishedECA())
    x = image()
    plugin = dict(cfg=dict(type='mmattn.ECA', kernel_size=3), position='after_conv3')
    return theirs.state_dict(), x, torchvision_maps(theirs, x), ResNet(50, plugins=[plugin])


class PublishedCBAM(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.ChannelGate = nn.Module()
        layers = [
            nn.Linear(channels, channels // 16),
            nn.ReLU(),
            nn.Linear(channels // 16, channels),
        ]
        self.ChannelGate.mlp = nn.Sequential(nn.Flatten(), *layers)
        self.SpatialGate = nn.Module()
        self.SpatialGate.spatial = nn.Module()
        self.SpatialGate.spatial.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.SpatialGate.spatial.bn = nn.BatchNorm2d(1)

    def forward(self, x):
        mlp, spatial = self.ChannelGate.mlp, self.SpatialGate.spatial
        gate = mlp(F.adaptive_avg_pool2d(x, 1)) + mlp(F.adaptive_max_pool2d(x, 1))
        x = x * gate[..., None, None].sigmoid()
        pooled = torch.stack([x.max(1).values, x.mean(1)], 1)
        return x * spatial.bn(spatial.conv(pooled)).sigmoid()


@round_trip('CBAM-ResNet')
def cbam_resnet():
    theirs = resnet_with('cbam', PublishedCBAM)
    x = image()
    plugin = dict(cfg=dict(type='mmattn.CBAM'), position='after_conv3')
    return theirs.state_dict(), x, torchvision_maps(theirs, x), ResNet(50, plugins=[plugin])


def blocks_of(model):
    return {
        f'layer{i}.{j}': block
        for i in range(1, 5)
        for j, block in enumerate(getattr(model, f'layer{i}'))
    }


def behind_bn3(block, attend):
    block.bn3.register_forward_hook(lambda module, args, out: attend(out))


def inserted(*sites, **host):
    """ResNet-50 of mmdet with attention at these sites, as published from the start."""
    host = dict(dict(type='mmdet.ResNet', depth=50), **host)
    return InsertAttention(host=host, sites=list(sites), start='paper')


@round_trip('Triplet-ResNet')
def triplet_resnet():
    theirs = torchvision.models.resnet50()
    for block in blocks_of(theirs).values():
        block.triplet_attention = Released(no_spatial=False)
        behind_bn3(block, block.triplet_attention)
    randomize(theirs).eval()
    x = image()
    site = dict(after=r'layer\d\.\d+\.bn3', attention=dict(type='TripletAttention'))
    return theirs.state_dict(), x, torchvision_maps(theirs, x), inserted(site)


@round_trip('SE-ResNet')
def se_resnet():
    timm = pytest.importorskip('timm')
    theirs = randomize(timm.create_model('seresnet50')).eval()
    x = image()
    site = dict(after=r'layer\d\.\d+\.bn3', attention=dict(type='SE', reduction=16))
    expected = theirs.forward_intermediates(x, intermediates_only=True)[1:]
    return theirs.state_dict(), x, expected, inserted(site)


@round_trip('timm ECA-ResNet-D')
def timm_eca_resnet():
    timm = pytest.importorskip('timm')
    theirs = randomize(timm.create_model('ecaresnet50d')).eval()
    x = image()
    site = dict(after=r'layer\d\.\d+\.bn3', attention=dict(type='ECA'))
    expected = theirs.forward_intermediates(x, intermediates_only=True)[1:]
    return theirs.state_dict(), x, expected, inserted(site, type='mmdet.ResNetV1d')


class PublishedBAM(nn.Module):
    def __init__(self, c):
        super().__init__()
        m = c // 16
        self.channel_att = nn.Module()
        self.channel_att.gate_c = nn.Sequential(
            OrderedDict(
                flatten=nn.Flatten(),
                gate_c_fc_0=nn.Linear(c, m),
                gate_c_bn_1=nn.BatchNorm1d(m),
                gate_c_relu_1=nn.ReLU(),
                gate_c_fc_final=nn.Linear(m, c),
            )
        )
        self.spatial_att = nn.Module()
        layers = dict(gate_s_conv_reduce0=nn.Conv2d(c, m, 1), gate_s_bn_reduce0=nn.BatchNorm2d(m))
        layers.update(gate_s_relu_reduce0=nn.ReLU())
        for i in range(2):
            layers[f'gate_s_conv_di_{i}'] = nn.Conv2d(m, m, 3, padding=4, dilation=4)
            layers[f'gate_s_bn_di_{i}'] = nn.BatchNorm2d(m)
            layers[f'gate_s_relu_di_{i}'] = nn.ReLU()
        layers['gate_s_conv_final'] = nn.Conv2d(m, 1, 1)
        self.spatial_att.gate_s = nn.Sequential(OrderedDict(layers))

    def forward(self, x):
        channels = self.channel_att.gate_c(x.mean((2, 3)))[..., None, None]
        return x * (1 + (channels * self.spatial_att.gate_s(x)).sigmoid())


@round_trip('BAM-ResNet')
def bam_resnet():
    theirs = torchvision.models.resnet50()
    for i in range(1, 4):
        bam = PublishedBAM(128 * 2**i)
        theirs.add_module(f'bam{i}', bam)
        stage = getattr(theirs, f'layer{i}')
        stage.register_forward_hook(lambda module, args, out, bam=bam: bam(out))
    randomize(theirs).eval()
    x = image()
    site = dict(after=r'layer[123]', attention=dict(type='BAM'))
    # As the authors' script wraps the network and what it saves.
    state_dict = {f'module.{key}': value for key, value in theirs.state_dict().items()}
    return {'state_dict': state_dict}, x, torchvision_maps(theirs, x), inserted(site)


class PublishedStripPooling(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1 = nn.Conv2d(c, c, (3, 1), padding=(1, 0), bias=False)
        self.bn1 = nn.BatchNorm2d(c)
        self.conv2 = nn.Conv2d(c, c, (1, 3), padding=(0, 1), bias=False)
        self.bn2 = nn.BatchNorm2d(c)
        self.conv3 = nn.Conv2d(c, c, 1)

    def forward(self, x):
        rows = self.bn1(self.conv1(x.mean(3, keepdim=True)))
        columns = self.bn2(self.conv2(x.mean(2, keepdim=True)))
        return self.conv3((rows + columns).relu()).sigmoid()


def deep_stem(*widths):
    layers = []
    for i, (before, width) in enumerate(zip((3, *widths), widths, strict=False)):
        layers.append(nn.Conv2d(before, width, 3, 1 if i else 2, 1, bias=False))
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers[:-2])  # The last norm is bn1.


@round_trip('SPNet')
def spnet():
    theirs = torchvision.models.resnet50()
    theirs.conv1, theirs.bn1 = deep_stem(64, 64, 128), nn.BatchNorm2d(128)
    theirs.layer1[0].conv1 = nn.Conv2d(128, 64, 1, bias=False)
    theirs.layer1[0].downsample[0] = nn.Conv2d(128, 256, 1, bias=False)
    for place in ('layer1.2', 'layer2.3', 'layer3.5', 'layer4.0', 'layer4.1', 'layer4.2'):
        block = blocks_of(theirs)[place]
        block.spm = PublishedStripPooling(block.conv3.in_channels)
        block.conv3.register_forward_pre_hook(
            lambda module, args, spm=block.spm: args[0] * spm(args[0])
        )
    randomize(theirs).eval()
    x = image()
    site = dict(
        before=r'(layer1\.2|layer2\.3|layer3\.5|layer4\.\d)\.conv3',
        attention=dict(type='StripPooling'),
    )
    ours = inserted(site, deep_stem=True, stem_channels=128)
    return theirs.state_dict(), x, torchvision_maps(theirs, x), ours


@round_trip('GSoP-ResNet')
def gsop_resnet():
    theirs = torchvision.models.resnet50()
    for layer in (theirs.layer4[0].conv2, theirs.layer4[0].downsample[0]):
        layer.stride = (1, 1)
    for place, block in blocks_of(theirs).items():
        c = block.bn3.num_features
        block.conv_for_DR = nn.Conv2d(c, 128, 1, 2 if 'layer1' in place else 1)
        block.bn_for_DR = nn.BatchNorm2d(128)
        block.row_bn = nn.BatchNorm2d(128)
        block.row_conv_group = nn.Conv2d(128, 512, (128, 1), groups=128)
        block.fc_adapt_channels = nn.Conv2d(512, c, 1)

        def attend(x, b=block):
            y = b.bn_for_DR(b.conv_for_DR(x.relu())).relu().flatten(2)
            y = y - y.mean(2, keepdim=True)
            covariance = (y @ y.mT / y.shape[2])[..., None]
            return x * b.fc_adapt_channels(b.row_conv_group(b.row_bn(covariance))).sigmoid()

        behind_bn3(block, attend)
    randomize(theirs).eval()
    x = image()
    sites = [
        dict(after=r'layer1\.\d\.bn3', attention=dict(type='GSoP', stride=2)),
        dict(after=r'layer[234]\.\d\.bn3', attention=dict(type='GSoP')),
    ]
    ours = inserted(*sites, strides=(1, 2, 2, 1))
    return theirs.state_dict(), x, torchvision_maps(theirs, x), ours


class PublishedSimAM(nn.Module):
    def forward(self, x):
        square = (x - x.mean((2, 3), keepdim=True)) ** 2
        n = x.shape[2] * x.shape[3] - 1
        variance = square.sum((2, 3), keepdim=True) / n
        return x * (square / (4 * (variance + 0.1)) + 0.5).sigmoid()


@round_trip('SimAM-ResNet')
def simam_resnet():
    theirs = torchvision.models.resnet50()
    for block in blocks_of(theirs).values():
        block.conv2 = nn.Sequential(block.conv2, PublishedSimAM())
    randomize(theirs).eval()
    x = image()
    site = dict(after=r'layer\d\.\d+\.conv2', attention=dict(type='SimAM', e_lambda=0.1))
    return theirs.state_dict(), x, torchvision_maps(theirs, x), inserted(site)


@round_trip('GC-ResNet')
def gc_resnet():
    theirs = torchvision.models.resnet50()
    for place, block in blocks_of(theirs).items():
        if 'layer1' not in place:
            block.context_block = ContextBlock(block.bn3.num_features, ratio=1 / 16)
            behind_bn3(block, block.context_block)
    randomize(theirs).eval()
    x = image()
    # Released within detectors.
    state_dict = {f'backbone.{key}': value for key, value in theirs.state_dict().items()}
    site = dict(after=r'layer[234]\.\d+\.bn3', attention=dict(type='GlobalContext', reduction=16))
    return state_dict, x, torchvision_maps(theirs, x), inserted(site)


CHANNELS = [8, 12, 16]


def pyramid_input():
    return [torch.randn(1, c, 32 // 2**i, 48 // 2**i) for i, c in enumerate(CHANNELS)]


@round_trip('mmdet and mmseg FPN')
def plain_fpn():
    theirs = randomize(FPN(CHANNELS, 8, 3))
    x = pyramid_input()
    state_dict = {f'neck.{key}': value for key, value in theirs.state_dict().items()}
    return state_dict, x, theirs(x), AFFFPN(CHANNELS, 8, num_outs=3, fusion=dict(type='AddFusion'))


class Detector(nn.Module):
    """What of mmdet's detector comes before the heads."""

    def __init__(self):
        super().__init__()
        self.backbone = ResNet(50)
        self.neck = FPN([256, 512, 1024, 2048], 256, 4)
        self.rpn_head = nn.Conv2d(256, 3, 1)

    def forward(self, x):
        return self.neck(self.backbone(x))


@round_trip('torchvision FPN')
def torchvision_fpn():
    theirs = torchvision.models.detection.fasterrcnn_resnet50_fpn_v2(
        weights=None, weights_backbone=None
    )
    theirs.backbone.fpn = FeaturePyramidNetwork([256, 512, 1024, 2048], 256)
    randomize(theirs, seed=1).eval()
    x = image()
    return theirs.state_dict(), x, list(theirs.backbone(x).values()), Detector()


def test_every_layout_has_a_round_trip():
    assert {layout.name for layout in LAYOUTS} == set(ROUND_TRIPS)


@pytest.fixture
def in_double():
    """Random networks of this depth enlarge what float32 rounds, on each processor differently."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize('name', ROUND_TRIPS)
@pytest.mark.usefixtures('in_double')
def test_round_trip(name):
    state_dict, x, expected, model = ROUND_TRIPS[name]()
    before = copy.deepcopy(state_dict)
    assert recognise(find_state_dict(state_dict)).name == name
    fit = fit_weights(weights_in(state_dict, 'a.pth'), model)
    fit.load()
    assert f'a.pth ({name} layout): ' in fit.report.line()
    assert set(fit.report.new.values()) <= {'head'}
    assert not (fit.report.missing or fit.report.mismatched or fit.report.left_inside)
    assert state_dict.keys() == before.keys()
    model.eval()
    with torch.no_grad():
        for a, b in zip(model(x), expected, strict=True):
            scale = b.abs().max()
            torch.testing.assert_close(a / scale, b / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize('name', ['layer1.0.eca', 'layer1.0.bn.eca', 'eca'])
def test_attention_goes_to_the_inserted_module_of_the_block(name):
    model = nn.Module()
    model.layer1 = nn.Sequential(nn.Module(), nn.Module())
    block = model.layer1[0]
    block.bn = nn.BatchNorm2d(8)
    block.bn.inserted_attention = nn.ModuleDict(dict(eca=ECA(8)))
    state_dict = {f'host.{name}.conv.weight': torch.rand(1, 1, 3)}
    rename_published(model, state_dict, 'host.')
    assert list(state_dict) == ['host.layer1.0.bn.inserted_attention.eca.conv.weight']


@pytest.mark.parametrize('ours', ['global_context', 'context_block'])
def test_context_blocks_go_to_ours_and_to_that_of_mmcv(ours):
    model = nn.Module()
    model.layer2 = nn.Sequential(nn.Module())
    block = model.layer2[0]
    block.bn3 = nn.BatchNorm2d(32)
    attention = GlobalContext(32) if ours == 'global_context' else ContextBlock(32, ratio=1 / 16)
    block.bn3.inserted_attention = nn.ModuleDict({ours: attention})
    state_dict = {'backbone.layer2.0.context_block.conv_mask.weight': torch.rand(1, 32, 1, 1)}
    rename_published(model, state_dict)
    assert list(state_dict) == [f'layer2.0.bn3.inserted_attention.{ours}.conv_mask.weight']


def test_attention_that_could_go_to_two_modules_goes_nowhere():
    model = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(2))
    for norm in model:
        norm.inserted_attention = nn.ModuleDict(dict(cbam=CBAM(8, reduction=2)))
    state_dict = {'cbam.ChannelGate.mlp.1.bias': torch.rand(4)}
    rename_published(model, state_dict)
    assert list(state_dict) == ['cbam.ChannelGate.mlp.1.bias']


def efficientnet_pytorch_names():
    """List the layers of EfficientNet-Lite0 as efficientnet_pytorch names them, in its order."""
    block = ['_expand_conv', '_bn0', '_depthwise_conv', '_bn1', '_project_conv', '_bn2']
    names = ['_conv_stem', '_bn0', *(f'_blocks.0.{layer}' for layer in block[2:])]
    names += [f'_blocks.{i}.{layer}' for i in range(1, 16) for layer in block]
    return [*names, '_conv_head', '_bn1', '_fc']


def efficientnet_lite0():
    """Give timm's network, and its weights as efficientnet_pytorch would publish them."""
    timm = pytest.importorskip('timm')
    theirs = randomize(timm.create_model('tf_efficientnet_lite0', num_classes=10)).eval()
    layers = list(dict.fromkeys(key.rpartition('.')[0] for key in theirs.state_dict()))
    names = dict(zip(layers, efficientnet_pytorch_names(), strict=True))
    tensors = theirs.state_dict().items()
    return theirs, {
        f'{names[layer]}.{tensor}': value
        for (layer, _, tensor), value in ((key.rpartition('.'), value) for key, value in tensors)
    }


@round_trip('efficientnet_pytorch Lite0')
def efficientnet_pytorch_lite0():
    theirs, state_dict = efficientnet_lite0()
    x = image()
    return state_dict, x, theirs(x), randomize(copy.deepcopy(theirs))


@pytest.mark.parametrize('package', ['mmseg', 'mmpretrain'])
def test_the_wrapper_of_timm_takes_what_timm_does(package):
    theirs, state_dict = efficientnet_lite0()
    backbones = pytest.importorskip(f'{package}.models.backbones')
    host = backbones.TIMMBackbone('tf_efficientnet_lite0', True, False, out_indices=(1, 4))
    host.eval()
    x = image()
    features = theirs.forward_intermediates(x, indices=[1, 4], intermediates_only=True)
    for weights in (state_dict, theirs.state_dict()):
        randomize(host)
        fit = fit_weights(weights_in(dict(weights), 'a.pth'), host)
        fit.refuse_or_report(pretrained=True)
        fit.load()
        torch.testing.assert_close(list(host(x)), features)


@pytest.mark.parametrize(
    'name',
    ['skresnet18', 'skresnet34', 'resnest14d', 'ecaresnet26t', 'ecaresnet50t', 'ecaresnetlight'],
)
def test_the_wrapper_of_timm_takes_resnets_with_attention(name):
    timm = pytest.importorskip('timm')
    backbones = pytest.importorskip('mmseg.models.backbones')
    theirs = randomize(timm.create_model(name)).eval()
    host = randomize(backbones.TIMMBackbone(name, True, False, out_indices=(1, 2, 3, 4))).eval()
    fit = fit_weights(weights_in(theirs.state_dict(), 'a.pth'), host)
    # Nothing is missing, and nothing left over but the head.
    assert fit.tensors.keys() == host.state_dict().keys()
    assert len(fit.tensors) == len(theirs.state_dict()) - 2
    fit.load()
    x = image()
    features = theirs.forward_intermediates(x, indices=[1, 2, 3, 4], intermediates_only=True)
    torch.testing.assert_close(list(host(x)), features)


@pytest.mark.parametrize('package', ['mmseg', 'mmpretrain'])
def test_mobilenet_v2_of_others_takes_that_of_torchvision(package):
    theirs = randomize(torchvision.models.mobilenet_v2(width_mult=0.35)).eval()
    models = pytest.importorskip(f'{package}.models.backbones')
    host = models.MobileNetV2(widen_factor=0.35, out_indices=(3, 4))
    host.eval()
    fit = fit_weights(weights_in(theirs.state_dict(), 'a.pth'), host)
    fit.refuse_or_report(pretrained=True)
    fit.load()
    x = image()
    _, found = host(x)
    torch.testing.assert_close(found, theirs.features[:14](x))


@pytest.mark.parametrize(
    'key', ['features.19.0.weight', 'features.5.conv.9.weight', 'features.5.gate.weight']
)
def test_what_mobilenet_v2_of_torchvision_does_not_have_stays(key):
    state_dict = {
        **torchvision.models.mobilenet_v2(width_mult=0.1).state_dict(),
        key: torch.rand(1),
    }
    rename_published(CoordAttMobileNetV2(0.25), state_dict)
    assert key in state_dict and 'layer2.0.conv.2.bn.weight' in state_dict


def test_own_names_stay():
    model = Detector()
    state_dict = model.state_dict()
    rename_published(model, state_dict)
    assert state_dict.keys() == model.state_dict().keys()


def test_retinanet_of_torchvision():
    theirs = torchvision.models.detection.retinanet_resnet50_fpn_v2(
        weights=None, weights_backbone=None
    )
    neck = FPN([512, 1024, 2048], 256, 5, add_extra_convs='on_output')
    state_dict = theirs.state_dict()
    rename_published(neck, state_dict)
    assert neck.state_dict().keys() == state_dict.keys() & neck.state_dict().keys()


def test_renaming_keeps_the_order():
    neck = FPN([8, 16], 8, 2)
    state_dict = {}
    for i, key in enumerate(neck.state_dict()):
        state_dict['neck.' * (i % 2) + key] = i
        state_dict[f'other.{i}'] = -i
    rename_published(neck, state_dict)
    assert [key for key in state_dict if 'other' not in key] == [*neck.state_dict()]
    assert [abs(i) for i in state_dict.values()] == [i // 2 for i in range(len(state_dict))]


def test_unknown_layout():
    assert recognise(nn.Conv2d(1, 1, 1).state_dict()) is None
    assert recognise(f'x.{key}' for key in re.findall(r'\w+', 'layer1 fc')) is None
