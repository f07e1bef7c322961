import math

import pytest
import torch

from mmattn.attention.agent_attention import AgentAttention
from tests.attention.test_mlca import adaptive
from tests.helpers import randomize


def resize(x, length, dim):
    """Resize one axis linearly, the centres of the first and last pixel being no fixed points."""
    x = x.movedim(dim, 0)
    out = []
    for i in range(length):
        place = min(max((i + 0.5) * len(x) / length - 0.5, 0), len(x) - 1)
        low = math.floor(place)
        share = place - low
        out.append((1 - share) * x[low] + share * x[min(low + 1, len(x) - 1)])
    return torch.stack(out).movedim(0, dim)


def bias(near, rows, columns, size, grid, shape):
    """What is added to the scores of pairs, (heads, agents, H * W), of three (heads, n, h, w)."""
    maps = [resize(resize(b, size[0], 2), size[1], 3) for b in (near, rows + columns)]
    b = (maps[0] + maps[1]).unflatten(1, (grid, grid))
    return resize(resize(b, shape[0], 1), shape[1], 2).flatten(1, 2).flatten(2)


def softmax(x):
    """Weights along the last axis."""
    e = torch.exp(x - x.max())
    return e / e.sum(-1, keepdim=True)


def weights(x, p, heads, grid, shape):
    """The weights of agents and positions and those of positions and agents, and the values."""
    c, h, w = x.shape

    def linear(name, x):
        out = torch.einsum('oc,chw->ohw', p[f'{name}.weight'][..., 0, 0], x)
        return out + p[f'{name}.bias'][:, None, None] if f'{name}.bias' in p else out

    q, (k, v) = linear('q', x), linear('kv', x).chunk(2)
    agents = adaptive(q, *shape)
    a, q, k = [t.reshape(heads, c // heads, -1) for t in (agents, q, k)]
    to_agents = bias(p['an_bias'], p['ah_bias'], p['aw_bias'], (h, w), grid, shape)
    ours = [p[name].permute(0, 3, 1, 2) for name in ('na_bias', 'ha_bias', 'wa_bias')]
    to_map = bias(p['na_bias'], ours[1], ours[2], (h, w), grid, shape)
    scale = (c // heads) ** -0.5
    first = softmax(torch.einsum('mda,mdl->mal', a, k) * scale + to_agents)
    second = softmax(torch.einsum('mdl,mda->mla', q, a) * scale + to_map.transpose(1, 2))
    return first, second, v


def equations(x, p, heads, grid, shape):
    """What the paper computes, of one map (C, H, W)."""
    c, h, w = x.shape
    first, second, v = weights(x, p, heads, grid, shape)
    values = torch.einsum('mal,mdl->mad', first, v.reshape(heads, c // heads, -1))
    out = torch.einsum('mla,mad->mdl', second, values).reshape(c, h, w)
    padded = torch.nn.functional.pad(v, [1, 1, 1, 1])
    out = out + p['dwc.bias'][:, None, None]
    for i in range(3):
        for j in range(3):
            kernel = p['dwc.weight'][:, 0, i, j, None, None]
            out = out + kernel * padded[:, i : i + h, j : j + w]
    out = torch.einsum('oc,chw->ohw', p['proj.weight'][..., 0, 0], out)
    return out + p['proj.bias'][:, None, None]


@pytest.mark.parametrize('qkv_bias', [False, True], ids=['plain', 'biased'])
@pytest.mark.parametrize('agent_shape', [None, (4, 2)], ids=['own', 'other'])
@pytest.mark.parametrize('size', [(7, 9), (1, 1), (12, 2)], ids=str)
def test_computes_the_equations(size, agent_shape, qkv_bias):
    options = dict(num_heads=2, num_agents=9, window_size=5, qkv_bias=qkv_bias)
    module = randomize(AgentAttention(6, agent_shape=agent_shape, **options)).double()
    x = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    shape = agent_shape or (3, 3)
    expected = torch.stack([equations(each, module.state_dict(), 2, 3, shape) for each in x])
    out = module(x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_how_much_each_position_is_attended_to():
    module = randomize(AgentAttention(6, num_heads=1, num_agents=4, window_size=3)).double()
    x = torch.randn(1, 6, 7, 5, dtype=torch.float64)
    first, second, _ = weights(x[0], module.state_dict(), 1, 2, (2, 2))
    [(name, got)] = module.gates(x).items()
    assert name == 'attention'
    torch.testing.assert_close(got[0, 0].flatten(), (second @ first)[0].mean(0))
    assert got.sum().item() == pytest.approx(1)


def released(module):
    """Give the state as the release has it: linear layers, an axis for the batch."""
    state = dict(module.state_dict())
    for name in ('q', 'kv', 'proj'):
        state[f'{name}.weight'] = state[f'{name}.weight'][..., 0, 0]
    for name in ('ah_bias', 'aw_bias', 'ha_bias', 'wa_bias'):
        state[name] = state[name][None]
    return state


@pytest.mark.parametrize('within', [False, True], ids=['alone', 'in a network'])
def test_released_weights_load_as_they_are(within):
    options = dict(num_heads=2, num_agents=9, window_size=5)
    theirs = randomize(AgentAttention(6, **options)).eval()
    ours = AgentAttention(6, **options).eval()
    state = released(theirs)
    assert state['ha_bias'].shape == (1, 2, 5, 1, 9) and state['wa_bias'].shape == (1, 2, 1, 5, 9)
    if within:
        network = torch.nn.Sequential(ours)
        network.load_state_dict({f'0.{key}': value for key, value in state.items()}, strict=True)
    else:
        ours.load_state_dict(state, strict=True)
    x = torch.randn(2, 6, 4, 7)
    assert torch.equal(ours(x), theirs(x))


def test_key_names():
    biases = {f'{name}_bias' for name in ('an', 'na', 'ah', 'aw', 'ha', 'wa')}
    layers = {f'{name}.{k}' for name in ('q', 'kv', 'proj', 'dwc') for k in ('weight', 'bias')}
    assert set(AgentAttention(8).state_dict()) == biases | layers
    assert set(AgentAttention(8, qkv_bias=False).state_dict()) == biases | (
        layers - {'q.bias', 'kv.bias'}
    )


def test_parameters():
    """Those of the third stage of AgentPVT-T."""
    c, heads, agents, side = 320, 5, 49, 14
    linear = 4 * (c * c + c)
    biases = heads * agents * (2 * 7 * 7 + 4 * side)
    module = AgentAttention(c, num_heads=heads, num_agents=agents, window_size=side)
    assert sum(p.numel() for p in module.parameters()) == linear + 9 * c + c + biases


# One for each 64 channels, as in AgentPVT, or fewer.
@pytest.mark.parametrize(
    ('channels', 'heads'), [(64, 1), (128, 2), (320, 5), (512, 8), (7, 1), (200, 2), (213, 3)]
)
def test_default_heads_divide_the_channels(channels, heads):
    assert AgentAttention(channels).num_heads == heads


def test_biases_start_small():
    for name, parameter in AgentAttention(64).named_parameters():
        if name.endswith('_bias'):
            # A few hundred numbers at least, within five standard errors.
            assert parameter.std().item() == pytest.approx(0.02, rel=5 / (2 * 686) ** 0.5)


def test_comes_into_channels_last():
    module = AgentAttention(8).to(memory_format=torch.channels_last)
    assert module.q.weight.is_contiguous(memory_format=torch.channels_last)


def test_values_it_cannot_serve():
    with pytest.raises(ValueError, match='num_heads .* 8, got 3; 2 works'):
        AgentAttention(8, num_heads=3)
    with pytest.raises(ValueError, match='num_agents .* that is a square, such as 49, got 10'):
        AgentAttention(8, num_agents=10)
