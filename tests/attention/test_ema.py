import pytest
import torch
import torch.nn.functional as F

from mmattn.attention.ema import EMA
from tests.helpers import randomize

SHAPES = [(2, 12, 7, 5), (1, 4, 9, 2), (3, 8, 1, 2), (2, 8, 1, 1)]


def equations(x, p, factor):
    """Section 3 of the paper, one image and one channel group at a time."""

    def softmax(z):
        return torch.exp(z) / torch.exp(z).sum()

    def group_gate(x):
        m, h, w = x.shape
        weight, bias = p['conv1x1.weight'][..., 0, 0], p['conv1x1.bias'][:, None]
        g_h = 1 / (1 + torch.exp(-weight @ x.sum(2).div(w) - bias))
        g_w = 1 / (1 + torch.exp(-weight @ x.sum(1).div(h) - bias))
        one = torch.einsum('mhw,mh,mw->mhw', x, g_h, g_w)
        mean = one.sum((1, 2), keepdim=True) / (h * w)
        var = ((one - mean) ** 2).sum((1, 2), keepdim=True) / (h * w)
        one = (one - mean) / (var + 1e-5) ** 0.5
        one = one * p['gn.weight'][:, None, None] + p['gn.bias'][:, None, None]
        padded = F.pad(x, [1] * 4)
        other = p['conv3x3.bias'][:, None, None] + sum(
            torch.einsum(
                'om,mhw->ohw', p['conv3x3.weight'][..., i, j], padded[:, i : i + h, j : j + w]
            )
            for i in range(3)
            for j in range(3)
        )
        logits = 0
        for weighing, weighed in ((one, other), (other, one)):
            weights = softmax(weighing.sum((1, 2)) / (h * w))
            logits = logits + sum(weights[i] * weighed[i] for i in range(m))
        return 1 / (1 + torch.exp(-logits))

    return torch.stack(
        [torch.cat([group * group_gate(group) for group in image.chunk(factor)]) for image in x]
    )


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
@pytest.mark.parametrize('factor', [1, 4])
def test_computes_the_equations(shape, factor, training):
    module = randomize(EMA(shape[1], factor=factor)).double().train(training)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected, out = equations(x, module.state_dict(), factor), module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gate():
    module = randomize(EMA(12, factor=4)).double().eval()
    x = torch.randn(2, 12, 7, 5, dtype=torch.float64)
    [(name, gate)] = module.gates(x).items()
    assert (name, gate.shape) == ('spatial', (2, 12, 7, 5))
    torch.testing.assert_close(gate.expand_as(x), equations(x, module.state_dict(), 4) / x)


def test_key_names_and_default_groups():
    shapes = {key: tuple(value.shape) for key, value in EMA(64).state_dict().items()}
    assert shapes == {
        'gn.weight': (2,),
        'gn.bias': (2,),
        'conv1x1.weight': (2, 2, 1, 1),
        'conv1x1.bias': (2,),
        'conv3x3.weight': (2, 2, 3, 3),
        'conv3x3.bias': (2,),
    }


@pytest.mark.parametrize(
    ('in_channels', 'factor', 'works'), [(16, 32, 32), (40, 32, 32), (50, 32, 64), (7, 4, 8)]
)
def test_channels_that_do_not_divide(in_channels, factor, works):
    message = f'in_channels divisible by factor {factor}, got {in_channels}; {works} works'
    with pytest.raises(ValueError, match=message):
        EMA(in_channels, factor=factor)
    EMA(works, factor=factor)


def test_trains_on_a_single_pixel_of_a_single_group():
    module = randomize(EMA(3, factor=1)).train()
    x = torch.randn(1, 3, 1, 1)
    torch.testing.assert_close(module(x), equations(x, module.state_dict(), 1))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('how', ['cast', 'autocast', 'autocast of float32'])
def test_half_precision_is_close(how, dtype):
    module = randomize(EMA(8, factor=4)).eval()
    x = torch.randn(2, 8, 6, 5).sign()
    x = x.to(torch.float32 if 'float32' in how else dtype)
    expected = module(x.float())
    if how == 'cast':
        out = module.to(dtype)(x)
    else:
        with torch.autocast('cpu', dtype):
            out = module(x)
    slack = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(out.float(), expected, rtol=slack, atol=slack)
