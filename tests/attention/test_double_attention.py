import pytest
import torch

from mmattn.attention.double_attention import DoubleAttention
from tests.helpers import randomize

SHAPES = [(2, 8, 4, 3), (1, 5, 1, 6), (3, 6, 1, 1)]


def equations(x, p, residual):
    """Equations 3 to 6 of the paper: gather over positions, distribute over descriptors.

    Also the mean weight of each position.
    """
    n, c, h, w = x.shape
    a, b, v = (
        torch.einsum('mc,ncl->nml', p[f'conv{name}.weight'][:, :, 0, 0], x.reshape(n, c, h * w))
        + p[f'conv{name}.bias'][:, None]
        for name in 'ABV'
    )
    out = torch.zeros(n, a.shape[1], h * w, dtype=x.dtype)
    received = 0
    for i in range(b.shape[1]):
        over_positions = torch.exp(b[:, i] - torch.logsumexp(b[:, i], 1, keepdim=True))
        descriptor = (a * over_positions[:, None]).sum(2)
        share = torch.exp(v[:, i]) / torch.exp(v).sum(1)
        out = out + descriptor[:, :, None] * share[:, None]
        received = received + over_positions * share.mean(1, keepdim=True)
    out = torch.einsum('cm,nml->ncl', p['conv_reconstruct.weight'][:, :, 0, 0], out)
    out = (out + p['conv_reconstruct.bias'][:, None]).reshape(x.shape)
    return x + out if residual else out, received.reshape(n, 1, h, w)


@pytest.mark.parametrize('residual', [True, False], ids=['residual', 'alone'])
@pytest.mark.parametrize('widths', [{}, dict(c_m=3, c_n=7)], ids=str)
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equations(shape, widths, residual):
    module = randomize(DoubleAttention(shape[1], residual=residual, **widths)).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out, [expected, _] = module(x), equations(x, module.state_dict(), residual)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_how_much_each_position_is_attended_to():
    module = randomize(DoubleAttention(8)).double()
    x = torch.randn(2, 8, 7, 5, dtype=torch.float64)
    _, expected = equations(x, module.state_dict(), True)
    got = module.gates(x)
    assert list(got) == ['attention']
    torch.testing.assert_close(got['attention'], expected)


def test_samples_of_a_batch_do_not_meet():
    """What the ports get wrong: a softmax over the batch."""
    module = randomize(DoubleAttention(8))
    x = torch.randn(3, 8, 4, 5)
    torch.testing.assert_close(module(x), torch.cat([module(sample[None]) for sample in x]))


def test_widths():
    default, chosen = DoubleAttention(512), DoubleAttention(64, c_m=5, c_n=3)
    assert (default.convA.out_channels, default.convB.out_channels) == (128, 128)
    assert (chosen.convA.out_channels, chosen.convB.out_channels) == (5, 3)
    c, m, n = 64, 5, 3
    parameters = sum(p.numel() for p in chosen.parameters())
    assert parameters == (c + 1) * (m + 2 * n) + (m + 1) * c


def test_key_names():
    convs = ('convA', 'convB', 'convV', 'conv_reconstruct')
    names = [f'{conv}.{kind}' for conv in convs for kind in ('weight', 'bias')]
    assert list(DoubleAttention(16).state_dict()) == names
