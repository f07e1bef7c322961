import pytest
import torch

from mmattn.attention.criss_cross import CrissCross
from tests.helpers import randomize

SHAPES = [(2, 8, 4, 3), (1, 16, 1, 6), (1, 8, 5, 1), (2, 8, 1, 1)]


def equations(x, p, recurrence):
    """Equations 1 and 2 of the paper, one position and its cross at a time.

    Also the mean weight of each position, of each round.
    """
    n, _, h, w = x.shape
    received = []
    for _ in range(recurrence):
        received.append(x.new_zeros(n, 1, h, w))
        q, k, v = (
            torch.einsum('mc,nchw->nmhw', p[f'{name}_conv.weight'][:, :, 0, 0], x)
            + p[f'{name}_conv.bias'][:, None, None]
            for name in ('query', 'key', 'value')
        )
        rows = []
        for i in range(h):
            for j in range(w):
                cross = [(a, j) for a in range(h) if a != i] + [(i, b) for b in range(w)]
                keys = torch.stack([k[:, :, a, b] for a, b in cross])
                values = torch.stack([v[:, :, a, b] for a, b in cross])
                weights = torch.exp((q[:, :, i, j] * keys).sum(2))
                weights = weights / weights.sum(0)
                rows.append((weights[..., None] * values).sum(0))
                for (a, b), weight in zip(cross, weights.detach(), strict=True):
                    received[-1][:, 0, a, b] += weight / (h * w)
        x = p['gamma'] * torch.stack(rows, 2).reshape(x.shape) + x
    return x, received


@pytest.mark.parametrize('recurrence', [1, 2])
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equations(shape, recurrence):
    module = randomize(CrissCross(shape[1], recurrence=recurrence)).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out, [expected, _] = module(x), equations(x, module.state_dict(), recurrence)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_how_much_each_position_is_attended_to():
    module = randomize(CrissCross(8, recurrence=2)).double()
    x = torch.randn(2, 8, 4, 3, dtype=torch.float64)
    _, [first, last] = equations(x, module.state_dict(), 2)
    got = module.gates(x)
    assert list(got) == ['attention_1', 'attention']
    torch.testing.assert_close(list(got.values()), [first, last])


def test_takes_the_weights_of_mmcv():
    ops = pytest.importorskip('mmcv.ops', reason='mmcv is installed without its ops')
    theirs = randomize(ops.CrissCrossAttention(16))
    state_dict = theirs.state_dict()
    module = CrissCross(16)
    module.load_state_dict(state_dict, strict=True)
    assert 'gamma.scale' in state_dict
    x = torch.randn(2, 16, 7, 5)
    torch.testing.assert_close(module(x), theirs(x))


def test_starts_as_the_input_after_a_host_initializes():
    module = CrissCross(8)
    x = torch.randn(2, 8, 4, 3)
    assert torch.equal(module(x), x)
    randomize(module).init_weights()
    assert torch.equal(module(x), x)


def test_identity_start_leaves_the_factor_trainable():
    module = CrissCross(8, start='identity')
    module.init_weights()
    x = torch.randn(2, 8, 4, 3)
    out = module(x)
    assert torch.equal(out, x)
    (out * torch.randn_like(out)).sum().backward()
    assert module.blend.grad.item() != 0


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(reduction=17), 'reduction of 1 to 16 .*got 17; 16 works'),
    ],
)
def test_values_it_cannot_serve(options, match):
    with pytest.raises(ValueError, match=match):
        CrissCross(16, **options)


def test_key_names():
    names = {f'{n}_conv.{kind}' for n in ('query', 'key', 'value') for kind in ('weight', 'bias')}
    assert set(CrissCross(16).state_dict()) == {*names, 'gamma'}
