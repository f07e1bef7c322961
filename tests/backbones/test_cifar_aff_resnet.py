import re

import pytest
import torch
import torch.nn.functional as F

from mmattn import CIFARAFFResNet, CIFARAFFResNeXt
from tests.backbones.backbone_tester import BackboneTester
from tests.backbones.test_aff_resnet import released_layers
from tests.helpers import randomize

IAFF = dict(type='iAFF', reduction=2)
FILLINGS = (dict(type='AFF', reduction=4), IAFF, dict(type='AddFusion'), dict(type='ConcatFusion'))


class TestCIFARAFFResNet(BackboneTester):
    cls = CIFARAFFResNet
    tiny = dict(num_blocks=2, channels=(8, 8, 12, 16), out_indices=(0, 1, 2))
    strides = (1, 2, 4)
    stage_keys = ('stem', 'layer1', 'layer2', 'layer3,last')
    fillings = dict(fusion=FILLINGS)


class TestCIFARAFFResNeXt(BackboneTester):
    cls = CIFARAFFResNeXt
    tiny = dict(num_blocks=2, groups=2, base_width=4, out_indices=(0, 1, 2))
    strides = (1, 2, 4)
    stage_keys = ('stem', 'layer1', 'layer2', 'layer3')
    fillings = dict(fusion=FILLINGS)


# The release says 7.9, 7.8 and 9.7 M, with a classifier of 100 classes, 80 of which never occur.
@pytest.mark.parametrize(
    ('cls', 'num_blocks', 'millions'),
    [(CIFARAFFResNet, 5, 7.897), (CIFARAFFResNeXt, 4, 7.770), (CIFARAFFResNeXt, 5, 9.606)],
    ids=['R32', 'X38', 'X47'],
)
def test_parameters(cls, num_blocks, millions):
    with torch.device('meta'):
        model = cls(num_blocks)
    [width] = model.out_channels
    count = sum(p.numel() for p in model.parameters()) + 100 * width + 100
    assert count / 1e6 == pytest.approx(millions, abs=0.0005)


def released_from(state_dict):
    """Give weights of ours the names that Gluon gives to those of the authors' networks."""
    norms = {key.removesuffix('running_mean') for key in state_dict if 'running_mean' in key}
    p = {}
    resnext = 'stem.0.weight' in state_dict
    if not resnext:
        p = {'features.0.gamma': torch.ones(3), 'features.0.beta': torch.zeros(3)}
    places = ['features', 3, 4, 5] if resnext else ['features', 2, 3, 4]
    inner = dict(conv1='body.0', bn1='body.1', conv2='body.3', bn2='body.4', conv3='body.6')
    inner |= dict(bn3='body.7', fusion='attention')
    if not resnext:
        inner = dict(norm1='resfwd.0', conv1='resfwd.2', norm2='resfwd.3', conv2='resfwd.5')
        inner |= dict(fusion='attention')
    for key, value in state_dict.items():
        parent, leaf = re.match(r'(.*\.)(\w+)', key).groups()
        if leaf == 'num_batches_tracked':
            continue
        if parent in norms:
            leaf = dict(weight='gamma', bias='beta').get(leaf, leaf)
        name = re.sub(r'^stem', places[0], f'{parent}{leaf}').replace('last.0', 'features.5')
        for i in (1, 2, 3):
            name = re.sub(rf'^layer{i}', f'features.{places[i]}', name)
        p['.'.join(inner.get(part, part) for part in name.split('.'))] = value
    return p


def released_resnet(p, x, iterations):
    """The authors' ResNet for CIFAR in evaluation, on a dict of the names of Gluon."""
    norm, conv, fuse = released_layers(p, iterations)
    x = conv(norm(x, 'features.0'), 'features.1', padding=1)
    maps = []
    for i in (2, 3, 4):
        for j in range(2):
            at, stride = f'features.{i}.{j}', 2 if i > 2 and j == 0 else 1
            out = conv(norm(x, f'{at}.resfwd.0').relu(), f'{at}.resfwd.2', stride=stride, padding=1)
            out = conv(norm(out, f'{at}.resfwd.3').relu(), f'{at}.resfwd.5', padding=1)
            if f'{at}.downsample.1.weight' in p:
                x = F.avg_pool2d(x, stride, ceil_mode=True, count_include_pad=False)
                x = conv(x, f'{at}.downsample.1')
            x = fuse(out, x, f'{at}.attention')
        maps.append(x)
    return [*maps[:2], norm(maps[2], 'features.5').relu()]


def released_resnext(p, x, iterations):
    """The authors' ResNeXt for CIFAR in evaluation, with 2 groups."""
    norm, conv, fuse = released_layers(p, iterations)
    x = norm(conv(x, 'features.0', padding=1), 'features.1').relu()
    maps = []
    for i in (3, 4, 5):
        for j in range(2):
            at, stride = f'features.{i}.{j}', 2 if i > 3 and j == 0 else 1
            out = norm(conv(x, f'{at}.body.0'), f'{at}.body.1').relu()
            out = conv(out, f'{at}.body.3', stride=stride, padding=1, groups=2)
            out = conv(norm(out, f'{at}.body.4').relu(), f'{at}.body.6')
            if j == 0:
                x = F.avg_pool2d(x, stride, ceil_mode=True, count_include_pad=False)
                x = norm(conv(x, f'{at}.downsample.1'), f'{at}.downsample.2')
            x = fuse(norm(out, f'{at}.body.7'), x, f'{at}.attention').relu()
        maps.append(x)
    return maps


def released(cls, iterations):
    """Give weights in the layout of the release, an input, its outputs and a receiver."""
    fusion = dict(type='AFF', reduction=4, scale=2.0) if iterations == 1 else IAFF
    tiny = TestCIFARAFFResNet.tiny if cls is CIFARAFFResNet else TestCIFARAFFResNeXt.tiny
    options = {**tiny, 'fusion': fusion}
    p = released_from(randomize(cls(**options)).state_dict())
    equations = released_resnet if cls is CIFARAFFResNet else released_resnext
    width = cls(**options).out_channels[-1]
    x = torch.randn(1, 3, 19, 22)
    expected = equations(p, x, iterations)
    classifier = {'output.weight': torch.rand(10, width), 'output.bias': torch.rand(10)}
    return {**p, **classifier}, x, expected, cls(**options)


@pytest.mark.parametrize('iterations', [1, 2], ids=['AFF', 'iAFF'])
@pytest.mark.parametrize('cls', [CIFARAFFResNet, CIFARAFFResNeXt])
def test_computes_the_release_from_its_keys(cls, iterations):
    torch.set_default_dtype(torch.float64)
    try:
        p, x, expected, model = released(cls, iterations)
    finally:
        torch.set_default_dtype(torch.float32)
    model.load_state_dict(p, strict=True)
    model.eval()
    for a, b in zip(model(x), expected, strict=True):
        scale = b.abs().max()
        torch.testing.assert_close(a / scale, b / scale, rtol=0, atol=1e-6)


def test_starts_as_the_release():
    """From MXNet's Xavier: uniform within the root of 6 by the sum of inputs and outputs."""
    model = CIFARAFFResNet(1, out_indices=(2,))
    model.init_weights()
    weight = model.layer3[0].conv2.weight
    bound = (6 / (2 * 256 * 9)) ** 0.5
    assert 0.99 * bound < weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    model = CIFARAFFResNeXt(1)
    model.init_weights()
    assert torch.all(model.layer1[0].bn3.weight == 0) and torch.all(model.layer1[0].bn2.weight == 1)


def test_fuses_in_the_named_stages_only():
    for cls in (CIFARAFFResNet, CIFARAFFResNeXt):
        model = cls(1, fusion_stages=(2,))
        kinds = [type(getattr(model, f'layer{i}')[0].fusion).__name__ for i in (1, 2, 3)]
        assert kinds == ['AddFusion', 'AddFusion', 'AFF']


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(fusion_stages=(3,)), re.escape('fusion_stages from 0 to 2, got (3,)')),
        (dict(channels=(8, 8, 16)), re.escape('of three stages, got (8, 8, 16)')),
        (dict(out_indices=(3,)), 'out_indices in rising order from 0 to 2'),
    ],
)
def test_wrong_options(options, match):
    with pytest.raises(ValueError, match=match):
        CIFARAFFResNet(**options)
