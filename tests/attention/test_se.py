import pytest
import torch
from timm.layers import SEModule

from mmattn.attention.se import SE
from tests.helpers import randomize

SHAPES = [(2, 16, 7, 5), (1, 64, 9, 13), (3, 30, 1, 4), (1, 8, 1, 1)]


def equations(x, p):
    """Equations 2 to 4 of the paper, with the biases of the release."""
    z = torch.einsum('nchw->nc', x) / (x.shape[2] * x.shape[3])
    hidden = torch.einsum('mc,nc->nm', p['fc.0.weight'], z) + p.get('fc.0.bias', 0)
    hidden = hidden * (hidden > 0)
    s = torch.einsum('cm,nm->nc', p['fc.2.weight'], hidden) + p.get('fc.2.bias', 0)
    return torch.einsum('nchw,nc->nchw', x, 1 / (1 + torch.exp(-s)))


@pytest.mark.parametrize('bias', [True, False], ids=['bias', 'plain'])
@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equations(shape, training, bias):
    module = randomize(SE(shape[1], reduction=4, bias=bias)).double().train(training)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected, out = equations(x, module.state_dict()), module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gate():
    module = randomize(SE(16, reduction=4)).double().eval()
    x = torch.randn(2, 16, 7, 5, dtype=torch.float64)
    [(name, gate)] = module.gates(x).items()
    assert (name, gate.shape) == ('channel', (2, 16, 1, 1))
    torch.testing.assert_close(gate.expand_as(x), equations(x, module.state_dict()) / x)


def test_takes_weights_of_timm_and_computes_the_same():
    other = randomize(SEModule(32, rd_channels=8))
    module = SE(32, reduction=4)
    module.load_state_dict(other.state_dict(), strict=True)
    x = torch.randn(2, 32, 7, 5)
    torch.testing.assert_close(module(x), other(x))


def test_loading_leaves_the_given_weights_alone():
    released = SEModule(32, rd_channels=8).state_dict()
    shapes = {key: value.shape for key, value in released.items()}
    SE(32, reduction=4).load_state_dict(released, strict=True)
    assert {key: value.shape for key, value in released.items()} == shapes


@pytest.mark.parametrize('bias', [True, False], ids=['bias', 'plain'])
def test_key_names(bias):
    names = ['fc.0.weight', 'fc.0.bias', 'fc.2.weight', 'fc.2.bias']
    state_dict = SE(32, bias=bias).state_dict()
    assert list(state_dict) == [name for name in names if bias or 'weight' in name]
    assert state_dict['fc.0.weight'].shape == (2, 32)


def test_parameters_of_the_paper():
    """Section 6.1: about 2.5 million weights more in a ResNet-50."""
    stages = [(3, 256), (4, 512), (6, 1024), (3, 2048)]
    weights = sum(n * sum(p.numel() for p in SE(c, bias=False).parameters()) for n, c in stages)
    assert weights == 2514944


def test_reduction_out_of_range():
    with pytest.raises(ValueError, match=r'reduction of 1 to 8 \(in_channels\), got 9; 8 works'):
        SE(8, reduction=9)
    SE(8, reduction=8)
