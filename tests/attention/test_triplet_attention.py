import pytest
import torch
import torch.nn.functional as F

from mmattn.attention.triplet_attention import TripletAttention
from tests.helpers import randomize

SHAPES = [(2, 6, 7, 5), (1, 3, 9, 1), (3, 4, 1, 2), (2, 1, 1, 1)]


def gates(x, p, training):
    """Section 3.3 of the paper, the convolutions as sums of shifted planes."""

    def gate(name, tensor):
        """Gate of (N, A, B), the axes behind the one that is pooled."""
        z = torch.stack([tensor.amax(1), tensor.sum(1) / tensor.shape[1]])
        weight = p[f'{name}.conv.conv.weight'][0]
        k = weight.shape[-1]
        a, b = z.shape[2:]
        padded = F.pad(z, [k // 2] * 4)
        y = sum(
            weight[i, r, s] * padded[i, :, r : r + a, s : s + b]
            for i in range(2)
            for r in range(k)
            for s in range(k)
        )
        bn = {key: p[f'{name}.conv.bn.{key}'] for key in ('weight', 'bias')}
        mean = y.mean() if training else p[f'{name}.conv.bn.running_mean']
        var = ((y - mean) ** 2).mean() if training else p[f'{name}.conv.bn.running_var']
        y = (y - mean) / (var + 1e-5) ** 0.5 * bn['weight'] + bn['bias']
        return 1 / (1 + torch.exp(-y))

    return {
        'columns': gate('cw', x.permute(0, 2, 1, 3))[:, :, None],
        'rows': gate('hc', x.permute(0, 3, 2, 1)).transpose(1, 2)[..., None],
        'spatial': gate('hw', x)[:, None],
    }


def equations(x, p, training):
    return sum(x * gate for gate in gates(x, p, training).values()) / 3


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('kernel_size', [3, 7])
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equations(shape, kernel_size, training):
    module = randomize(TripletAttention(shape[1], kernel_size=kernel_size)).double()
    module.train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected, out = equations(x, p, training), module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize('no_spatial', [False, True], ids=['three gates', 'no spatial gate'])
def test_tells_its_gates(no_spatial):
    module = randomize(TripletAttention(6)).double().eval()
    x = torch.randn(2, 6, 7, 5, dtype=torch.float64)
    expected = gates(x, module.state_dict(), False)
    if no_spatial:
        module.hw = None
        del expected['spatial']
    got = module.gates(x)
    assert list(got) == list(expected)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(module(x), x * sum(got.values()) / len(got))


# Three convolutions of 2 * 7 * 7 weights and three norms of 2, whatever the width.
@pytest.mark.parametrize('in_channels', [1, 256])
def test_parameters_of_the_paper(in_channels):
    assert sum(p.numel() for p in TripletAttention(in_channels).parameters()) == 300


def test_key_names():
    bn = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
    names = [
        f'{gate}.conv.{key}'
        for gate in ('cw', 'hc', 'hw')
        for key in ('conv.weight', *(f'bn.{key}' for key in bn))
    ]
    assert list(TripletAttention(4).state_dict()) == names


class ReleasedGate(torch.nn.Module):
    """A gate of the module in the released models: pooled over axis 1, (N, A, B, C) the same."""

    def __init__(self):
        super().__init__()
        self.spatial = torch.nn.Module()
        self.spatial.conv = torch.nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.spatial.bn = torch.nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x):
        pooled = torch.cat([x.max(1, keepdim=True).values, x.mean(1, keepdim=True)], 1)
        return x * self.spatial.bn(self.spatial.conv(pooled)).sigmoid()


class Released(torch.nn.Module):
    def __init__(self, no_spatial):
        super().__init__()
        self.ChannelGateH = ReleasedGate()
        self.ChannelGateW = ReleasedGate()
        if not no_spatial:
            self.SpatialGate = ReleasedGate()

    def forward(self, x):
        maps = [
            self.ChannelGateH(x.permute(0, 2, 1, 3)).permute(0, 2, 1, 3),
            self.ChannelGateW(x.permute(0, 3, 2, 1)).permute(0, 3, 2, 1),
        ]
        if hasattr(self, 'SpatialGate'):
            maps.append(self.SpatialGate(x))
        return sum(maps) / len(maps)


@pytest.mark.parametrize('no_spatial', [False, True], ids=['three gates', 'no spatial gate'])
def test_released_models_load_as_they_are(no_spatial):
    released = randomize(Released(no_spatial)).eval()
    module = TripletAttention(6, no_spatial=no_spatial).eval()
    module.load_state_dict(released.state_dict(), strict=True)
    x = torch.randn(2, 6, 9, 7)
    torch.testing.assert_close(module(x), released(x), rtol=0, atol=1e-6)


def test_no_spatial_leaves_out_a_gate():
    assert sum(p.numel() for p in TripletAttention(8, no_spatial=True).parameters()) == 200


def test_momentum_of_the_release():
    assert TripletAttention(4).hw.conv.bn.momentum == 0.01


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_of_large_values(dtype):
    module = randomize(TripletAttention(4)).eval()
    x = (torch.randn(2, 4, 6, 5).sign() * 6e4).to(dtype)
    expected = module(x.float())
    out = module.to(dtype)(x).float()
    torch.testing.assert_close(out, expected, rtol=2e-2, atol=2e2)


def test_trains_on_a_single_pixel():
    module = randomize(TripletAttention(1))
    x = torch.randn(1, 1, 1, 1)
    expected = module.eval()(x)
    torch.testing.assert_close(module.train()(x), expected)
