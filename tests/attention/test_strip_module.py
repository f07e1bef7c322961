import pytest
import torch
import torch.nn.functional as F

from mmattn.attention.strip_module import StripModule
from mmattn.probe.count import count_multiply_adds, count_parameters
from tests.helpers import randomize


def equations(x, p):
    """What the paper computes: near, row, column, channels, product."""
    c = x.shape[1]
    out = F.conv2d(x, p['conv0.weight'], p['conv0.bias'], padding=2, groups=c)
    half = p['conv_spatial1.weight'].shape[3] // 2
    row, column = p['conv_spatial1.weight'], p['conv_spatial2.weight']
    out = F.conv2d(F.pad(out, [half, half, 0, 0]), row, p['conv_spatial1.bias'], groups=c)
    out = F.conv2d(F.pad(out, [0, 0, half, half]), column, p['conv_spatial2.bias'], groups=c)
    return x * F.conv2d(out, p['conv1.weight'], p['conv1.bias'])


@pytest.mark.parametrize('kernel_size', [19, 7, 1])
@pytest.mark.parametrize('shape', [(2, 5, 13, 24), (1, 3, 1, 4)], ids=str)
def test_computes_the_equations(shape, kernel_size):
    module = randomize(StripModule(shape[1], kernel_size=kernel_size)).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out, expected = module(x), equations(x, module.state_dict())
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gate():
    module = randomize(StripModule(5)).double().eval()
    x = torch.randn(2, 5, 13, 24, dtype=torch.float64)
    [(name, gate)] = module.gates(x).items()
    assert (name, gate.shape) == ('spatial', (2, 5, 13, 24))
    torch.testing.assert_close(gate.expand_as(x), equations(x, module.state_dict()) / x)


def test_key_names():
    """The first strip is a row."""
    state_dict = StripModule(4).state_dict()
    assert {key: tuple(v.shape) for key, v in state_dict.items() if key.endswith('weight')} == {
        'conv0.weight': (4, 1, 5, 5),
        'conv_spatial1.weight': (4, 1, 1, 19),
        'conv_spatial2.weight': (4, 1, 19, 1),
        'conv1.weight': (4, 4, 1, 1),
    }


def test_takes_the_weights_of_the_strip_head():
    source, module = randomize(StripModule(4)), StripModule(4)
    of_head = {k.replace('conv_spatial', 'strip_conv'): v for k, v in source.state_dict().items()}
    assert of_head.keys() != source.state_dict().keys()
    module.load_state_dict(of_head, strict=True)
    x = torch.randn(1, 4, 9, 7)
    assert torch.equal(module(x), source(x))


def test_counts():
    module = StripModule(256)
    assert count_parameters(module) == 82_688
    assert count_multiply_adds(module, (1, 256, 32, 32)) / 1e6 == pytest.approx(83.6, abs=0.05)


def test_starts_as_the_release_does():
    torch.manual_seed(0)
    module = StripModule(64)
    for name, fan_out in (('conv0', 25), ('conv_spatial1', 19), ('conv_spatial2', 19)):
        conv = module.get_submodule(name)
        slack = 5 / (2 * conv.weight.numel()) ** 0.5
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=slack)
        assert not conv.bias.any()


@pytest.mark.parametrize('large', [6e4, -6e4])
def test_the_largest_inputs_stay_finite(large):
    module = StripModule(32).half().eval()
    out = module(torch.full((1, 32, 9, 7), large).half())
    assert out.isfinite().all()
