"""What every attention module promises, asked of every one that is exported."""

import copy
import inspect
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.cnn import build_plugin_layer
from mmengine.registry import MODELS
from torch import nn

from mmattn import attention
from tests.helpers import randomize

CHANNELS = 32  # What every module can serve with its default options.
each = pytest.mark.parametrize('name', attention.__all__)


def build(name, **options):
    return MODELS.build(dict(type=name, in_channels=CHANNELS, **options))


@each
def test_is_a_plugin_layer(name):
    cfg = dict(type=name)
    abbr, module = build_plugin_layer(cfg, postfix='_1', in_channels=CHANNELS)
    assert abbr == f'{getattr(attention, name)._abbr_}_1'
    assert cfg == dict(type=name)
    x = torch.randn(2, CHANNELS, 6, 5)
    assert module(x).shape == x.shape


def test_abbreviations_differ():
    names = [getattr(attention, name)._abbr_ for name in attention.__all__]
    assert len(set(names)) == len(names)


@each
def test_options_are_keywords(name):
    parameters = list(inspect.signature(getattr(attention, name)).parameters.values())
    assert parameters[0].name == 'in_channels'
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[1:])


@each
def test_mistyped_option(name):
    with pytest.raises(TypeError, match='reductoin'):
        build(name, reductoin=4)


@each
def test_no_channels(name):
    with pytest.raises(ValueError, match='got .*0'):
        MODELS.build(dict(type=name, in_channels=0))


@each
def test_wrong_start(name):
    with pytest.raises(ValueError, match="'paper' or 'identity', got 'zero'"):
        build(name, start='zero')


@each
def test_wrong_channels(name):
    with pytest.raises(ValueError, match=rf'{name} expected x of shape \(N, {CHANNELS}, H, W\)'):
        build(name)(torch.rand(2, CHANNELS + 1, 4, 4))


@each
@pytest.mark.parametrize(
    ('x', 'got'),
    [
        (torch.rand(2, CHANNELS, 0, 4), r'\(2, 32, 0, 4\)$'),
        (torch.rand(2, CHANNELS, 4, 0), r'\(2, 32, 4, 0\)$'),
        (torch.rand(CHANNELS, 4, 4), r'\(32, 4, 4\)$'),
        (torch.ones(2, CHANNELS, 4, 4, dtype=torch.int64), r'\(2, 32, 4, 4\) of torch.int64$'),
        (torch.ones(2, CHANNELS, 4, 4, dtype=torch.bool), r'\(2, 32, 4, 4\) of torch.bool$'),
        ([[1.0]], 'got list$'),
        (None, 'got NoneType$'),
    ],
    ids=['no row', 'no column', 'no batch', 'int64', 'bool', 'list', 'None'],
)
def test_what_is_no_map(name, x, got):
    with pytest.raises(ValueError, match=f'{name} expected x of shape .*{got}'):
        build(name)(x)


@each
@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_empty_batch(name, training):
    """A detector without proposals hands its mask head no map at all."""
    module = build(name).train(training)
    x = torch.rand(0, CHANNELS, 7, 7, requires_grad=True)
    out = module(x)
    assert out.shape == x.shape
    out.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters())
    assert all(b.isfinite().all() for b in module.buffers())


def loss(parameters, module, *maps):
    return torch.func.functional_call(module, parameters, maps).square().sum()


@each
@pytest.mark.parametrize('start', ['paper', 'identity'])
@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_vmap_is_the_loop(name, start, training):
    module = randomize(build(name, start=start)).double().train(training)
    if training:
        # PyTorch's way: no statistics to update, which a mapped batch norm cannot share.
        torch.func.replace_all_batch_norm_modules_(module)
    x = torch.randn(3, 2, CHANNELS, 6, 5, dtype=torch.float64)
    expected = torch.stack([module(each) for each in x])
    torch.testing.assert_close(torch.func.vmap(module)(x), expected)
    parameters = dict(module.named_parameters())
    grad = torch.func.grad(loss)
    found = torch.func.vmap(grad, in_dims=(None, None, 0))(parameters, module, x)
    for i, each in enumerate(x):
        for key, value in grad(parameters, module, each).items():
            torch.testing.assert_close(found[key][i], value)


@each
def test_leaves_config_dicts_alone(name):
    parameters = inspect.signature(getattr(attention, name)).parameters.values()
    cfgs = {p.name: p.default for p in parameters if isinstance(p.default, dict)}
    before = copy.deepcopy(cfgs)
    build(name, **cfgs)
    assert cfgs == before


@each
@pytest.mark.parametrize('start', ['paper', 'identity'])
def test_every_parameter_gets_a_gradient(name, start):
    module = randomize(build(name, start=start)).train()
    x = torch.randn(2, CHANNELS, 7, 6, requires_grad=True)
    module(x).square().sum().backward()
    assert [n for n, p in module.named_parameters() if p.grad is None] == []
    assert all(p.grad.isfinite().all() for p in module.parameters())
    assert x.grad.isfinite().all()


@each
@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_identity_start_returns_its_input_and_trains(name, training):
    module = build(name, start='identity').train(training)
    host = nn.Sequential(module)
    x = torch.randn(2, CHANNELS, 7, 6)
    assert torch.equal(module(x), x)
    # A host initializes all its convolutions before its children do theirs.
    for layer in host.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv1d | nn.Linear):
            nn.init.normal_(layer.weight)
    module.init_weights()
    assert torch.equal(module(x), x)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    target = torch.randn_like(x)
    for _ in range(2):
        optimizer.zero_grad()
        (module(x) - target).square().mean().backward()
        optimizer.step()
    assert module.blend.item() != 0
    assert not torch.equal(module(x), x)


@each
def test_paper_start_has_no_key_of_ours(name):
    assert 'blend' not in build(name).state_dict()


@each
def test_copies_and_pickles(name):
    module = randomize(build(name)).eval()
    x = torch.randn(1, CHANNELS, 6, 5)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(other(x), module(x))
    other = build(name).eval()
    other.load_state_dict(module.state_dict(), strict=True)
    assert torch.equal(other(x), module(x))


@each
def test_runs_on_the_device_without_data(name):
    with torch.device('meta'):
        module, x = build(name).eval(), torch.rand(2, CHANNELS, 7, 6)
        assert module(x).shape == x.shape


HALVES = [torch.float16, torch.bfloat16]


# Options that change what is computed.
VARIANTS = {
    'AttentionAugmentedConv': [dict(feat_size=9)],
    'CoordAtt': [dict(direction='h'), dict(direction='w')],
    'GALA': [dict(norm_cfg=dict(type='BN'))],
    'GatherExcite': [
        dict(mlp=True),
        dict(extra_params=True, feat_size=(9, 7)),
        dict(extent=8),
        dict(extent=8, extra_params=True, mlp=True),
    ],
    'GlobalContext': [dict(pooling_type='avg', fusion_types=['channel_mul', 'channel_add'])],
    'LKA': [
        dict(combine=combine, act_cfg=dict(type='Sigmoid'))
        for combine in ('multiply', 'add', 'none')
    ],
    'NonLocal': [dict(mode=mode) for mode in ('gaussian', 'dot_product', 'concatenation')],
    'SplitAttention': [dict(radix=1)],
}
# Modules whose gates come from means and maxima alone: all that is rounded is the map.
EXACT = ('CBAM', 'CoordAtt', 'ECA', 'ELA', 'SE', 'SimAM')


def extreme_maps():
    """Maps of random signs, of signs by channel, of one sign, and of tiny numbers."""
    signs = torch.randn(2, CHANNELS, 9, 7).sign()
    return 6e4 * signs, 6e4 * signs[:1, :, :1, :1] * signs.abs(), 6e4 * signs.abs(), 1e-4 * signs


@each
@pytest.mark.parametrize('dtype', HALVES, ids=str)
@pytest.mark.parametrize('how', ['cast', 'autocast', 'autocast of float32'])
@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@torch.no_grad()
def test_half_precision_is_finite_where_float32_is(name, dtype, how, training):
    for seed, options in enumerate([{}, *VARIANTS.get(name, ())]):
        module = randomize(build(name, **options), seed).train(training)
        narrow = copy.deepcopy(module).to(dtype) if how == 'cast' else module
        for x in extreme_maps():
            expected = module(x)
            assert expected.isfinite().all()
            x = x if how == 'autocast of float32' else x.to(dtype)
            with torch.autocast('cpu', dtype, enabled=how != 'cast'):
                out = narrow(x)
            assert out.dtype == x.dtype, options
            assert out.isfinite().all(), options
            if name in EXACT and not training:
                torch.testing.assert_close(out.float(), expected, rtol=0.02, atol=200)


@each
@pytest.mark.parametrize('start', ['paper', 'identity'])
@pytest.mark.parametrize('how', ['cast', 'autocast'])
@pytest.mark.parametrize('size', [6e4, 1e4, 1.0, 1e-4])
def test_float16_gradients_are_finite_where_float32_has_them(name, start, how, size):
    module = build(name, start=start).eval()
    if start == 'identity':
        torch.nn.init.constant_(module.blend, 0.5)
    x = (torch.rand(2, CHANNELS, 9, 7) * 2 - 1) * size
    x[0, 0] = size

    def gradients(module, x, **autocast):
        x = x.detach().requires_grad_()
        with torch.autocast('cpu', torch.float16, **autocast):
            out = module(x)
        out.backward(torch.ones_like(out))
        return {'x': x.grad, **{key: p.grad for key, p in module.named_parameters()}}

    expected = gradients(copy.deepcopy(module), x, enabled=False)
    module = module.half() if how == 'cast' else module
    for key, grad in gradients(module, x.half(), enabled=how == 'autocast').items():
        # What a half layer itself computes has to be in its range.
        if expected[key].abs().max() < 1e4:
            assert grad.isfinite().all(), key


@each
@pytest.mark.parametrize('dtype', HALVES, ids=str)
def test_half_precision_is_close(name, dtype):
    module = build(name).eval()
    x = torch.randn(2, CHANNELS, 9, 7)
    expected = module(x)
    out = copy.deepcopy(module).to(dtype)(x.to(dtype)).float()
    # A few roundings of the map, each half a unit in the last place.
    slack = 16 * torch.finfo(dtype).eps * expected.abs().max()
    assert (out - expected).abs().max() <= slack


@each
def test_compiles_whole_with_dynamic_sizes(name):
    module = randomize(build(name)).eval()
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend='aot_eager')
    for size in ((12, 9), (7, 20)):
        x = torch.randn(2, CHANNELS, *size)
        torch.testing.assert_close(compiled(x), module(x))
    torch.compiler.reset()


# torch.export takes no smaller side: the pooled map would be of one pixel, a case of its own.
SMALLEST_SIDE = {'SCConv': 8}


@each
def test_exports_with_dynamic_sizes(name):
    module = randomize(build(name)).eval()
    sides = {
        i: torch.export.Dim(side, min=SMALLEST_SIDE.get(name, 2))
        for i, side in ((2, 'h'), (3, 'w'))
    }
    x = torch.randn(2, CHANNELS, 12, 9)
    program = torch.export.export(module, (x,), dynamic_shapes={'x': sides})
    x = torch.randn(2, CHANNELS, 8, 20)
    torch.testing.assert_close(program.module()(x), module(x))


@each
def test_onnx_at_another_size(name, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    module = randomize(build(name)).eval()
    program = torch.onnx.export(
        module,
        (torch.randn(2, CHANNELS, 12, 9),),
        opset_version=18,
        dynamo=True,
        dynamic_shapes={'x': {2: 'h', 3: 'w'}},
        verbose=False,
    )
    program.save(tmp_path / 'a.onnx')
    session = onnxruntime.InferenceSession(tmp_path / 'a.onnx')
    x = torch.randn(2, CHANNELS, 7, 20)
    [out] = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(out), module(x), rtol=1e-4, atol=1e-4)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(attention.__all__),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 17), st.integers(1, 17)),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    channels_last=st.booleans(),
    start=st.sampled_from(['paper', 'identity']),
)
def test_properties(name, shape, dtype, channels_last, start):
    """Any batch, size, type and memory format, in training."""
    n, h, w = shape
    module = build(name, start=start).to(dtype).train()
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.randn(n, CHANNELS, h, w, dtype=dtype).to(memory_format=memory_format)
    x.requires_grad_()
    out = module(x)
    assert out.shape == x.shape and out.dtype == dtype
    assert out.isfinite().all()
    # A map of one pixel has both formats.
    assert out.is_contiguous(memory_format=memory_format) or h * w == 1
    out.square().sum().backward()
    assert x.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


# mmdet and mmseg want a name of its own for each of several equal plug-ins.
PLUGINS = [(f'after_conv{i}', f'_{i}') for i in (1, 2, 3)]


@each
@pytest.mark.parametrize('package', ['mmdet', 'mmseg'])
def test_trains_in_every_position_of_a_resnet50(name, package):
    """One stage of half the width, for the time it takes; the blocks are those of ResNet-50."""
    backbone = MODELS.build(
        dict(
            type=f'{package}.ResNet',
            depth=50,
            base_channels=CHANNELS,
            num_stages=1,
            strides=(1,),
            dilations=(1,),
            out_indices=(0,),
            # At zero, nothing within a block would train in the first step.
            zero_init_residual=False,
            plugins=[dict(cfg=dict(type=name, postfix=p), position=at) for at, p in PLUGINS],
        )
    )
    backbone.init_weights()
    inserted = [m for m in backbone.modules() if type(m) is getattr(attention, name)]
    assert len(inserted) == 9  # Three positions in each of three blocks.
    before = copy.deepcopy(backbone.state_dict())
    optimizer = torch.optim.SGD(backbone.parameters(), lr=0.1)
    [out] = backbone(torch.rand(2, 3, 64, 64))
    out.square().mean().backward()
    assert [n for n, p in backbone.named_parameters() if p.grad is None] == []
    optimizer.step()
    assert all(p.isfinite().all() for p in backbone.parameters())
    after = dict(backbone.named_parameters())
    ours = [n for n in after if inserted[0]._abbr_ in n]
    assert not ours or any(not torch.equal(after[n], before[n]) for n in ours)
