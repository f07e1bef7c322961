import pytest
import torch

from mmattn.attention.shsa import SHSA
from tests.helpers import randomize


def batch_norm(x, p, name, training):
    """Normalize (N, C, L)."""
    mean, var = p[f'{name}.running_mean'], p[f'{name}.running_var']
    if training:
        mean, var = x.mean((0, 2)), x.var((0, 2), unbiased=False)
    scale = p[f'{name}.weight'] / (var + 1e-5).sqrt()
    return (x - mean[:, None]) * scale[:, None] + p[f'{name}.bias'][:, None]


def weights_and_values(x, p, qk, partial, training):
    """The weights of all pairs (i, j) of positions, and the values of j."""
    first = x.flatten(2)[:, :partial]
    off = first - first.mean((1, 2), keepdim=True)
    normed = off / (off.square().mean((1, 2), keepdim=True) + 1e-5).sqrt()
    normed = normed * p['pre_norm.weight'][:, None] + p['pre_norm.bias'][:, None]
    embedded = torch.einsum('oc,ncl->nol', p['qkv.c.weight'][..., 0, 0], normed)
    q, k, v = batch_norm(embedded, p, 'qkv.bn', training).split([qk, qk, partial], 1)
    scores = torch.exp(torch.einsum('ndi,ndj->nij', q, k) / qk**0.5)
    return scores / scores.sum(2, keepdim=True), v


def equations(x, p, qk, partial, training):
    """What the paper computes: attend by some channels, join the others, mix all."""
    weights, v = weights_and_values(x, p, qk, partial, training)
    attended = torch.einsum('nij,nvj->nvi', weights, v)
    joined = torch.cat([attended, x.flatten(2)[:, partial:]], 1).clamp(min=0)
    mixed = torch.einsum('oc,ncl->nol', p['proj.1.c.weight'][..., 0, 0], joined)
    return batch_norm(mixed, p, 'proj.1.bn', training).reshape(x.shape)


def small(module):
    """Randomize, with scores that a plain exponential takes."""
    randomize(module)
    module.qkv.bn.weight.data *= 0.5
    return module.double()


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize(('qk', 'partial'), [(3, 5), (16, 2), (4, 9)])
@pytest.mark.parametrize('size', [(7, 5), (1, 9)], ids=str)
def test_computes_the_equations(size, qk, partial, training):
    module = small(SHSA(9, qk_channels=qk, partial_channels=partial)).train(training)
    p = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(2, 9, *size, dtype=torch.float64, requires_grad=True)
    out, expected = module(x), equations(x, p, qk, partial, training)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_how_much_each_position_is_attended_to():
    module = small(SHSA(9, qk_channels=4, partial_channels=3)).eval()
    x = torch.randn(2, 9, 7, 5, dtype=torch.float64)
    weights, _ = weights_and_values(x, module.state_dict(), 4, 3, False)
    [(name, got)] = module.gates(x).items()
    assert name == 'attention'
    torch.testing.assert_close(got, weights.mean(1).reshape(2, 1, 7, 5))


# Of all stages with attention in SHViT-S1 to S4.
@pytest.mark.parametrize(
    ('channels', 'partial'), [(224, 48), (320, 68), (308, 66), (448, 96), (352, 75), (336, 72)]
)
def test_default_share_is_that_of_the_networks(channels, partial):
    assert SHSA(channels).widths == [16, 16, partial]


@pytest.mark.parametrize('channels', [1, 2, 3])
def test_one_channel_attends_at_least(channels):
    assert SHSA(channels).eval()(torch.rand(2, channels, 4, 3)).shape == (2, channels, 4, 3)


def test_key_names():
    norm = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
    names = ['pre_norm.weight', 'pre_norm.bias']
    for layer in ('qkv', 'proj.1'):
        names += [f'{layer}.c.weight', *(f'{layer}.bn.{kind}' for kind in norm)]
    assert list(SHSA(16).state_dict()) == names


def test_parameters():
    """Convolutions without a bias, two numbers for each channel that is normed."""
    c, partial, wide = 224, 48, 2 * 16 + 48
    expected = 2 * partial + partial * wide + 2 * wide + c * c + 2 * c
    assert sum(p.numel() for p in SHSA(c).parameters()) == expected


def test_starts_as_zero_after_a_host_initializes():
    """It is added to the map in its network."""
    module = SHSA(8)
    x = torch.randn(2, 8, 4, 3)
    assert not module(x).any()
    randomize(module).init_weights()
    assert not module.proj[1].bn.weight.any()


def test_identity_start_leaves_the_last_norm_as_it_is():
    module = SHSA(8, start='identity')
    module.init_weights()
    assert (module.proj[1].bn.weight == 1).all()


def test_scores_are_in_the_range_of_float16():
    """Products of queries and keys that overflow float16 before they are scaled."""
    module = SHSA(4, qk_channels=16, partial_channels=2, start='identity').eval()
    torch.nn.init.ones_(module.blend)
    torch.nn.init.constant_(module.qkv.bn.bias, 1e3)
    x = torch.randn(1, 4, 3, 3)
    expected = module(x)
    torch.testing.assert_close(module.half()(x.half()).float(), expected, rtol=1e-2, atol=1e-2)


def test_channels_it_cannot_serve():
    with pytest.raises(ValueError, match='partial_channels of 1 to 8 .*got 9; 8 works'):
        SHSA(8, partial_channels=9)
