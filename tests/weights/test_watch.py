"""Hosts of other projects, which load their pretrained weights in ways of their own."""

import re

import pytest
import torch
import torchvision
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from torch import nn

from mmattn import VAN
from mmattn.errors import InputError
from mmattn.weights.fit import fit_weights, note_aside
from mmattn.weights.reading import weights_in
from mmattn.weights.watch import report_loads, watch_loads
from tests.helpers import randomize

mmdet = pytest.importorskip('mmdet.models.backbones')
ResNet, SwinTransformer = mmdet.ResNet, mmdet.SwinTransformer
ConvNeXt = pytest.importorskip('mmpretrain.models.backbones').ConvNeXt


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr('mmattn.weights.report.print_log', lambda line, **_: lines.append(line))
    return lines


@pytest.fixture
def complaints(monkeypatch):
    """What mmengine's loader says of keys that do not match."""
    lines = []
    monkeypatch.setattr(
        'mmengine.runner.checkpoint.print_log',
        lambda line, *_, **__: lines.append(line) if 'do not match' in line else None,
    )
    return lines


def initialize(module):
    with report_loads(module):
        module.init_weights()
    return module


def pretrained(path, **options):
    # Swin asks for the attributes of mmengine's configs.
    return ConfigDict(type='Pretrained', checkpoint=str(path), **options)


@pytest.fixture(scope='module')
def resnet18(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'resnet18.pth'
    torch.save(randomize(torchvision.models.resnet18()).state_dict(), path)
    return path


@pytest.fixture(scope='module')
def resnet50(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'resnet50.pth'
    torch.save(torchvision.models.resnet50().state_dict(), path)
    return path


def test_resnet_with_plugins(resnet50, log, complaints):
    plugin = dict(cfg=dict(type='mmattn.SE'), position='after_conv2', stages=(0, 0, 0, 1))
    model = initialize(ResNet(50, plugins=[plugin], init_cfg=pretrained(resnet50)))
    assert torch.equal(model.layer1[0].conv1.weight, torch.load(resnet50)['layer1.0.conv1.weight'])
    assert log == [
        f'pretrained {resnet50} (torchvision ResNet layout): 318/318 host tensors loaded, '
        '12 new (all attention), 2 unused (fc.*)'
    ]
    assert complaints == []


def test_weights_under_the_name_model(resnet18, tmp_path, log):
    torch.save({'model': torch.load(resnet18), 'epoch': 90}, tmp_path / 'a.pth')
    initialize(ResNet(18, init_cfg=pretrained(tmp_path / 'a.pth')))
    assert log == [
        f'pretrained {tmp_path / "a.pth"} (torchvision ResNet layout): 120/120 host tensors '
        'loaded, 2 unused (fc.*)'
    ]


def test_weights_of_a_smaller_network_are_refused(resnet50):
    with pytest.raises(
        InputError,
        match=r'resnet50\.pth is of another architecture than this ResNet: 318 of 573 tensors fit, '
        r'255 do not \(layer3\.6\.conv1\.weight: missing there.*strict_pretrained=False',
    ):
        initialize(ResNet(101, init_cfg=pretrained(resnet50)))


def test_weights_of_a_larger_network_are_refused(tmp_path):
    state_dict = ResNet(18).state_dict()
    extra = {'layer3.2.conv1.weight': torch.rand(256, 256, 3, 3)}
    i = list(state_dict).index('layer4.0.conv1.weight')
    items = list(state_dict.items())
    torch.save(dict([*items[:i], *extra.items(), *items[i:]]), tmp_path / 'a.pth')
    with pytest.raises(InputError, match=r'layer3\.2\.conv1\.weight: missing here'):
        initialize(ResNet(18, init_cfg=pretrained(tmp_path / 'a.pth')))


def test_weights_of_other_width_are_refused(resnet18):
    with pytest.raises(InputError, match=r'conv1\.weight: shape \(64, 3, 7, 7\) there, \(32, 3, 7'):
        initialize(ResNet(18, stem_channels=32, base_channels=32, init_cfg=pretrained(resnet18)))


def test_may_be_allowed(resnet18, log):
    cfg = pretrained(resnet18, strict_pretrained=False)
    initialize(ResNet(34, init_cfg=cfg))
    assert cfg['strict_pretrained'] is False
    [line] = log
    assert ': 120/200 host tensors loaded, 80 missing (layer1.2.conv1.weight, ...)' in line


def test_weights_under_another_prefix_are_refused_with_the_way_out(resnet18, tmp_path, log):
    state_dict = {f'backbone.{key}': value for key, value in torch.load(resnet18).items()}
    torch.save(state_dict, tmp_path / 'a.pth')
    with pytest.raises(InputError, match=r"0 of 100 tensors fit.*give prefix='backbone\.'"):
        initialize(ResNet(18, init_cfg=pretrained(tmp_path / 'a.pth')))
    initialize(ResNet(18, init_cfg=pretrained(tmp_path / 'a.pth', prefix='backbone.')))
    assert '120/120 host tensors loaded' in log[0]


class Model(BaseModule):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def test_each_part_has_its_line(resnet18, tmp_path, log):
    van = dict(embed_dims=(8, 16), depths=(1, 1), mlp_ratios=(2, 2))
    torch.save(VAN(van, out_indices=(0, 1)).state_dict(), tmp_path / 'van.pth')
    initialize(
        Model(
            a=ResNet(18, init_cfg=pretrained(resnet18)),
            b=VAN(van, init_cfg=pretrained(tmp_path / 'van.pth'), out_indices=(0, 1)),
        )
    )
    assert {re.search(r'(\S+\.pth) \((.*) layout\)', line).groups() for line in log} == {
        (str(resnet18), 'torchvision ResNet'),
        (str(tmp_path / 'van.pth'), 'released VAN'),
    }
    assert len(log) == 2


SWIN = dict(embed_dims=12, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2), convert_weights=True)


def released_swin(model):
    """A classifier of the Swin release with the weights of a model, as far as it has them."""
    released = {}
    for key, value in model.state_dict().items():
        if key.startswith('norm'):
            continue
        key = re.sub(r'^stages\.', 'layers.', key)
        key = key.replace('patch_embed.projection', 'patch_embed.proj')
        key = key.replace('attn.w_msa.', 'attn.')
        key = key.replace('ffn.layers.0.0.', 'mlp.fc1.').replace('ffn.layers.1.', 'mlp.fc2.')
        released[key] = value
    released['layers.0.blocks.0.attn_mask'] = torch.rand(4, 49, 49)
    return {**released, 'norm.weight': torch.rand(96), 'head.weight': torch.rand(5, 96)}


# With another window than that of the weights Swin resizes its tables.
@pytest.mark.parametrize('window_size', [7, 12])
def test_swin_converts_for_itself(tmp_path, log, window_size):
    source = randomize(SwinTransformer(**SWIN))
    torch.save({'model': released_swin(source)}, tmp_path / 'swin.pth')
    cfg = pretrained(tmp_path / 'swin.pth')
    model = initialize(SwinTransformer(**SWIN, window_size=window_size, init_cfg=cfg))
    name = 'stages.3.blocks.0.ffn.layers.1.weight'
    assert torch.equal(model.state_dict()[name], source.state_dict()[name])
    total = len(list(model.parameters())) - 8
    constants = 5 if window_size == 7 else 0
    assert log == [
        f'pretrained {tmp_path / "swin.pth"}: {total + constants}/{total + constants} host tensors '
        'loaded, 8 new (all output norm), 2 unused (norm.*, stages.*)'
    ]


def test_swin_without_conversion_is_refused_in_one_line(tmp_path):
    torch.save({'model': released_swin(SwinTransformer(**SWIN))}, tmp_path / 'swin.pth')
    cfg = pretrained(tmp_path / 'swin.pth')
    model = SwinTransformer(**{**SWIN, 'convert_weights': False}, init_cfg=cfg)
    with pytest.raises(InputError, match=r'swin\.pth has nothing that the loader of this Swin'):
        initialize(model)


def test_convnext_for_dense_prediction(tmp_path, log):
    arch = dict(depths=[1, 1, 2, 1], channels=[8, 8, 16, 16])
    state_dict = {f'backbone.{k}': v for k, v in ConvNeXt(arch).state_dict().items()}
    torch.save({'state_dict': {**state_dict, 'head.fc.bias': torch.rand(5)}}, tmp_path / 'a.pth')
    cfg = pretrained(tmp_path / 'a.pth', prefix='backbone.')
    model = initialize(ConvNeXt(arch, out_indices=(0, 1, 2, 3), init_cfg=cfg))
    assert torch.equal(model.norm3.weight, state_dict['backbone.norm3.weight'])
    total = len(state_dict)
    assert log == [
        f'pretrained {tmp_path / "a.pth"}: {total}/{total} host tensors loaded, '
        '6 new (all output norm)'
    ]


def test_errors_of_the_body_are_its_own(resnet18):
    with pytest.raises(KeyError, match='mine'), report_loads(ResNet(18)):
        raise KeyError('mine')


def test_what_we_load_ourselves_goes_past_a_watch():
    module, weights = nn.Linear(2, 2), nn.Linear(2, 2).state_dict()
    with watch_loads(module) as watch:
        fit = fit_weights(weights_in(weights, 'a.pth'), module)
        assert not torch.equal(module.weight, weights['weight'])
        fit.refuse_or_report()
        fit.load()
        assert torch.equal(module.weight, weights['weight'])
        assert (watch.loads, watch.reports) == ([], [fit.report])
        module.load_state_dict(weights)
        assert len(watch.loads) == 1
    module.load_state_dict(weights)
    assert len(watch.loads) == 1
    assert not note_aside(['nobody looks'])


def test_what_the_first_of_two_loads_set_aside_is_its_own():
    module = nn.Linear(2, 2)
    with watch_loads(module) as watch:
        assert note_aside(['old.weight'])
        module.load_state_dict(module.state_dict())
        module.load_state_dict(module.state_dict())
    assert [load.report().unused for load in watch.loads] == [('old.weight',), ()]


def test_a_watched_load_keeps_what_does_not_fit():
    module = nn.Linear(2, 2)
    before = module.weight.clone()
    with watch_loads(module) as watch:
        module.load_state_dict({'weight': torch.rand(3), 'more': torch.rand(1)}, strict=True)
    report = watch.loads[0].report()
    assert torch.equal(module.weight, before)
    assert (report.mismatched, report.missing, report.unused) == (['weight'], ('bias',), ('more',))
