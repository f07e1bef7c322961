import re

import pytest
import torch
import torch.nn.functional as F
import torchvision

from mmattn import AFFResNet
from mmattn.errors import InputError
from tests.backbones.backbone_tester import BackboneTester
from tests.helpers import randomize

PORT = dict(fusion=dict(type='AFF', reduction=4, scale=2.0), fusion_stages=(0, 1, 2, 3))
RELEASE = dict(deep_stem=True, avg_down=True)
IAFF = dict(type='iAFF', reduction=16)


class TestAFFResNet(BackboneTester):
    cls = AFFResNet
    tiny = dict(depth=18)
    stage_keys = ('conv1,bn1', *(f'layer{i}' for i in range(1, 5)))
    strides = (4, 8, 16, 32)
    fillings = dict(
        fusion=(
            dict(type='AFF', reduction=16),
            dict(type='iAFF', reduction=16),
            dict(type='AddFusion'),
            dict(type='ConcatFusion'),
        )
    )


class TestReleasedAFFResNeXt(TestAFFResNet):
    tiny = dict(
        depth=50, groups=32, base_width=4, stem_channels=16, out_indices=(0, 1, 2), **RELEASE
    )
    strides = (4, 8, 16)
    stage_keys = ('stem', *(f'layer{i}' for i in range(1, 4)))


def parameters(**options):
    with torch.device('meta'):
        model = AFFResNet(out_indices=(3,), **options)
    return (sum(p.numel() for p in model.parameters()) + 2048 * 1000 + 1000) / 1e6


# Paper, table 5: 30.3, 35.1, 29.9 and 34.7 M. The last two are the port and have no published
# figure; the branches that its iAFF never uses are not built here.
@pytest.mark.parametrize(
    ('options', 'millions'),
    [
        (RELEASE, 30.373),
        (dict(fusion=IAFF, **RELEASE), 35.170),
        (dict(groups=32, base_width=4, stem_channels=128, **RELEASE), 29.954),
        (dict(groups=32, base_width=4, stem_channels=128, fusion=IAFF, **RELEASE), 34.751),
        (PORT, 45.790),
        (dict(fusion=dict(type='iAFF', reduction=4), fusion_stages=range(4)), 66.023),
    ],
    ids=['AFF-R50', 'iAFF-R50', 'AFF-X50', 'iAFF-X50', 'port AFF', 'port iAFF'],
)
def test_parameters(options, millions):
    assert parameters(**options) == pytest.approx(millions, abs=0.0005)


def host_maps(model, x):
    """Maps of the four stages of a torchvision ResNet."""
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    maps = []
    for i in range(1, 5):
        x = getattr(model, f'layer{i}')(x)
        maps.append(x)
    return maps


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('resnet18', dict(depth=18)),
        ('resnet34', dict(depth=34)),
        ('resnet50', dict(depth=50)),
        ('resnet101', dict(depth=101)),
        ('resnext50_32x4d', dict(depth=50, groups=32, base_width=4)),
    ],
)
def test_same_network_as_torchvision_without_fusion(name, options):
    theirs = torchvision.models.get_model(name)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
    ours = AFFResNet(fusion_stages=(), **options).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(1, 3, 64, 81)
    for a, b in zip(ours(x), host_maps(theirs.eval(), x), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    'options',
    [
        dict(depth=18, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
        dict(depth=50, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
        dict(depth=50, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), style='caffe'),
        dict(depth=50, deep_stem=True, avg_down=True, stem_channels=32),
        dict(depth=50, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), avg_down=True),
    ],
    ids=['R18-d8', 'R50-d8', 'R50-d16-caffe', 'R50-deep', 'R50-d16-avg'],
)
@pytest.mark.parametrize('package', ['mmdet', 'mmseg', 'mmpretrain'])
def test_same_network_as_openmmlab_without_fusion(package, options):
    backbones = pytest.importorskip(f'{package}.models.backbones')
    # mmpretrain returns the last stage by default.
    theirs = backbones.ResNet(out_indices=(0, 1, 2, 3), **options)
    theirs.eval()
    ours = AFFResNet(fusion_stages=(), **options).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(1, 3, 64, 81)
    for a, b in zip(ours(x), theirs(x), strict=True):
        torch.testing.assert_close(a, b)


def port_keys(state_dict):
    return {key.replace('.fusion.', '.fuse_mode.'): value for key, value in state_dict.items()}


def port_equations(p, x, iterations):
    """The public PyTorch port of depth 18 in eval mode, on a dict of its keys."""

    def norm(x, name):
        x = (x - p[f'{name}.running_mean'][:, None, None]) / (
            p[f'{name}.running_var'][:, None, None] + 1e-5
        ).sqrt()
        return x * p[f'{name}.weight'][:, None, None] + p[f'{name}.bias'][:, None, None]

    def conv(x, name, **options):
        return F.conv2d(x, p[f'{name}.weight'], p.get(f'{name}.bias'), **options)

    def branch(z, name, first):
        z = norm(conv(z, f'{name}.{first}'), f'{name}.{first + 1}').relu()
        return norm(conv(z, f'{name}.{first + 3}'), f'{name}.{first + 4}')

    def fuse(x, y, at):
        z = x + y
        for local in ('local_att', 'local_att2')[:iterations]:
            # The port has a second global branch and does not use it.
            pooled = branch(z.mean((2, 3), keepdim=True), f'{at}.global_att', 1)
            m = (branch(z, f'{at}.{local}', 0) + pooled).sigmoid()
            z = m * x + (1 - m) * y
        return 2 * z if iterations == 1 else z

    x = norm(conv(x, 'conv1', stride=2, padding=3), 'bn1').relu()
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    maps = []
    for i in range(1, 5):
        for j in range(2):
            at, stride = f'layer{i}.{j}', 2 if i > 1 and j == 0 else 1
            out = norm(conv(x, f'{at}.conv1', stride=stride, padding=1), f'{at}.bn1').relu()
            out = norm(conv(out, f'{at}.conv2', padding=1), f'{at}.bn2')
            if stride == 2:
                x = norm(conv(x, f'{at}.downsample.0', stride=2), f'{at}.downsample.1')
            x = fuse(out, x, f'{at}.fuse_mode').relu()
        maps.append(x)
    return maps


@pytest.mark.parametrize('iterations', [1, 2], ids=['AFF', 'iAFF'])
def test_computes_the_port_from_its_keys(iterations):
    fusion = dict(type='AFF', scale=2.0) if iterations == 1 else dict(type='iAFF')
    if iterations == 2:
        # With all four branches, as the port saves them.
        source = AFFResNet(18, fusion=fusion, fusion_stages=range(4))
        fusion = dict(type='iAFF', share_global=True)
    else:
        source = AFFResNet(18, fusion=fusion, fusion_stages=range(4))
    p = port_keys(randomize(source).state_dict())
    classifier = {'fc.weight': torch.rand(10, 512), 'fc.bias': torch.rand(10)}
    model = AFFResNet(18, fusion=fusion, fusion_stages=range(4))
    model.load_state_dict({**p, **classifier}, strict=True)
    model.double().eval()
    x = torch.randn(1, 3, 45, 64, dtype=torch.float64)
    p = {key: value.double() for key, value in p.items()}
    for a, b in zip(model(x), port_equations(p, x, iterations), strict=True):
        torch.testing.assert_close(a, b)


def released_from(state_dict, resnext):
    """Give weights of ours the names that Gluon gives to those of the authors' networks."""
    norms = {key.removesuffix('running_mean') for key in state_dict if 'running_mean' in key}
    p = {}
    for key, value in state_dict.items():
        parent, leaf = re.match(r'(.*\.)(\w+)', key).groups()
        if leaf == 'num_batches_tracked':
            continue
        if parent in norms:
            leaf = dict(weight='gamma', bias='beta').get(leaf, leaf)
        name = f'{parent}{leaf}'.replace('.fusion.', '.attention.')
        if not resnext:
            name = re.sub(r'^stem\.7', 'bn1', name)
            p[re.sub(r'^stem', 'conv1', name)] = value
            continue
        name = re.sub(r'^stem', 'features', name)
        for kind, first in (('conv', 0), ('bn', 1)):
            for i in range(3):
                name = name.replace(f'.{kind}{i + 1}.', f'.body.{3 * i + first}.')
        for i in range(4):
            name = re.sub(rf'^layer{i + 1}', f'features.{10 + i}', name)
        # The shortcut of its first stage has no pooling.
        name = re.sub(r'^(features.10.0.downsample)\.1', r'\1.0', name)
        p[re.sub(r'^(features.10.0.downsample)\.2', r'\1.1', name)] = value
    return p


def released_layers(p, iterations):
    """What the authors' networks are made of."""

    def norm(x, name):
        x = (x - p[f'{name}.running_mean'][:, None, None]) / (
            p[f'{name}.running_var'][:, None, None] + 1e-5
        ).sqrt()
        return x * p[f'{name}.gamma'][:, None, None] + p[f'{name}.beta'][:, None, None]

    def conv(x, name, **options):
        return F.conv2d(x, p[f'{name}.weight'], p.get(f'{name}.bias'), **options)

    def branch(z, name, first):
        z = norm(conv(z, f'{name}.{first}'), f'{name}.{first + 1}').relu()
        return norm(conv(z, f'{name}.{first + 3}'), f'{name}.{first + 4}')

    def fuse(x, residual, at):
        z = x + residual
        if f'{at}.local_att.0.weight' not in p:
            return z
        for suffix in ('', '2')[:iterations]:
            pooled = branch(z.mean((2, 3), keepdim=True), f'{at}.global_att{suffix}', 1)
            m = (branch(z, f'{at}.local_att{suffix}', 0) + pooled).sigmoid()
            z = m * x + (1 - m) * residual
        return 2 * z if iterations == 1 else z

    return norm, conv, fuse


def released_equations(p, x, iterations):
    """The authors' ResNet-50 or ResNeXt-50 in evaluation, on a dict of the names of Gluon."""
    norm, conv, fuse = released_layers(p, iterations)
    resnext = 'features.0.weight' in p
    stem = 'features' if resnext else 'conv1'
    x = norm(conv(x, f'{stem}.0', stride=2, padding=1), f'{stem}.1').relu()
    x = norm(conv(x, f'{stem}.3', padding=1), f'{stem}.4').relu()
    x = norm(conv(x, f'{stem}.6', padding=1), 'features.7' if resnext else 'bn1').relu()
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    names = [f'body.{i}' for i in (0, 1, 3, 4, 6, 7)]
    if not resnext:
        names = ['conv1', 'bn1', 'conv2', 'bn2', 'conv3', 'bn3']
    maps = []
    for i, depth in enumerate((3, 4, 6, 3)):
        for j in range(depth):
            at = f'features.{10 + i}.{j}' if resnext else f'layer{i + 1}.{j}'
            stride = 2 if i > 0 and j == 0 else 1
            parts = [f'{at}.{name}' for name in names]
            out = norm(conv(x, parts[0]), parts[1]).relu()
            groups = 32 if resnext else 1
            out = norm(conv(out, parts[2], stride=stride, padding=1, groups=groups), parts[3])
            out = norm(conv(out.relu(), parts[4]), parts[5])
            if j == 0:
                x = F.avg_pool2d(x, stride, ceil_mode=True, count_include_pad=False)
                first = 0 if resnext and i == 0 else 1
                x = conv(x, f'{at}.downsample.{first}')
                x = norm(x, f'{at}.downsample.{first + 1}')
            x = fuse(out, x, f'{at}.attention').relu()
        maps.append(x)
    return maps


def test_released_names_are_all_known():
    for resnext in (False, True):
        options = dict(groups=32, base_width=4, stem_channels=128) if resnext else {}
        with torch.device('meta'):
            model = AFFResNet(50, fusion=IAFF, **RELEASE, **options)
        p = released_from(model.state_dict(), resnext)
        classifier = 'output' if resnext else 'fc'
        shapes = {f'{classifier}.weight': (10, 2048), f'{classifier}.bias': (10,)}
        p.update({key: torch.empty(shape, device='meta') for key, shape in shapes.items()})
        model.load_state_dict(p, strict=True, assign=True)


def test_plain_weights_leave_only_the_fusions_new(tmp_path):
    theirs = randomize(torchvision.models.resnet18())
    path = tmp_path / 'resnet18.pth'
    torch.save(theirs.state_dict(), path)
    cfg = dict(type='Pretrained', checkpoint=str(path))
    model = AFFResNet(18, init_cfg=cfg)
    fusions = {key: value.clone() for key, value in model.state_dict().items() if 'fusion' in key}
    model.init_weights()
    for key, value in model.state_dict().items():
        expected = fusions[key] if key in fusions else theirs.state_dict()[key]
        assert torch.equal(value, expected), key
    with pytest.raises(InputError, match='of another architecture than this AFFResNet'):
        AFFResNet(34, init_cfg=cfg).init_weights()


def test_weights_of_torchvision_by_name(monkeypatch):
    theirs = randomize(torchvision.models.resnet18()).state_dict()
    asked = []

    def download(url, **_):
        asked.append(url)
        return theirs

    monkeypatch.setattr('mmengine.runner.checkpoint.load_from_http', download)
    cfg = dict(type='Pretrained', checkpoint='torchvision://resnet18')
    model = AFFResNet(18, init_cfg=cfg)
    model.init_weights()
    assert len(asked) == 1 and 'resnet18' in asked[0]
    assert torch.equal(model.layer4[1].conv2.weight, theirs['layer4.1.conv2.weight'])


def test_weights_of_mmpretrain(tmp_path):
    """A checkpoint of a classifier: the backbone under its prefix, the head beside it."""
    theirs = randomize(torchvision.models.resnet18()).state_dict()
    path = tmp_path / 'resnet18.pth'
    heads = {'head.fc.weight': theirs.pop('fc.weight'), 'head.fc.bias': theirs.pop('fc.bias')}
    prefixed = {f'backbone.{key}': value for key, value in theirs.items()}
    torch.save({'state_dict': {**prefixed, **heads}}, path)
    model = AFFResNet(18, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    model.init_weights()
    for key, value in theirs.items():
        assert torch.equal(model.state_dict()[key], value), key


def test_fuses_in_the_named_stages_only():
    model = AFFResNet(18, fusion_stages=(1, 3))
    kinds = {
        i: {type(block.fusion).__name__ for block in getattr(model, f'layer{i + 1}')}
        for i in range(4)
    }
    assert kinds == {0: {'AddFusion'}, 1: {'AFF'}, 2: {'AddFusion'}, 3: {'AFF'}}


def test_zero_init_residual():
    for depth, norm in ((18, 'bn2'), (50, 'bn3')):
        for zero in (False, True):
            model = AFFResNet(depth, out_indices=(0,), zero_init_residual=zero)
            model.init_weights()
            weights = [getattr(block, norm).weight for block in model.layer1]
            assert all(torch.all(weight == (0 if zero else 1)) for weight in weights)


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(style='jax'), "'pytorch' or 'caffe', got 'jax'"),
        (dict(strides=(1, 2)), 'expected 4 strides and dilations'),
        (dict(dilations=(1, 2)), 'expected 4 strides and dilations'),
        (dict(fusion_stages=(4,)), re.escape('fusion_stages from 0 to 3, got (4,)')),
        (dict(depth=18, groups=32), 'got groups=32 and base_width=64'),
        (dict(depth=34, base_width=4), 'got groups=1 and base_width=4'),
    ],
)
def test_wrong_options(options, match):
    with pytest.raises(ValueError, match=match):
        AFFResNet(**options)
