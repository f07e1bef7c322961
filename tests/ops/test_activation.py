import pytest
import torch
from torch import nn

from mmattn.ops.activation import activated


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
