"""What every fusion module promises, asked of every one that is exported."""

import copy
import inspect
import pickle
import re
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import nn

from mmattn import fusion
from mmattn.fusion.aff import Strategy
from tests.helpers import randomize

NAMES = fusion.__all__
CFGS = {name: dict(type=name) for name in NAMES}
CFGS |= {name: dict(type='AFF', strategy=name) for name in get_args(Strategy)[1:]}
CFGS['local_half_aff'] = dict(type='AFF', strategy='half_aff', scales=('local', 'local'))
CFGS['global_half_aff'] = dict(type='AFF', strategy='half_aff', scales=('global', 'global'))
each = pytest.mark.parametrize('name', NAMES)
# With the options that change what is computed.
every = pytest.mark.parametrize('name', CFGS)
# The addition has nothing to blend in.
blended = pytest.mark.parametrize('name', [name for name in CFGS if name != 'AddFusion'])
HALVES = [torch.float16, torch.bfloat16]


def build(name, in_channels=16, **options):
    return MODELS.build(dict(CFGS[name], in_channels=in_channels, **options))


def maps(*shape, **options):
    return [torch.randn(*shape, **options) for _ in range(2)]


@each
def test_is_registered_and_leaves_its_config_alone(name):
    cfg = dict(type=name, in_channels=16)
    x, y = maps(2, 16, 6, 5)
    assert MODELS.build(cfg)(x, y).shape == x.shape
    assert cfg == dict(type=name, in_channels=16)


@each
def test_is_a_base_module(name):
    assert issubclass(getattr(fusion, name), BaseModule)


@each
def test_leaves_config_dicts_alone(name):
    parameters = inspect.signature(getattr(fusion, name)).parameters.values()
    cfgs = {p.name: dict(type='BN') for p in parameters if p.name == 'norm_cfg'}
    cfgs |= {p.name: dict(type='ReLU') for p in parameters if p.name == 'act_cfg'}
    before = copy.deepcopy(cfgs)
    build(name, **cfgs)
    assert cfgs == before


@each
def test_options_are_keywords(name):
    parameters = list(inspect.signature(getattr(fusion, name)).parameters.values())
    assert parameters[0].name == 'in_channels'
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[1:])
    assert {p.name: p.default for p in parameters}['start'] == 'paper'


@each
def test_mistyped_option(name):
    with pytest.raises(TypeError, match='reductoin'):
        build(name, reductoin=4)


@each
def test_values_it_cannot_serve(name):
    with pytest.raises(ValueError, match='in_channels has to be a whole number .*, got 0'):
        build(name, in_channels=0)
    with pytest.raises(ValueError, match="'paper' or 'identity', got 'idenity'"):
        build(name, start='idenity')


@each
@pytest.mark.parametrize(
    ('x', 'y'),
    [
        ((2, 16, 6, 5), (2, 16, 5, 6)),
        ((2, 16, 6, 5), (1, 16, 6, 5)),
        ((2, 16, 6, 5), (2, 16, 1, 1)),
    ],
    ids=str,
)
def test_different_shapes(name, x, y):
    with pytest.raises(ValueError, match=re.escape(f'x {x} and y {y}')):
        build(name)(torch.randn(x), torch.randn(y))


@each
@pytest.mark.parametrize(
    ('wrong', 'got'),
    [
        (torch.rand(2, 16, 0, 5), r'\(2, 16, 0, 5\)$'),
        (torch.rand(2, 16, 6, 0), r'\(2, 16, 6, 0\)$'),
        (torch.rand(2, 8, 6, 5), r'\(2, 8, 6, 5\)$'),
        (torch.rand(16, 6, 5), r'\(16, 6, 5\)$'),
        (torch.ones(2, 16, 6, 5, dtype=torch.int64), r'\(2, 16, 6, 5\) of torch.int64$'),
        (None, 'got NoneType$'),
    ],
    ids=['no row', 'no column', 'channels', 'no batch', 'int64', 'None'],
)
def test_what_is_no_map(name, wrong, got):
    right = torch.rand(2, 16, 6, 5)
    with pytest.raises(ValueError, match=f'{name} expected x of shape .*{got}'):
        build(name)(wrong, right)
    with pytest.raises(ValueError, match=f'{name} expected y of shape .*{got}'):
        build(name)(right, wrong)


@every
@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_empty_batch(name, training):
    module = build(name).train(training)
    x, y = maps(0, 16, 6, 5, requires_grad=True)
    out = module(x, y)
    assert out.shape == x.shape
    out.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters())
    assert all(b.isfinite().all() for b in module.buffers())


def loss(parameters, module, *maps):
    return torch.func.functional_call(module, parameters, maps).square().sum()


@every
@pytest.mark.parametrize('start', ['paper', 'identity'])
@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_vmap_is_the_loop(name, start, training):
    module = randomize(build(name, start=start)).double().train(training)
    if training:
        # PyTorch's way: no statistics to update, which a mapped batch norm cannot share.
        torch.func.replace_all_batch_norm_modules_(module)
    x, y = maps(3, 2, 16, 6, 5, dtype=torch.float64)
    pairs = list(zip(x, y, strict=True))
    expected = torch.stack([module(*pair) for pair in pairs])
    torch.testing.assert_close(torch.func.vmap(module)(x, y), expected)
    parameters = dict(module.named_parameters())
    grad = torch.func.grad(loss)
    found = torch.func.vmap(grad, in_dims=(None, None, 0, 0))(parameters, module, x, y)
    for i, pair in enumerate(pairs):
        for key, value in grad(parameters, module, *pair).items():
            torch.testing.assert_close(found[key][i], value)


@every
@pytest.mark.parametrize('start', ['paper', 'identity'])
@pytest.mark.parametrize('how', ['cast', 'autocast'])
@pytest.mark.parametrize('size', [6e4, 1e4, 1.0, 1e-4])
def test_float16_gradients_are_finite_where_float32_has_them(name, start, how, size):
    module = build(name, start=start).eval()
    if module.blend is not None:
        torch.nn.init.constant_(module.blend, 0.5)
    pair = [(torch.rand(2, 16, 9, 7) * 2 - 1) * size for _ in range(2)]
    pair[0][0, 0] = size

    def gradients(module, pair, **autocast):
        pair = [x.detach().requires_grad_() for x in pair]
        with torch.autocast('cpu', torch.float16, **autocast):
            out = module(*pair)
        out.backward(torch.ones_like(out))
        found = dict(zip('xy', (x.grad for x in pair), strict=True))
        return found | {key: p.grad for key, p in module.named_parameters()}

    expected = gradients(copy.deepcopy(module), pair, enabled=False)
    module = module.half() if how == 'cast' else module
    pair = [x.half() for x in pair]
    for key, grad in gradients(module, pair, enabled=how == 'autocast').items():
        # What a half layer itself sums up has to be in its range.
        if (key in 'xy' or how == 'autocast') and expected[key].abs().max() < 1e4:
            assert grad.isfinite().all(), key


@every
@pytest.mark.parametrize('dtype', [torch.float32, *HALVES], ids=str)
@pytest.mark.parametrize('size', [1.0, 6e4])
def test_identity_start_is_the_addition(name, dtype, size):
    module = randomize(build(name, start='identity')).to(dtype).eval()
    module.init_weights()
    x, y = maps(2, 16, 6, 5)
    x, y = (size * x.clamp(-1, 1)).to(dtype), (size * y.clamp(-1, 1)).to(dtype)
    # What overflows float16 is its largest value, which is where the next layer would break.
    expected = (x + y).clamp(torch.finfo(dtype).min, torch.finfo(dtype).max)
    assert torch.equal(module(x, y), expected)


@blended
@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_identity_start_survives_the_host_and_trains(name, training):
    module = build(name, start='identity').train(training)
    host = nn.Sequential(module)
    x, y = maps(2, 16, 7, 6)
    assert torch.equal(module(x, y), x + y)
    # A host initializes all its convolutions before its children do theirs.
    for layer in host.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight)
    nn.init.ones_(module.blend)
    module.init_weights()
    assert torch.equal(module(x, y), x + y)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    target = torch.randn_like(x)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        losses.append((module(x, y) - target).square().mean())
        losses[-1].backward()
        optimizer.step()
    assert module.blend.item() != 0
    assert losses[-1] < losses[0]
    assert not torch.equal(module(x, y), x + y)


@blended
def test_identity_start_blends_in_the_paper(name):
    module = build(name, start='identity').eval()
    x, y = maps(2, 16, 6, 5)
    paper = module.fuse(x, y)
    (paper * module(x, y)).sum().backward()
    torch.testing.assert_close(module.blend.grad, (paper * (paper - x - y)).sum()[None])
    torch.nn.init.ones_(module.blend)
    torch.testing.assert_close(module(x, y), paper)


@every
def test_paper_start_has_no_key_of_ours(name):
    assert 'blend' not in build(name).state_dict()


@every
@pytest.mark.parametrize('start', ['paper', 'identity'])
@pytest.mark.parametrize(
    'size', [(1, 1), (1, 7), (9, 1), (13, 6)], ids=lambda s: 'x'.join(map(str, s))
)
def test_every_parameter_trains_at_any_size(name, start, size):
    module = randomize(build(name, start=start)).train()
    x, y = maps(1, 16, *size, requires_grad=True)
    module(x, y).square().sum().backward()
    assert [n for n, p in module.named_parameters() if p.grad is None] == []
    assert all(p.grad.isfinite().all() for p in module.parameters())
    assert x.grad.isfinite().all() and y.grad.isfinite().all()
    assert x.grad.any() and y.grad.any()


@blended
def test_no_parameter_is_dead(name):
    """In eval mode, where no batch norm cancels the bias ahead of it."""
    module = randomize(build(name)).eval()
    # Many means, so that no ReLU is off for all of them.
    x, y = maps(64, 16, 2, 1)
    module(x, y).square().sum().backward()
    assert [n for n, p in module.named_parameters() if not p.grad.any()] == []


@every
@pytest.mark.parametrize('dtype', HALVES, ids=str)
@pytest.mark.parametrize('start', ['paper', 'identity'])
@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_largest_half_precision_maps(name, dtype, start, training):
    module = randomize(build(name, start=start)).train(training)
    narrow = copy.deepcopy(module).to(dtype)
    a, b = (6e4 * m.sign() for m in maps(2, 16, 6, 5))
    # The last is constant, so that its mean is as large as its values.
    for x, y in ((a, b), (a, a), (a, -a), (a.abs(), a.abs())):
        assert module(x, y).isfinite().all()
        with torch.autocast('cpu', dtype):
            assert module(x, y).isfinite().all()
            assert module(x.to(dtype), y.to(dtype)).isfinite().all()
        half = narrow(x.to(dtype), y.to(dtype))
        assert half.dtype == dtype
        assert half.isfinite().all()


@every
@pytest.mark.parametrize('dtype', HALVES, ids=str)
def test_half_precision_is_close(name, dtype):
    module = randomize(build(name)).eval()
    x, y = maps(2, 16, 6, 5)
    expected = module(x, y)
    out = module.to(dtype)(x.to(dtype), y.to(dtype)).float()
    # A few roundings of the map, each half a unit in the last place.
    slack = 20 * torch.finfo(dtype).eps * expected.abs().max()
    assert (out - expected).abs().max() <= slack


@every
def test_gradcheck(name):
    module = randomize(build(name, in_channels=4)).double().eval()
    x, y = maps(2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x, y))


@every
def test_copies_and_pickles(name):
    module = randomize(build(name)).eval()
    x, y = maps(1, 16, 6, 5)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(other(x, y), module(x, y))
    other = build(name).eval()
    other.load_state_dict(module.state_dict(), strict=True)
    assert torch.equal(other(x, y), module(x, y))


@every
def test_leaves_its_inputs_alone(name):
    x, y = maps(2, 16, 6, 5)
    before = x.clone(), y.clone()
    randomize(build(name)).train()(x, y)
    assert torch.equal(x, before[0]) and torch.equal(y, before[1])


@every
def test_compiles_whole_with_dynamic_sizes(name):
    module = randomize(build(name)).eval()
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend='aot_eager')
    for size in ((12, 9), (7, 20)):
        x, y = maps(2, 16, *size)
        torch.testing.assert_close(compiled(x, y), module(x, y))
    torch.compiler.reset()


@every
def test_exports_with_dynamic_sizes(name):
    module = randomize(build(name)).eval()
    sizes = {2: torch.export.Dim('h', min=2), 3: torch.export.Dim('w', min=2)}
    program = torch.export.export(
        module, tuple(maps(2, 16, 12, 9)), dynamic_shapes={'x': sizes, 'y': sizes}
    )
    x, y = maps(2, 16, 7, 20)
    torch.testing.assert_close(program.module()(x, y), module(x, y))


@every
def test_onnx_at_another_size(name, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    module = randomize(build(name)).eval()
    sizes = {2: 'h', 3: 'w'}
    program = torch.onnx.export(
        module,
        tuple(maps(2, 16, 12, 9)),
        opset_version=18,
        dynamo=True,
        dynamic_shapes={'x': sizes, 'y': sizes},
        verbose=False,
    )
    program.save(tmp_path / 'a.onnx')
    session = onnxruntime.InferenceSession(tmp_path / 'a.onnx')
    x, y = maps(2, 16, 7, 20)
    names = [given.name for given in session.get_inputs()]
    [out] = session.run(None, dict(zip(names, (x.numpy(), y.numpy()), strict=True)))
    torch.testing.assert_close(torch.from_numpy(out), module(x, y), rtol=1e-4, atol=1e-4)


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(list(CFGS)),
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
    x, y = (
        m.to(memory_format=memory_format).requires_grad_() for m in maps(n, 16, h, w, dtype=dtype)
    )
    out = module(x, y)
    assert out.shape == x.shape and out.dtype == dtype
    assert out.isfinite().all()
    # A map of one pixel has both formats.
    assert out.is_contiguous(memory_format=memory_format) or h * w == 1
    out.square().sum().backward()
    assert x.grad.isfinite().all() and y.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@every
def test_keeps_channels_last(name):
    module = build(name).eval().to(memory_format=torch.channels_last)
    x, y = maps(2, 16, 6, 5)
    out = module(*(m.to(memory_format=torch.channels_last) for m in (x, y)))
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, module(x, y))
