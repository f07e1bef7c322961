import re

import pytest
import torch
import torch.nn.functional as F

from mmattn import AFFFPN, FusionPAFPN
from tests.helpers import needs_torch, randomize

IN_CHANNELS = [4, 6, 8, 10]
SIZES = [(33, 21), (17, 11), (9, 6), (5, 3)]
ALL_OPTIONS = dict(norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU'), no_norm_on_lateral=True)
FREQ = dict(type='FreqFusion', compressed_channels=8, feature_resample=True)
ADD = dict(type='AddFusion')


def features(channels=IN_CHANNELS, sizes=SIZES, **options):
    return [torch.randn(2, c, *size, **options) for c, size in zip(channels, sizes, strict=True)]


def run(neck, inputs):
    inputs = [x.clone().requires_grad_() for x in inputs]
    outs = neck(inputs)
    sum(out.square().sum() for out in outs).backward()
    return [*outs, *(p.grad for p in neck.parameters()), *(x.grad for x in inputs)]


@pytest.mark.parametrize(
    'levels',
    [
        dict(num_outs=4),
        dict(num_outs=6),
        dict(start_level=1, num_outs=5),
        dict(start_level=1, end_level=2, num_outs=2),
    ],
    ids=str,
)
@pytest.mark.parametrize('extra', [False, 'on_input', 'on_lateral', 'on_output'])
@pytest.mark.parametrize('options', [{}, ALL_OPTIONS], ids=['plain', 'all_options'])
def test_addition_is_the_pafpn_of_mmdet(levels, extra, options):
    necks = pytest.importorskip('mmdet.models.necks', reason='mmdet is not installed')
    options = dict(options, **levels, add_extra_convs=extra)
    theirs_options = dict(options)
    if 'end_level' in levels:
        # Exclusive in the code of mmdet's FPN until 3.1, inclusive since.
        theirs_options['end_level'] = levels['end_level']
    theirs = randomize(necks.PAFPN(IN_CHANNELS, 8, **theirs_options))
    ours = FusionPAFPN(IN_CHANNELS, 8, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    inputs = features()
    for a, b in zip(run(ours, inputs), run(theirs, inputs), strict=True):
        assert (a is None and b is None) or torch.equal(a, b)


@pytest.mark.parametrize('fusion', ['AFF', 'BiFPNFusion', 'ConcatFusion', 'FastNormalizedFusion'])
def test_identity_start_is_the_plain_pafpn(fusion):
    theirs = FusionPAFPN(IN_CHANNELS, 8, 5)
    ours = FusionPAFPN(IN_CHANNELS, 8, 5, fusion=dict(type=fusion, start='identity'))
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not unexpected
    assert all(key.startswith(('fusions.', 'bottom_up_fusions.')) for key in missing)
    inputs = features()
    for a, b in zip(ours(inputs), theirs(inputs), strict=True):
        assert torch.equal(a, b)


def test_freq_fusion_in_a_pyramid_adds_its_two_results():
    neck = randomize(AFFFPN([4, 6], 8, 2, fusion=FREQ)).eval()
    inputs = features([4, 6], [(9, 6), (5, 3)])
    low, high = (conv(x) for conv, x in zip(neck.lateral_convs, inputs, strict=True))
    expected = neck.fpn_convs[0](sum(neck.fusions[0](low, high)))
    torch.testing.assert_close(neck(inputs)[0], expected)


def test_level_fusion_sees_the_outputs_coarsest_first():
    plain = randomize(FusionPAFPN([4, 6, 8], 8, 3)).eval()
    neck = randomize(FusionPAFPN([4, 6, 8], 8, 3, level_fusion=dict(type='ASFF'))).eval()
    neck.load_state_dict(plain.state_dict(), strict=False)
    assert [fusion.level for fusion in neck.level_fusions] == [2, 1, 0]
    inputs = features([4, 6, 8], SIZES[:3])
    outs = plain(inputs)
    for fusion, out, was in zip(neck.level_fusions, neck(inputs), outs, strict=True):
        assert out.shape == was.shape
        torch.testing.assert_close(out, fusion(*outs[::-1]))


def bifpn_of_mmdet(channels, width, stages):
    """A state dict with the names of mmdet's projects/EfficientDet."""
    shapes = {}

    def conv(name, shape, bias=True):
        shapes[f'{name}.weight'] = shape
        if bias:
            shapes[f'{name}.bias'] = shape[:1]

    def norm(name):
        for part in ('weight', 'bias', 'running_mean', 'running_var'):
            shapes[f'{name}.{part}'] = (width,)

    firsts = {f'p{i}_down_channel': c for i, c in enumerate(channels, 3)}
    firsts |= {'p5_to_p6.0': channels[2]}
    firsts |= {'p4_level_connection': channels[1], 'p5_level_connection': channels[2]}
    for name, c in firsts.items():
        conv(f'bifpn.0.{name}.down_conv', (width, c, 1, 1))
        norm(f'bifpn.0.{name}.bn')
    for stage in range(stages):
        for node in [
            *(f'conv{i}_up' for i in (6, 5, 4, 3)),
            *(f'conv{i}_down' for i in (4, 5, 6, 7)),
        ]:
            conv(f'bifpn.{stage}.{node}.depthwise_conv', (width, 1, 3, 3), bias=False)
            conv(f'bifpn.{stage}.{node}.pointwise_conv', (width, width, 1, 1))
            norm(f'bifpn.{stage}.{node}.bn')
        shapes |= {f'bifpn.{stage}.p{i}_w1': (2,) for i in (6, 5, 4, 3)}
        shapes |= {f'bifpn.{stage}.p{i}_w2': (3,) for i in (4, 5, 6)}
        shapes |= {f'bifpn.{stage}.p7_w2': (2,)}
    # All above zero: variances, and weights of which none is out.
    return {name: torch.rand(shape, dtype=torch.float64) + 0.1 for name, shape in shapes.items()}


def bifpn_equations(p, maps, stages):
    """The nodes of BiFPN by the names of its levels."""

    def conv_bn(name, x):
        x = F.conv2d(x, p[f'{name}.down_conv.weight'], p[f'{name}.down_conv.bias'])
        return batch_norm(f'{name}.bn', x)

    def batch_norm(name, x):
        parts = (p[f'{name}.{n}'] for n in ('running_mean', 'running_var', 'weight', 'bias'))
        return F.batch_norm(x, *parts, eps=1e-3)

    def node(stage, weights, name, *maps):
        w = p[f'bifpn.{stage}.{weights}'].relu()
        x = F.silu(sum(a * b for a, b in zip(w / (w.sum() + 1e-4), maps, strict=True)))
        name = f'bifpn.{stage}.{name}'
        x = F.conv2d(x, p[f'{name}.depthwise_conv.weight'], padding=1, groups=x.shape[1])
        x = F.conv2d(x, p[f'{name}.pointwise_conv.weight'], p[f'{name}.pointwise_conv.bias'])
        return batch_norm(f'{name}.bn', x)

    def pool(x):
        # As TensorFlow's SAME: windows of three, the first one at the border of an even side.
        h, w = x.shape[2:]
        return F.max_pool2d(F.pad(x, [w % 2, 1, h % 2, 1], value=-1e30), 3, 2)

    up = {i: conv_bn(f'bifpn.0.p{i}_down_channel', x) for i, x in enumerate(maps, 3)}
    up[6] = pool(conv_bn('bifpn.0.p5_to_p6.0', maps[2]))
    up[7] = pool(up[6])
    again = dict(up)
    again |= {i: conv_bn(f'bifpn.0.p{i}_level_connection', maps[i - 3]) for i in (4, 5)}
    for stage in range(stages):
        down = dict(up)
        for i in (6, 5, 4, 3):
            large = F.interpolate(down[i + 1], down[i].shape[2:])
            down[i] = node(stage, f'p{i}_w1', f'conv{i}_up', up[i], large)
        out = {3: down[3]}
        for i in (4, 5, 6):
            below = pool(out[i - 1])
            out[i] = node(stage, f'p{i}_w2', f'conv{i}_down', again[i], down[i], below)
        out[7] = node(stage, 'p7_w2', 'conv7_down', again[7], pool(out[6]))
        up = again = out
    return list(up.values())


@pytest.mark.parametrize('prefix', ['', 'neck.'])
def test_weights_of_mmdets_bifpn_load_and_give_its_maps(prefix):
    channels, width, stages = [4, 6, 8], 8, 2
    theirs = bifpn_of_mmdet(channels, width, stages)
    neck = FusionPAFPN(channels, width, 5, topology='bifpn', num_repeats=stages).double().eval()
    model = torch.nn.ModuleDict({'neck': neck}) if prefix else neck
    given = {prefix + key: value.clone() for key, value in theirs.items()}
    missing, unexpected = model.load_state_dict(given, strict=False)
    assert not unexpected
    assert all(key.endswith('num_batches_tracked') for key in missing)
    maps = features(channels, [(33, 22), (17, 11), (9, 6)], dtype=torch.float64)
    for a, b in zip(neck(maps), bifpn_equations(theirs, maps, stages), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('fusion', ['AddFusion', 'AFF', 'FastNormalizedFusion', 'FreqFusion'])
@pytest.mark.parametrize('upsample', [None, dict(type='DySample'), dict(type='CARAFE')], ids=str)
def test_bifpn_with_any_fusion_and_upsampling_trains(fusion, upsample):
    cfg = FREQ if fusion == 'FreqFusion' else dict(type=fusion)
    options = dict(topology='bifpn', num_repeats=2, fusion=cfg, bottom_up_fusion=ADD)
    if fusion == 'FreqFusion' and upsample is not None:
        with pytest.raises(ValueError, match='upsample=None with FreqFusion'):
            FusionPAFPN(IN_CHANNELS, 8, 5, upsample=upsample, **options)
        return
    neck = randomize(FusionPAFPN(IN_CHANNELS, 8, 5, upsample=upsample, **options)).train()
    grads = run(neck, features())
    assert all(grad is not None and grad.isfinite().all() for grad in grads)
    # Each node without a convolution of its own has one here.
    assert all(node.conv is not None for node in neck.stages[0].top_down)


def test_two_by_two_where_a_fusion_takes_two():
    neck = FusionPAFPN(IN_CHANNELS, 8, 5, topology='bifpn', fusion=dict(type='AFF'))
    assert [len(node.fusions) for node in neck.stages[0].bottom_up] == [2, 2, 2, 1]
    neck = FusionPAFPN(IN_CHANNELS, 8, 5, topology='bifpn')
    assert [node.fusions[0].num_inputs for node in neck.stages[0].bottom_up] == [3, 3, 3, 2]
    assert all(node.conv is None for node in neck.stages[0].bottom_up)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_repeats=2), "num_repeats=1 with topology='pafpn', got 2"),
        (dict(topology='bifpn', add_extra_convs='on_input'), 'add_extra_convs=False with topology'),
        (dict(level_fusion=dict(type='ASFF')), 'num_outs=3 with a level_fusion, got 4'),
        (dict(fusion=FREQ), 'bottom_up_fusion of maps of one size, got FreqFusion'),
        (dict(fusion=FREQ, topology='bifpn'), 'bottom_up_fusion of maps of one size'),
        (dict(fusion=dict(type='ASFF')), 'a fusion of two maps, got ASFF of 3'),
        (dict(level_fusion=dict(type='AFF')), 'level_fusion has to be a dict of a module of three'),
        (dict(topology='fpn'), "'pafpn' or 'bifpn', got 'fpn'"),
        (dict(start_level=4), 'start_level from 0 to 3'),
    ],
    ids=str,
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        FusionPAFPN(IN_CHANNELS, 8, **{'num_outs': 4, **options})


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('topology', ['pafpn', 'bifpn'])
def test_half_precision(dtype, topology):
    neck = FusionPAFPN(IN_CHANNELS, 8, 5, topology=topology).eval()
    inputs = features()
    expected = neck(inputs)
    outs = neck.to(dtype)([x.to(dtype) for x in inputs])
    for a, b in zip(expected, outs, strict=True):
        assert b.dtype == dtype
        assert (a - b).abs().max() <= 60 * torch.finfo(dtype).eps * a.abs().max()


@pytest.mark.slow
@needs_torch('2.5', 'torch.onnx.export of dynamo')
@pytest.mark.parametrize(
    'options',
    [
        dict(topology='bifpn'),
        dict(topology='pafpn', level_fusion=dict(type='ASFF')),
        dict(topology='pafpn', fusion=FREQ, bottom_up_fusion=ADD),
    ],
    ids=['bifpn', 'asff', 'freq_fusion'],
)
def test_exports_to_onnx(options, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    neck = randomize(FusionPAFPN([4, 6, 8], 8, 3, **options)).eval()
    maps = features([4, 6, 8], [(20, 12), (10, 6), (5, 3)])
    program = torch.onnx.export(neck, (maps,), opset_version=18, dynamo=True, verbose=False)
    program.save(tmp_path / 'a.onnx')
    session = onnxruntime.InferenceSession(tmp_path / 'a.onnx')
    names = [given.name for given in session.get_inputs()]
    outs = session.run(None, dict(zip(names, (x.numpy() for x in maps), strict=True)))
    for out, expected in zip(outs, neck(maps), strict=True):
        torch.testing.assert_close(torch.from_numpy(out), expected, rtol=1e-3, atol=1e-3)
