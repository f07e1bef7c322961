import re

import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torchvision.models import mobilenet_v2

from mmattn import CoordAttMobileNetV2
from mmattn.layers.conv import ThriftyConvModule
from mmattn.probe.traffic import count_kept_bytes
from mmattn.weights.fit import fit_weights
from mmattn.weights.reading import read_weights
from tests.attention.test_coord_att import equations as coordinate_attention
from tests.backbones.backbone_tester import BackboneTester
from tests.helpers import randomize

# t, c, n, s of table 2 of the MobileNetV2 paper.
TABLE = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]


class TestCoordAttMobileNetV2(BackboneTester):
    cls = CoordAttMobileNetV2
    tiny = dict(widen_factor=0.25)
    strides = (4, 8, 16, 32)
    stage_keys = ('conv1', *(f'layer{i}' for i in range(1, 8)))


def released_from(state_dict):
    """The keys of the release: one flat list of blocks, each one flat list of layers."""
    order = [(stage, block) for stage, (_, _, n, _) in enumerate(TABLE, 1) for block in range(n)]
    layers = {'0.conv': 0, '0.bn': 1, '1.conv': 3, '1.bn': 4, '2.conv': 7, '2.bn': 8}
    released = {}
    for key, value in state_dict.items():
        if match := re.match(r'layer(\d)\.(\d)\.(.*)', key):
            index = order.index((int(match[1]), int(match[2]))) + 1
            if match[3].startswith('attention.'):
                rest = (
                    match[3]
                    .replace('attention', '6')
                    .replace('conv_h', 'conv2')
                    .replace('conv_w', 'conv3')
                )
            else:
                layer, rest = re.match(r'conv\.(\d\.\w+)\.(.*)', match[3]).groups()
                rest = f'{layers[layer]}.{rest}'
            key = f'features.{index}.conv.{rest}'
        else:
            key = re.sub(r'^conv1\.conv', 'features.0.0', key)
            key = re.sub(r'^conv1\.bn', 'features.0.1', key)
            key = re.sub(r'^conv2\.conv', 'conv.0', key)
            key = re.sub(r'^conv2\.bn', 'conv.1', key)
        released[key] = value
    return released


def equations(p, x):
    """The release in eval mode up to its last convolution, on a dict of released keys."""

    def conv_bn(x, conv, bn, stride=1, groups=1, act=True):
        weight = p[f'{conv}.weight']
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
        mean, var = p[f'{bn}.running_mean'], p[f'{bn}.running_var']
        x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        x = x * p[f'{bn}.weight'][:, None, None] + p[f'{bn}.bias'][:, None, None]
        return x.clamp(0, 6) if act else x

    x = conv_bn(x, 'features.0.0', 'features.0.1', stride=2)
    maps, index = [], 0
    for t, _, n, s in TABLE:
        for stride in [s] + [1] * (n - 1):
            index += 1
            at = f'features.{index}.conv'
            out = x
            if t != 1:
                out = conv_bn(out, f'{at}.0', f'{at}.1')
                out = conv_bn(out, f'{at}.3', f'{at}.4', stride=stride, groups=out.shape[1])
                attention = {
                    key.removeprefix(f'{at}.6.')
                    .replace('conv2', 'conv_h')
                    .replace('conv3', 'conv_w'): value
                    for key, value in p.items()
                    if key.startswith(f'{at}.6.')
                }
                out = coordinate_attention(out, attention, training=False)
                out = conv_bn(out, f'{at}.7', f'{at}.8', act=False)
            else:
                out = conv_bn(out, f'{at}.0', f'{at}.1', stride=stride, groups=out.shape[1])
                out = conv_bn(out, f'{at}.3', f'{at}.4', act=False)
            x = x + out if stride == 1 and x.shape == out.shape else out
        maps.append(x)
    return [*maps, conv_bn(x, 'conv.0', 'conv.1')]


@pytest.mark.parametrize('widen_factor', [0.1, 0.35, 1.0])
def test_computes_the_released_network_from_its_keys(widen_factor):
    source = randomize(CoordAttMobileNetV2(widen_factor, out_indices=range(8)))
    released = released_from(source.state_dict())
    classifier = {'classifier.1.weight': torch.rand(10, 1280), 'classifier.1.bias': torch.rand(10)}
    model = CoordAttMobileNetV2(widen_factor, out_indices=range(8))
    model.load_state_dict({**released, **classifier}, strict=True)
    model.double().eval()
    x = torch.randn(2, 3, 64, 49, dtype=torch.float64)
    p = {key: value.double() for key, value in released.items()}
    for a, b in zip(model(x), equations(p, x), strict=True):
        torch.testing.assert_close(a, b)


def test_what_was_not_built_is_set_aside():
    released = released_from(CoordAttMobileNetV2(0.25, out_indices=range(8)).state_dict())
    for last in range(8):
        CoordAttMobileNetV2(0.25, out_indices=(last,)).load_state_dict(released, strict=True)
    released['features.18.conv.0.weight'] = torch.rand(1)
    with pytest.raises(RuntimeError, match=r'Unexpected key.*features\.18'):
        CoordAttMobileNetV2(0.25).load_state_dict(released, strict=True)


# Paper, tables 2 and 4: 3.95 M and 4.37 M with the classifier of 1000 classes.
@pytest.mark.parametrize(
    ('widen_factor', 'reduction', 'millions'),
    [(1.0, 32, 3.951), (1.0, 16, 4.367), (1.0, 24, 4.087), (0.75, 32, 2.892), (0.5, 32, 2.096)],
)
def test_parameters(widen_factor, reduction, millions):
    attention = dict(type='CoordAtt', reduction=reduction)
    with torch.device('meta'):
        model = CoordAttMobileNetV2(widen_factor, attention=attention, out_indices=(7,))
    classifier = model.out_channels[-1] * 1000 + 1000
    count = sum(p.numel() for p in model.parameters()) + classifier
    assert count / 1e6 == pytest.approx(millions, abs=0.0005)


# The other rows of the paper's table, each at its reduction.
@pytest.mark.parametrize(
    ('attention', 'millions'),
    [
        (None, 3.505),
        (dict(type='SE', reduction=24), 3.888),
        (dict(type='CBAM', reduction=24), 3.890),
        (dict(type='CoordAtt', reduction=24, direction='h'), 3.891),
    ],
    ids=['plain', 'SE', 'CBAM', 'one direction'],
)
def test_parameters_with_other_attention(attention, millions):
    with torch.device('meta'):
        model = CoordAttMobileNetV2(attention=attention, out_indices=(7,))
    count = sum(p.numel() for p in model.parameters()) + 1280 * 1000 + 1000
    assert count / 1e6 == pytest.approx(millions, abs=0.0006)


def test_sixteen_of_seventeen_blocks_have_attention():
    model = CoordAttMobileNetV2(out_indices=(7,))
    with_attention = [
        name for name, module in model.named_modules() if type(module).__name__ == 'CoordAtt'
    ]
    assert len(with_attention) == 16
    assert not any(name.startswith('layer1.') for name in with_attention)


@pytest.mark.parametrize(
    ('options', 'strides'),
    [
        (dict(), (4, 8, 16, 32)),
        (dict(strides=(1, 2, 2, 2, 1, 1, 1), dilations=(1, 1, 1, 1, 1, 2, 2)), (4, 8, 16, 16)),
        (dict(strides=(1, 2, 2, 1, 1, 1, 1), dilations=(1, 1, 1, 2, 2, 4, 4)), (4, 8, 8, 8)),
    ],
    ids=['stride32', 'stride16', 'stride8'],
)
def test_same_network_as_mmseg_without_attention(options, strides):
    from mmseg.models.backbones import MobileNetV2

    theirs = randomize(MobileNetV2(widen_factor=0.35, **options))
    # .eval() of theirs returns None.
    theirs.eval()
    ours = CoordAttMobileNetV2(0.35, attention=None, **options).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(1, 3, 64, 96)
    for a, b, stride in zip(ours(x), theirs(x), strides, strict=True):
        assert torch.equal(a, b)
        assert a.shape[2:] == (64 // stride, 96 // stride)


def test_plain_mobilenet_weights_leave_only_the_attention_new(tmp_path):
    plain = randomize(CoordAttMobileNetV2(0.25, attention=None))
    path = tmp_path / 'plain.pth'
    torch.save({'state_dict': plain.state_dict()}, path)
    model = CoordAttMobileNetV2(0.25, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    model.init_weights()
    for key, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


def torchvision_maps(theirs, x):
    """What torchvision's layers give at the end of each stage, and the last convolution."""
    maps, begin = [], 0
    for end in (2, 4, 7, 11, 14, 17, 18, 19):
        x = theirs.features[begin:end](x)
        maps.append(x)
        begin = end
    return maps


@pytest.mark.parametrize('prefix', ['', 'backbone.'], ids=['alone', 'in a model'])
def test_computes_the_network_of_torchvision_from_its_keys(prefix):
    theirs = randomize(mobilenet_v2()).double().eval()
    model = CoordAttMobileNetV2(attention=None, out_indices=range(8)).double().eval()
    receiver = torch.nn.ModuleDict(dict(backbone=model)) if prefix else model
    receiver.load_state_dict({prefix + k: v for k, v in theirs.state_dict().items()}, strict=True)
    x = torch.randn(1, 3, 64, 49, dtype=torch.float64)
    with torch.no_grad():
        for a, b in zip(model(x), torchvision_maps(theirs, x), strict=True):
            torch.testing.assert_close(a, b)


def test_of_torchvision_what_was_not_built_is_set_aside():
    released = mobilenet_v2(width_mult=0.35).state_dict()
    for last in range(8):
        model = CoordAttMobileNetV2(0.35, attention=None, out_indices=(last,))
        model.load_state_dict(released, strict=True)
    released['features.19.0.weight'] = torch.rand(1)
    with pytest.raises(RuntimeError, match=r'Unexpected key.*features\.19'):
        CoordAttMobileNetV2(0.35, attention=None).load_state_dict(released, strict=True)


def test_weights_of_torchvision_leave_only_the_attention_new(tmp_path):
    theirs = randomize(mobilenet_v2(width_mult=0.35))
    path = tmp_path / 'mobilenet_v2-b0353104.pth'
    torch.save(theirs.state_dict(), path)
    cfg = dict(type='Pretrained', checkpoint=str(path))
    model = CoordAttMobileNetV2(0.35, out_indices=(4, 7), init_cfg=cfg)
    report = fit_weights(read_weights(str(path)), model).report
    assert report.layout.name == 'torchvision MobileNetV2'
    assert set(report.new.values()) == {'attention'}
    assert report.unused == ('classifier.1.weight', 'classifier.1.bias')
    model.init_weights()
    plain = CoordAttMobileNetV2(0.35, attention=None, out_indices=(4, 7))
    plain.load_state_dict(theirs.state_dict(), strict=True)
    for key, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


def test_wrong_number_of_strides():
    with pytest.raises(ValueError, match='expected 7 strides and dilations'):
        CoordAttMobileNetV2(strides=(1, 2))


def test_released_attention_of_another_reduction_stays_new(tmp_path):
    source = randomize(CoordAttMobileNetV2(attention=dict(type='CoordAtt', reduction=4)))
    path = tmp_path / 'released.pth'
    torch.save(released_from(source.state_dict()), path)
    model = CoordAttMobileNetV2(
        attention=dict(type='CoordAtt', reduction=2),
        init_cfg=dict(type='Pretrained', checkpoint=str(path)),
    )
    model.init_weights()
    for key, value in model.state_dict().items():
        if '.attention.' not in key:
            assert torch.equal(source.state_dict()[key], value), key


def test_training_keeps_one_map_less_of_each_relu6(monkeypatch):
    model, x = CoordAttMobileNetV2(widen_factor=0.25).train(), torch.rand(2, 3, 96, 96)
    own = count_kept_bytes(model, x)
    monkeypatch.setattr(ThriftyConvModule, 'forward', ConvModule.forward)
    assert own < 0.76 * count_kept_bytes(model, x)
