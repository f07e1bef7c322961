import pytest
import torch
from torch import nn

from mmattn.ops.activation import activated
from mmattn.probe.traffic import count_kept_bytes


def seen_by(layer, x):
    """Give the shape in which a layer gets a map, as its class sees it."""
    shapes, forward = [], nn.GELU.forward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            nn.GELU, 'forward', lambda self, y: shapes.append(y.shape) or forward(self, y)
        )
        activated(layer, x)
    [shape] = shapes
    return tuple(shape)


def map_of(*shape, layout=torch.channels_last, dtype=torch.float32):
    return torch.randn(shape).to(dtype=dtype, memory_format=layout)


needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason='the view is for oneDNN'
)


@needs_onednn
@pytest.mark.parametrize('approximate', ['none', 'tanh'])
def test_equals_the_activation(approximate):
    layer = nn.GELU(approximate)
    x = map_of(2, 16, 61, 53).requires_grad_()
    assert seen_by(layer, x) == (2, 61, 53, 16)
    out, expected = activated(layer, x), layer(x)
    assert out.stride() == expected.stride()
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)
    grad = torch.randn_like(out)
    grads = [torch.autograd.grad(y, x, grad)[0] for y in (out, expected)]
    assert grads[0].stride() == grads[1].stride()
    torch.testing.assert_close(*grads, rtol=1e-5, atol=2e-6)


OTHERS = {
    'NCHW': lambda: map_of(2, 16, 61, 53, layout=torch.contiguous_format),
    'small': lambda: map_of(2, 16, 61, 51),
    'one channel': lambda: map_of(2, 1, 610, 530),
    'float64': lambda: map_of(2, 16, 61, 53, dtype=torch.float64),
    'a part of a map': lambda: map_of(2, 16, 61, 80)[..., :53],
}


@pytest.mark.parametrize('name', OTHERS)
def test_left_to_pytorch(name):
    x = OTHERS[name]()
    assert seen_by(nn.GELU(), x) == tuple(x.shape)
    assert torch.equal(activated(nn.GELU(), x), nn.functional.gelu(x))


def test_hooks_see_the_map():
    x, layer, shapes = map_of(2, 16, 61, 53), nn.GELU(), []
    layer.register_forward_hook(lambda module, inputs, out: shapes.append(out.shape))
    activated(layer, x)
    assert shapes == [x.shape]


def test_other_activations():
    x = map_of(2, 16, 61, 53)
    assert torch.equal(activated(nn.SiLU(), x), nn.functional.silu(x))


@needs_onednn
def test_vmap():
    x = torch.stack([map_of(2, 16, 61, 53) for _ in range(2)])
    torch.testing.assert_close(
        torch.func.vmap(lambda each: activated(nn.GELU(), each))(x), nn.functional.gelu(x)
    )


class Alone(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.GELU()

    def forward(self, x):
        return activated(self.act, x)


def test_a_compiler_sees_the_plain_form():
    graphs, x = [], map_of(2, 16, 61, 53)

    def backend(graph, _):
        graphs.append(graph)
        return graph

    out = torch.compile(Alone(), backend=backend, fullgraph=True)(x)
    torch.testing.assert_close(out, nn.functional.gelu(x))
    [graph] = graphs
    assert 'permute' not in graph.code


def test_what_is_exported_is_plain():
    graph = torch.export.export(Alone(), (map_of(2, 16, 61, 53),)).graph
    assert not [node for node in graph.nodes if 'permute' in str(node.target)]


def at_its_ends(*shape, dtype=torch.float32):
    """A map with many values of 0 and 6, and some that are no numbers."""
    x = torch.randn(shape, dtype=torch.float32).mul_(4).add_(3).round_()
    x.flatten()[:3] = torch.tensor([float('nan'), float('inf'), -float('inf')])
    return x.to(dtype)


@pytest.mark.parametrize('inplace', [False, True])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_relu6_is_that_of_pytorch_bit_for_bit(dtype, inplace):
    x = at_its_ends(2, 3, 5, 7, dtype=dtype).transpose(2, 3).requires_grad_()
    layer, grad = nn.ReLU6(inplace), torch.randn_like(x)
    outs = [activated(layer, x * 1), layer(x * 1)]
    grads = [torch.autograd.grad(out, x, grad)[0] for out in outs]
    for a, b in (outs, grads):
        assert a.stride() == b.stride()
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize('inplace', [False, True])
def test_relu6_keeps_its_result_alone(inplace):
    """Which a convolution behind it keeps as well."""
    conv, layer, x = nn.Conv2d(4, 4, 1), nn.ReLU6(inplace), torch.randn(2, 4, 8, 8)
    weight = conv.weight.nbytes
    assert count_kept_bytes(lambda x: conv(activated(layer, x * 1)), x) == x.nbytes + weight
    assert count_kept_bytes(lambda x: conv(layer(x * 1)), x) == 2 * x.nbytes + weight


def test_derivatives_of_relu6():
    layer = nn.ReLU6()
    x = at_its_ends(2, 3, 5, dtype=torch.float64).nan_to_num(1, 9, -9).add_(0.3).requires_grad_()
    for form in (lambda x: activated(layer, x), lambda x: activated(layer, x).sin()):
        assert torch.autograd.gradcheck(form, x, check_forward_ad=True, check_batched_grad=True)
        assert torch.autograd.gradgradcheck(form, x)
    torch.testing.assert_close(
        torch.func.vmap(torch.func.grad(lambda x: activated(layer, x).square().sum()))(x),
        2 * layer(x) * ((x > 0) & (x < 6)),
    )


def test_what_sees_relu6_sees_the_layer():
    x, layer, seen = torch.randn(2, 3, 5, 7, requires_grad=True), nn.ReLU6(), []
    traced = torch.jit.trace(lambda x: activated(layer, x), x)
    assert 'aten::hardtanh' in str(traced.graph) or 'aten::relu6' in str(traced.graph)
    layer.register_forward_hook(lambda module, inputs, out: seen.append(out))
    out = activated(layer, x)
    assert seen == [out] or seen[0] is out
    compiled = torch.compile(
        lambda x: activated(nn.ReLU6(), x), backend='aot_eager', fullgraph=True
    )
    torch.testing.assert_close(compiled(x), out)
