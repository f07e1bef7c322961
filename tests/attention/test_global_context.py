import pytest
import torch
from mmcv.cnn import ContextBlock

from mmattn.attention.global_context import GlobalContext
from tests.helpers import randomize

SHAPES = [(2, 16, 7, 5), (1, 32, 1, 9), (3, 8, 1, 1)]
FUSIONS = [('channel_add',), ('channel_mul',), ['channel_mul', 'channel_add']]


def context_and_gates(x, p, pooling, fusions):
    """Equation 4 of the paper, with sums over positions and channels; what is added comes last."""
    n, c, h, w = x.shape
    flat = x.reshape(n, c, h * w)
    weights = torch.full((n, h * w), 1 / (h * w), dtype=x.dtype)
    if pooling == 'att':
        logits = torch.einsum('c,ncl->nl', p['conv_mask.weight'].flatten(), flat)
        weights = torch.exp(logits - logits.max())
        weights = weights / weights.sum(1, keepdim=True)
    context = torch.einsum('ncl,nl->nc', flat, weights)

    def transform(name):
        z = context @ p[f'{name}.0.weight'][:, :, 0, 0].T + p[f'{name}.0.bias']
        mean = z.sum(1, keepdim=True) / z.shape[1]
        var = ((z - mean) ** 2).sum(1, keepdim=True) / z.shape[1]
        z = (z - mean) / torch.sqrt(var + 1e-5)
        z = z * p[f'{name}.1.weight'].flatten() + p[f'{name}.1.bias'].flatten()
        z = z * (z > 0)
        z = z @ p[f'{name}.3.weight'][:, :, 0, 0].T + p[f'{name}.3.bias']
        return z[:, :, None, None]

    weights = weights.reshape(n, 1, h, w)
    gate = 1 / (1 + torch.exp(-transform('channel_mul_conv'))) if 'channel_mul' in fusions else 1
    added = transform('channel_add_conv') if 'channel_add' in fusions else 0
    return weights, gate, added


def equations(x, p, pooling, fusions):
    _, gate, added = context_and_gates(x, p, pooling, fusions)
    return x * gate + added


@pytest.mark.parametrize('fusions', FUSIONS, ids='-'.join)
@pytest.mark.parametrize('pooling', ['att', 'avg'])
@pytest.mark.parametrize('shape', SHAPES, ids=lambda s: 'x'.join(map(str, s)))
def test_computes_the_equations_and_takes_the_weights_of_mmcv(shape, pooling, fusions):
    c = shape[1]
    module = GlobalContext(c, reduction=4, pooling_type=pooling, fusion_types=fusions).double()
    theirs = randomize(ContextBlock(c, 1 / 4, pooling, fusions)).double()
    module.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    outs = module(x), equations(x, module.state_dict(), pooling, fusions), theirs(x)
    r = torch.randn(shape, dtype=torch.float64)
    grads = [torch.autograd.grad((out * r).sum(), x)[0] for out in outs]
    for i in (1, 2):
        torch.testing.assert_close(outs[0], outs[i])
        torch.testing.assert_close(grads[0], grads[i])


@pytest.mark.parametrize('fusions', FUSIONS, ids='-'.join)
@pytest.mark.parametrize('pooling', ['att', 'avg'])
def test_tells_its_gates(pooling, fusions):
    module = GlobalContext(16, reduction=4, pooling_type=pooling, fusion_types=fusions)
    module = randomize(module).double()
    x = torch.randn(2, 16, 7, 5, dtype=torch.float64)
    weights, gate, _ = context_and_gates(x, module.state_dict(), pooling, fusions)
    expected = {'attention': weights} if pooling == 'att' else {}
    expected |= {'channel': gate} if 'channel_mul' in fusions else {}
    got = module.gates(x)
    assert list(got) == list(expected)
    torch.testing.assert_close(got, expected)


def test_starts_as_the_input_after_a_host_initializes():
    module = GlobalContext(16)
    x = torch.randn(2, 16, 4, 3)
    assert torch.equal(module(x), x)
    randomize(module).init_weights()
    assert torch.equal(module(x), x)


def test_identity_start_leaves_the_last_layer_trainable():
    module = GlobalContext(16, start='identity')
    module.init_weights()
    x = torch.randn(2, 16, 4, 3)
    out = module(x)
    assert torch.equal(out, x)
    (out * torch.randn_like(out)).sum().backward()
    assert module.blend.grad.item() != 0


@pytest.mark.parametrize('how', ['cast', 'autocast'])
@pytest.mark.parametrize('fusions', FUSIONS, ids='-'.join)
def test_half_precision(fusions, how):
    module = randomize(GlobalContext(16, fusion_types=fusions)).eval()
    # A large map: each of its positions weighs less than the smallest normal float16.
    x = 1 + torch.rand(1, 16, 160, 160)
    large = 6e4 * x.clamp(max=1)
    expected = module(x)
    assert module(large).isfinite().all()
    if how == 'cast':
        module = module.half()
        out, large = module(x.half()), module(large.half())
    else:
        with torch.autocast('cpu', torch.float16):
            out, large = module(x), module(large)
    torch.testing.assert_close(out.float(), expected, rtol=0.02, atol=0.02)
    assert large.isfinite().all()


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(reduction=32), 'reduction of 1 to 16 .*got 32; 16 works'),
    ],
)
def test_values_it_cannot_serve(options, match):
    with pytest.raises(ValueError, match=match):
        GlobalContext(16, **options)


def test_key_names():
    names = [f'channel_add_conv.{i}.{kind}' for i in (0, 1, 3) for kind in ('weight', 'bias')]
    assert list(GlobalContext(16).state_dict()) == ['conv_mask.weight', 'conv_mask.bias', *names]
