"""Dilated depthwise convolutions by phases, and when they are left to PyTorch."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmattn import compat
from mmattn.attention import LKA
from mmattn.ops import cpu, depthwise
from mmattn.ops.precision import convolved

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason='phases are for oneDNN'
)
LAYOUTS = {'nchw': torch.contiguous_format, 'channels last': torch.channels_last}


def conv_of(channels=4, kernel_size=(7, 7), dilation=(3, 3), **options):
    torch.manual_seed(0)
    padding = tuple(d * (k // 2) for d, k in zip(dilation, kernel_size, strict=True))
    options = {'groups': channels, 'padding': padding, **options}
    return nn.Conv2d(channels, channels, kernel_size, dilation=dilation, **options)


class Calls(TorchDispatchMode):
    """Keep with which dilation is convolved."""

    def __init__(self):
        super().__init__()
        self.dilations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.dilations.append(tuple(args[5]))
        return func(*args, **kwargs or {})


def runs_by_phases(conv, x):
    with Calls() as calls:
        depthwise.depthwise(conv, x)
    [dilation] = calls.dilations
    return dilation == (1, 1)


@pytest.fixture
def with_bfloat16(monkeypatch):
    monkeypatch.setattr(cpu, 'has_onednn', lambda dtype: True)
    monkeypatch.setattr(depthwise, 'has_onednn', lambda dtype: True)


KERNELS = [((7, 7), (3, 3)), ((5, 5), (3, 3)), ((7, 7), (4, 2)), ((5, 13), (1, 2))]
STRIPS = [((1, 7), (1, 3)), ((11, 1), (3, 1)), ((1, 17), (1, 3))]
CASES = [
    *itertools.product(KERNELS, LAYOUTS, [(1, 16, 16), (2, 17, 31), (1, 30, 19)]),
    *itertools.product(STRIPS, ['channels last'], [(1, 12, 12), (2, 13, 14)]),
]


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize(('kernel', 'layout', 'sizes'), CASES)
def test_equals_the_convolution(kernel, layout, sizes, bias):
    n, h, w = sizes
    conv = conv_of(4, *kernel, bias=bias)
    x = torch.randn(n, 4, h, w).to(memory_format=LAYOUTS[layout]).requires_grad_()
    assert runs_by_phases(conv, x)
    exact = copy.deepcopy(conv).double()
    wide = x.detach().double().requires_grad_()
    out, expected = depthwise.depthwise(conv, x), exact(wide)
    assert out.stride() == conv(x).stride()
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=2e-6)
    grad = torch.randn_like(out)
    out.backward(grad)
    expected.backward(grad.double())
    assert x.grad.stride() == x.stride()
    for ours, theirs in [(x, wide), *zip(conv.parameters(), exact.parameters(), strict=True)]:
        scale = theirs.grad.abs().max().item()
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=0, atol=2e-6 * scale)


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('sizes', [(2, 15, 12), (1, 17, 31)], ids=str)
def test_gradients_without_a_graph(sizes, layout):
    conv, (n, h, w) = conv_of(4), sizes
    x, grad = torch.randn(2, n, 4, h, w)
    x = x.to(memory_format=LAYOUTS[layout]).requires_grad_()
    own = depthwise.by_phases_back(grad, x.detach(), conv.weight.detach(), conv.dilation)
    assert own[0].stride() == x.stride()
    wide = copy.deepcopy(conv).double()
    inputs = x.detach().double().requires_grad_(), wide.weight, wide.bias
    exact = torch.autograd.grad(wide(inputs[0]), inputs, grad.double())
    for ours, theirs in zip(own, exact, strict=True):
        scale = theirs.abs().max().item()
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=2e-6 * scale)


def test_a_view_into_another_map():
    conv = conv_of()
    x = torch.randn(2, 8, 40, 40)[:, ::2, 3:20, 1:-1:2]
    assert runs_by_phases(conv, x)
    torch.testing.assert_close(depthwise.depthwise(conv, x), conv(x))


def test_second_gradient():
    conv = conv_of(2, (5, 5), (3, 3))
    x = torch.randn(1, 2, 12, 13, requires_grad=True)
    grads = []
    for apply in (conv, lambda y: depthwise.depthwise(conv, y)):
        [first] = torch.autograd.grad(apply(x).square().sum(), x, create_graph=True)
        grads.append(torch.autograd.grad(first.square().sum(), [x, conv.weight]))
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_vmap_and_functional_call(layout):
    conv = conv_of(4)
    x = torch.randn(3, 2, 4, 13, 14)
    x = torch.stack([each.to(memory_format=LAYOUTS[layout]) for each in x])
    expected = torch.stack([conv(each) for each in x])
    out = torch.func.vmap(lambda each: depthwise.depthwise(conv, each))(x)
    torch.testing.assert_close(out, expected)


class Alone(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        return convolved(self.conv, x)


def test_gradients_per_sample():
    model = Alone(conv_of(4))
    x = torch.randn(3, 1, 4, 13, 14)

    def loss(weights, each):
        return torch.func.functional_call(model, weights, each).square().sum()

    weights = dict(model.named_parameters())
    grads = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, x)
    for i, each in enumerate(x):
        expected = torch.autograd.grad(model.conv(each).square().sum(), model.conv.weight)[0]
        torch.testing.assert_close(grads['conv.weight'][i], expected, rtol=1e-4, atol=1e-3)


PLAIN = {
    'no dilation': (dict(dilation=(1, 1), kernel_size=(13, 13)), {}),
    'groups of two': (dict(groups=2), {}),
    'stride': (dict(stride=2), {}),
    'no margin': (dict(padding=0), {}),
    'another margin': (dict(padding=8), {}),
    'margin by word': (dict(padding='same'), {}),
    'reflected margin': (dict(padding_mode='reflect'), {}),
    'even kernel': (dict(kernel_size=(8, 8), padding=9), {}),
    'narrow kernel': (dict(kernel_size=(5, 5), dilation=(2, 2)), {}),
    'small kernel': (dict(kernel_size=(3, 3), dilation=(6, 6)), {}),
    'strip in NCHW': (dict(kernel_size=(1, 7), dilation=(1, 3)), {}),
    'low map': ({}, dict(h=11)),
    'slim map': ({}, dict(w=11)),
    'float64': ({}, dict(dtype=torch.float64)),
    'float16': ({}, dict(dtype=torch.float16)),
    'other device': ({}, dict(device='meta')),
}


def prepare(conv=(), h=24, w=24, dtype=torch.float32, device='cpu'):
    layer = conv_of(**dict(conv)).to(device, dtype)
    return layer, torch.randn(1, 4, h, w, dtype=dtype, device=device)


@pytest.mark.parametrize('name', PLAIN)
def test_left_to_pytorch(name):
    assert runs_by_phases(*prepare())
    options, sizes = PLAIN[name]
    conv, x = prepare(options, **sizes)
    assert depthwise.phase_dtype(conv, x) is None
    out = depthwise.depthwise(conv, x)
    assert out.shape == conv(x).shape
    assert out.is_meta or torch.equal(out, conv(x))


class Louder(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


def test_a_class_of_ones_own():
    x = torch.randn(1, 4, 24, 24)
    conv = Louder(4, 4, 7, padding=9, dilation=3, groups=4)
    assert torch.equal(depthwise.depthwise(conv, x), conv(x))
    exchanged = conv_of()
    exchanged.forward = lambda x: x + 1
    assert torch.equal(depthwise.depthwise(exchanged, x), x + 1)


def test_without_batch():
    conv, x = prepare()
    assert torch.equal(depthwise.depthwise(conv, x[0]), conv(x[0]))


HOOKS = (
    'register_forward_hook',
    'register_forward_pre_hook',
    'register_full_backward_hook',
    'register_full_backward_pre_hook',
)


@pytest.mark.parametrize('register', HOOKS)
def test_hooks_see_the_layer(register):
    conv, x = prepare()
    x.requires_grad_()
    seen = []
    handle = getattr(conv, register)(lambda module, *maps: seen.append(module))
    depthwise.depthwise(conv, x).sum().backward()
    assert seen == [conv]
    handle.remove()
    assert runs_by_phases(conv, x)


def test_hooks_on_every_module_see_the_layer():
    conv, x = prepare()
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    depthwise.depthwise(conv, x)
    handle.remove()
    assert seen == [conv]


def test_what_is_exported_is_plain():
    conv, x = prepare()
    graph = torch.export.export(Alone(conv), (x,)).graph
    convolutions = [node for node in graph.nodes if 'conv2d' in str(node.target)]
    assert len(convolutions) == 1
    assert [3, 3] in convolutions[0].args
    traced = torch.jit.trace(Alone(conv), x)
    assert 'reshape' not in str(traced.inlined_graph)


def compiled_graph(conv, x):
    """Compile the convolution of a map, compare its result, and give the code of its graph."""
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    out = torch.compile(Alone(conv), backend=backend, fullgraph=True)(x)
    torch.testing.assert_close(out, conv(x))
    [graph] = graphs
    return graph.code


@pytest.mark.parametrize('name', [None, *PLAIN])
def test_a_compiler_sees_phases(name):
    conv, x = prepare() if name is None else prepare(PLAIN[name][0], **PLAIN[name][1])
    # Below PyTorch 2.7 it cannot be told from an export.
    assert ('reshape' in compiled_graph(conv, x)) == (name is None and compat.TORCH >= (2, 7))


def test_a_compiler_sees_the_plain_form_of_a_size_left_open():
    conv, x = prepare()
    torch._dynamo.mark_dynamic(x, 2)
    assert 'reshape' not in compiled_graph(conv, x)


def test_gradients_of_compiled_phases():
    conv, x = prepare(h=25, w=31)
    x.requires_grad_()
    grads = []
    for apply in (torch.compile(Alone(conv), fullgraph=True), conv):
        grads.append(torch.autograd.grad(apply(x).square().sum(), [x, conv.weight, conv.bias]))
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-3)


def test_autocast_computes_in_its_own_type(with_bfloat16):
    conv = conv_of()
    x = torch.randn(1, 4, 31, 30, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        out, expected = depthwise.depthwise(conv, x), conv(x)
        assert runs_by_phases(conv, x)
    assert out.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(out, expected)
    out.sum().backward()
    assert conv.weight.grad.dtype == x.grad.dtype == torch.float32


def test_bfloat16_by_phases(with_bfloat16):
    conv, x = prepare(h=12, w=13, dtype=torch.bfloat16)
    assert runs_by_phases(conv, x)
    torch.testing.assert_close(depthwise.depthwise(conv, x), conv(x))
    assert not runs_by_phases(*prepare(h=11, w=30, dtype=torch.bfloat16))


def test_bfloat16_where_onednn_has_none(monkeypatch):
    monkeypatch.setattr(cpu.torch.ops.mkldnn, '_is_mkldnn_bf16_supported', lambda: False)
    conv, x = prepare(h=40, w=40, dtype=torch.bfloat16)
    assert not runs_by_phases(conv, x)


def test_the_attention_of_van_takes_it():
    with Calls() as calls:
        LKA(4)(torch.randn(1, 4, 24, 24))
    assert calls.dilations == [(1, 1)] * 3
