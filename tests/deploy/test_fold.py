"""Folded models compute the same, and say what became of each norm."""

import copy
import importlib
import inspect
import pickle
import pkgutil
from pathlib import Path

import pytest
import torch
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import Conv2dAdaptivePadding
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.nn.utils import parametrizations

from mmattn import attention, fusion
from mmattn.deploy import fold
from mmattn.deploy.flow import tensors_of
from mmattn.deploy.fold import fold_and_tell
from mmattn.errors import InputError
from mmattn.fusion.base import Fusion
from mmattn.insertion import InsertAttention
from mmattn.probe.build import build
from tests import backbones
from tests.helpers import randomize

CHANNELS = 32


def norms_of(model):
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def expect_equal(model, folded, *inputs, rtol=1e-10):
    """Compare each output in float64, relative to its largest value."""
    model = copy.deepcopy(model)
    model.eval()
    with torch.no_grad():
        expected, got = [*tensors_of(model(*inputs))], [*tensors_of(folded(*inputs))]
    assert len(expected) == len(got) > 0
    for a, b in zip(expected, got, strict=True):
        assert a.abs().max() > 0
        torch.testing.assert_close(b, a, rtol=0, atol=rtol * a.abs().max().item())


ATTENTION = {name: (name, {}) for name in attention.__all__} | {
    f'{name} {options}': (name, options)
    for name, options in [
        ('CoordAtt', dict(direction='h')),
        ('CoordAtt', dict(direction='w', norm_cfg=dict(type='SyncBN'))),
        ('GALA', dict(norm_cfg=dict(type='BN'))),
        ('GatherExcite', dict(extra_params=True, feat_size=(9, 7))),
        ('NonLocal', dict(norm_cfg=dict(type='BN'))),
    ]
}
# Norms of what the modules compute, that stay.
KEPT = {'BAM': 1, 'TimmAttention': 1}


@pytest.mark.parametrize('name', ATTENTION)
def test_every_attention_module(name):
    kind, options = ATTENTION[name]
    module = randomize(MODELS.build(dict(type=kind, in_channels=CHANNELS, **options))).double()
    folded, told = fold_and_tell(module, (CHANNELS, 9, 7))
    assert len(norms_of(folded)) == KEPT.get(name, 0)
    assert len(told.norms) == len(norms_of(module)) - KEPT.get(name, 0)
    for n, h, w in ((2, 9, 7), (1, 5, 13)):
        if 'feat_size' not in options or (h, w) == options['feat_size']:
            x = torch.randn(n, CHANNELS, h, w, dtype=torch.float64)
            expect_equal(module, folded, x)
            expect_equal(module, folded, x.to(memory_format=torch.channels_last))
    gates, kept = module.eval().gates(x), folded.gates(x)
    assert gates.keys() == kept.keys()
    for key in gates:
        torch.testing.assert_close(kept[key], gates[key], rtol=1e-9, atol=1e-9)


FUSION = {n: (n, {}) for n in fusion.__all__ if issubclass(getattr(fusion, n), Fusion)} | {
    strategy: ('AFF', dict(strategy=strategy)) for strategy in ('half_aff', 'concat_aff')
}


@pytest.mark.parametrize('name', FUSION)
def test_every_fusion_module(name):
    kind, options = FUSION[name]
    module = randomize(MODELS.build(dict(type=kind, in_channels=CHANNELS, **options))).double()
    folded = fold(module)
    assert norms_of(folded) == []
    x, y = torch.randn(2, 2, CHANNELS, 9, 7, dtype=torch.float64)
    expect_equal(module, folded, x, y)
    gates, kept = module.eval().gates(x, y), folded.gates(x, y)
    assert gates.keys() == kept.keys()
    for key in gates:
        torch.testing.assert_close(kept[key], gates[key], rtol=1e-9, atol=1e-9)


class Reads(nn.Module):
    """A host that calls its layers by names of its own."""

    def __init__(self, run, **layers):
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        return self.run(self, x)


def conv(*args, **options):
    return nn.Conv2d(*args, **{'bias': False} | options)


def bn(channels=4):
    return nn.BatchNorm2d(channels)


PAIRS = {
    'depthwise': nn.Sequential(conv(3, 3, 3, padding=1, groups=3), bn(3)),
    'grouped, with bias': nn.Sequential(conv(3, 8, 3, bias=True), conv(8, 4, 1, groups=4), bn()),
    'transposed, grouped': nn.Sequential(
        conv(3, 4, 1), nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), bn(6)
    ),
    'linear': nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.BatchNorm1d(4)
    ),
    'without affine': nn.Sequential(conv(3, 4, 3), nn.BatchNorm2d(4, affine=False)),
    'synchronized': nn.Sequential(conv(3, 4, 3), nn.SyncBatchNorm(4)),
    'two in a row': nn.Sequential(conv(3, 4, 3), bn(), nn.Dropout(), bn()),
    'before 1x1': nn.Sequential(bn(3), nn.Conv2d(3, 4, 1)),
    'before grouped without padding': nn.Sequential(
        conv(3, 4, 1), nn.ReLU(), bn(), conv(4, 6, 3, stride=2, groups=2)
    ),
    'before linear': nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(3), nn.Linear(3, 4)
    ),
    'before reflected': nn.Sequential(bn(3), conv(3, 4, 3, padding=1, padding_mode='reflect')),
    'on both sides': nn.Sequential(bn(3), conv(3, 4, 1), bn()),
    'called for each level': Reads(
        lambda m, x: [m.b(m.a(x)), m.b(m.a(x[..., 1:]))], a=conv(3, 4, 1), b=bn()
    ),
    'called by another order': Reads(lambda m, x: m.a(m.c(x)), a=bn(), c=conv(3, 4, 1)),
    'ConvModule': ConvModule(3, 4, 3, norm_cfg=dict(type='BN')),
    'ConvModule, norm first': ConvModule(
        3, 4, 1, norm_cfg=dict(type='BN'), act_cfg=None, order=('norm', 'conv', 'act')
    ),
}


@pytest.mark.parametrize('name', PAIRS)
def test_pairs(name):
    model = randomize(copy.deepcopy(PAIRS[name])).double()
    folded, told = fold_and_tell(model, (3, 11, 8))
    assert told.left == {} and norms_of(folded) == []
    assert len(told.norms) == len(norms_of(model))
    expect_equal(model, folded, torch.randn(2, 3, 9, 13, dtype=torch.float64))


class Standardized(nn.Conv2d):
    """Convolution whose output does not scale with its weights."""

    def forward(self, x):
        weight = self.weight / self.weight.std((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x, weight, self.bias)


def tied():
    model = nn.Sequential(conv(3, 3, 1), bn(3), nn.ReLU(), conv(3, 3, 1))
    model[3].weight = model[0].weight
    return model


def hooked(of):
    model = nn.Sequential(conv(3, 4, 1), bn())
    model[of].register_forward_hook(Looks())
    return model


class Looks:
    def __call__(self, module, args, out):
        self.seen = out.mean()


# What is left alone, and why.
REFUSED = {
    'read twice': (
        Reads(lambda m, x: (y := m.c(x)) + m.n(y), c=conv(3, 4, 1), n=bn()),
        'c, before it, is read by something else as well',
    ),
    'returned': (
        Reads(lambda m, x: (y := m.c(x), m.n(y)), c=conv(3, 4, 1), n=bn()),
        'c, before it, is read by whoever runs the model as well',
    ),
    'changed in place': (
        Reads(lambda m, x: m.n(m.c(x).relu_()), c=conv(3, 4, 1), n=bn()),
        'c, before it, is read by something else as well',
    ),
    'two norms of one convolution': (
        Reads(
            lambda m, x: m.n1(m.c(x)).relu() + m.n2(m.c(x[..., :1])),
            c=conv(3, 4, 1),
            n1=bn(),
            n2=bn(),
        ),
        'c, before it, is read by n2 as well',
    ),
    'two convolutions of one norm': (
        Reads(
            lambda m, x: m.n(m.c1(x)).relu() + m.n(m.c2(x)),
            c1=conv(3, 4, 1),
            c2=conv(3, 4, 1),
            n=bn(),
        ),
        'c1, before it, is not all that it is given',
    ),
    'a view in between': (
        Reads(lambda m, x: m.n(m.c(x).flatten(2)), c=conv(3, 4, 1), n=nn.BatchNorm1d(4)),
        'no convolution or linear layer is next to it',
    ),
    'weights read elsewhere': (
        Reads(lambda m, x: m.n(m.c(x)) + m.c.weight.sum(), c=conv(3, 4, 1), n=bn()),
        'c, before it, has weights that something else reads',
    ),
    'norm read elsewhere': (
        Reads(lambda m, x: m.n(m.c(x)) + m.n.bias.sum(), c=conv(3, 4, 1), n=bn()),
        'it has weights that something else reads',
    ),
    'weights of two convolutions': (tied(), '0, before it, has weights that something else reads'),
    'no statistics': (
        nn.Sequential(conv(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
        'it has no running statistics',
    ),
    'hook on the convolution': (hooked(0), '0, before it, is read by something else as well'),
    'hook on the norm': (hooked(1), 'it has hooks'),
    'spectral norm': (
        nn.Sequential(nn.utils.spectral_norm(conv(3, 4, 1)), bn()),
        '0, before it, has hooks',
    ),
    'parametrized': (
        nn.Sequential(parametrizations.weight_norm(conv(3, 4, 1)), bn()),
        '0, before it, is parametrized',
    ),
    'standardized': (
        nn.Sequential(Standardized(3, 4, 1), bn()),
        '0, before it, does not scale with its weights',
    ),
    'before zeros': (
        nn.Sequential(bn(3), conv(3, 4, 3, padding=1)),
        '1, behind it, puts zeros around what it is given',
    ),
    'before zeros of its own making': (
        nn.Sequential(bn(3), Conv2dAdaptivePadding(3, 4, 3)),
        '1, behind it, puts zeros around what it is given',
    ),
    'tokens': (
        Reads(
            lambda m, x: m.n(m.l(x.flatten(2).mT[:, :4])), l=nn.Linear(3, 5), n=nn.BatchNorm1d(4)
        ),
        'l, before it, has its channels on another axis',
    ),
    'group norm': (
        nn.Sequential(conv(3, 4, 1), nn.GroupNorm(2, 4)),
        'GroupNorm computes its statistics from what it is given',
    ),
    'idle': (
        Reads(lambda m, x: m.c(x), c=conv(3, 4, 1), n=bn()),
        'it did not run',
    ),
    'its own attention': (
        InsertAttention(
            host=nn.Sequential(conv(3, 8, 1), bn(8)),
            sites=[dict(after='0', attention=dict(type='SE', reduction=2), start='paper')],
        ),
        '0, before it, holds other modules',
    ),
}


@pytest.mark.parametrize('name', REFUSED)
def test_leaves_alone_what_it_cannot_fold_exactly(name):
    model, reason = REFUSED[name]
    model = randomize(copy.deepcopy(model)).double()
    folded, told = fold_and_tell(model, (3, 11, 8))
    assert reason in told.left.values()
    assert told.norms == {}
    expect_equal(model, folded, torch.randn(2, 3, 11, 8, dtype=torch.float64))


def small(**options):
    norm = dict(norm_cfg=dict(type='BN'))
    layers = ConvModule(3, 8, 3, **norm), attention.CoordAtt(8, **options), nn.Dropout()
    return randomize(nn.Sequential(*layers, ConvModule(8, 4, 1, **norm)))


def test_leaves_the_model_as_it_was():
    model = small().train()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    folded = fold(model)
    assert all(m.training for m in model.modules())
    assert not any(m.training for m in folded.modules())
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_tells_what_it_did():
    _, told = fold_and_tell(small())
    assert told.norms == {'0.bn': '0.conv', '1.bn1': '1.conv1', '3.bn': '3.conv'}
    assert told.dropped == ['2'] and told.exchanged == [] and told.left == {}
    assert 0 < told.difference < 1e-5


def test_drops_what_never_left_its_start():
    model = small(start='identity')
    assert isinstance(fold(model)[1], attention.CoordAtt)
    model[1].blend.data.zero_()
    folded, told = fold_and_tell(model)
    assert told.dropped == ['1', '2']
    expect_equal(model, folded, torch.randn(2, 3, 9, 8), rtol=1e-5)
    fused = fusion.AFF(8, start='identity')
    folded, told = fold_and_tell(fused)
    assert told.exchanged == [''] and list(folded.parameters()) == []
    expect_equal(fused, folded, *torch.randn(2, 2, 8, 5, 4))


def test_folds_once():
    once = fold(small())
    twice, told = fold_and_tell(once)
    assert (told.norms, told.exchanged, told.dropped) == ({}, [], [])
    assert str(twice) == str(once)
    assert all(
        torch.equal(tensor, once.state_dict()[name]) for name, tensor in twice.state_dict().items()
    )


def test_folded_models_are_copied_pickled_and_exported():
    model = fold(small())
    x = torch.randn(2, 3, 9, 8)
    expected = model(x)
    assert torch.equal(copy.deepcopy(model)(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), expected)
    program = torch.export.export(model, (x,))
    torch.testing.assert_close(program.module()(x), expected)


def test_goes_into_bfloat16_and_keeps_channels_last():
    model = small().to(memory_format=torch.channels_last)
    folded = fold(model)
    assert folded[0].conv.weight.is_contiguous(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 9, 8).to(memory_format=torch.channels_last)
    expected = folded(x)
    assert expected.is_contiguous(memory_format=torch.channels_last)
    out = folded.to(torch.bfloat16)(x.to(torch.bfloat16)).float()
    assert (out - expected).abs().max() < 0.02 * expected.abs().max()


class Lies(nn.Module):
    def folded(self):
        return nn.ReLU()

    def forward(self, x):
        return x.abs()


def test_refuses_a_model_that_would_compute_something_else():
    with pytest.raises(InputError, match=r'the same when folded, got a difference .*\(folded: 1\)'):
        fold(nn.Sequential(conv(3, 4, 1), Lies()))
    peeks = Reads(lambda m, x: m.d(m.c(x)) * m.d.p, c=conv(3, 4, 1), d=nn.Dropout())
    with pytest.raises(InputError, match='expected Reads to run when folded, got AttributeError'):
        fold(peeks)


def test_tells_rounding_from_a_mistake():
    model = randomize_norms(Reads(lambda m, x: (1e4 * m.n(m.c(x))).frac(), c=conv(3, 4, 1), n=bn()))
    _, told = fold_and_tell(model, (3, 9, 8))
    assert told.norms == {'n': 'c'} and told.difference > 1e-5
    expect_equal(model.double(), fold(model.double()), torch.rand(1, 3, 5, 4).double(), rtol=1e-8)


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (conv(3, 4, 1).half(), 'Conv2d with weights in float32, got torch.float16; fold it first'),
        (conv(3, 4, 1, device='meta'), 'got weights without values'),
    ],
)
def test_refuses_weights_it_cannot_fold(model, message):
    with pytest.raises(InputError, match=message):
        fold(model)


def backbone_testers():
    """Find the tests of all backbones, each with a tiny form of it."""
    for module in pkgutil.iter_modules(backbones.__path__):
        tests = vars(importlib.import_module(f'tests.backbones.{module.name}')).values()
        yield from (each for each in tests if inspect.isclass(each) and hasattr(each, 'tiny'))


TESTERS = {tester.__name__.removeprefix('Test'): tester for tester in backbone_testers()}
# Norms with a ReLU or padding behind them.
BEHIND_ADDITION = {'CIFARAFFResNet': 8}


@pytest.mark.parametrize('name', TESTERS)
def test_every_backbone(name):
    model = randomize(TESTERS[name].cls(**TESTERS[name].tiny)).double()
    folded, told = fold_and_tell(model, (3, 48, 64))
    assert len(norms_of(folded)) == BEHIND_ADDITION.get(name, 0)
    assert told.norms
    # The random weights of the deepest make 1e-15 more than 1e-10.
    expect_equal(model, folded, torch.randn(1, 3, 45, 67, dtype=torch.float64), rtol=1e-8)


def model_of(package, path, **changes):
    """Build a model that a package ships, with changes, without weights from elsewhere."""
    folder = Path(importlib.import_module(package).__file__).parent / '.mim' / 'configs'
    cfg = Config.fromfile(folder / path)
    cfg.merge_from_dict({'default_scope': package, 'model.backbone.init_cfg': None, **changes})
    return randomize_norms(build(cfg, meta=False))


def randomize_norms(model):
    """Give batch norms statistics and weights as of trained ones."""
    for norm in norms_of(model):
        nn.init.uniform_(norm.running_var, 0.8, 1.2)
        nn.init.normal_(norm.running_mean, std=0.1)
        nn.init.uniform_(norm.weight, 0.5, 1)
        nn.init.normal_(norm.bias, std=0.1)
    return model


def test_a_classifier_with_attention_inserted():
    host = model_of('mmpretrain', '_base_/models/resnet50.py')
    site = dict(after=r'backbone\.layer\d\.\d\.conv2', attention=dict(type='CoordAtt'))
    model = randomize_norms(InsertAttention(host=host, sites=[site], start='paper'))
    folded, told = fold_and_tell(model)
    # A gate stands between those convolutions and their norms.
    assert len(norms_of(folded)) == len(told.left) == 16
    assert all('before it, holds other modules' in reason for reason in told.left.values())
    assert len(told.norms) == 53
    expect_equal(model, folded, torch.rand(2, 3, 64, 96), rtol=1e-5)
    assert len(folded(torch.rand(2, 3, 64, 96), mode='predict')) == 2


def test_a_segmentor_on_van():
    head = dict(type='FCNHead', channels=8, num_classes=3, norm_cfg=dict(type='SyncBN'))
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(
            ConfigDict(
                type='mmseg.EncoderDecoder',
                backbone=dict(type='VAN', **TESTERS['VAN'].tiny),
                decode_head=dict(head, in_channels=32, in_index=3),
                auxiliary_head=dict(head, in_channels=24, in_index=2),
                test_cfg=dict(mode='whole'),
            )
        )
    folded, told = fold_and_tell(randomize_norms(model))
    assert norms_of(folded) == [] and len(told.exchanged) == 5
    assert {'decode_head.convs.0.bn', 'auxiliary_head.convs.0.bn'} < told.norms.keys()
    x = torch.rand(1, 3, 96, 64)
    expect_equal(model, folded, x, rtol=1e-5)
    [sample] = folded(x, mode='predict')
    assert sample.pred_sem_seg.data.shape == (1, 96, 64)


DETECTORS = {
    'rtmdet/rtmdet_tiny_8xb32-300e_coco.py': ({}, 64),
    '_base_/models/mask-rcnn_r50_fpn.py': (
        {
            'model.backbone.base_channels': 8,
            'model.neck.in_channels': [32, 64, 128, 256],
            'model.neck.norm_cfg': dict(type='BN'),
            'model.roi_head.mask_head.norm_cfg': dict(type='BN'),
        },
        65,
    ),
}


@pytest.mark.parametrize('path', DETECTORS)
def test_a_detector(path):
    pytest.importorskip('mmcv._ext', reason='the compiled ops of mmcv are not installed')
    changes, count = DETECTORS[path]
    model = model_of('mmdet', path, **changes)
    folded, told = fold_and_tell(model)
    assert len(told.norms) == count
    assert 0 < told.difference < 1e-5
    # Their convolutions see several levels, whose statistics differ.
    assert all('is read by' in reason for reason in told.left.values())
    assert len(norms_of(folded)) == len(told.left)
