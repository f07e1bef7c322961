import pytest
import torch

from mmattn.attention.scsa import SCSA
from tests.helpers import randomize


def group_norm(x, groups, weight, bias):
    """Normalize (C, ...) over each of so many groups of channels."""
    parts = x.reshape(groups, -1)
    off = parts - parts.mean(1, keepdim=True)
    normed = (off / (off.square().mean(1, keepdim=True) + 1e-5).sqrt()).reshape(len(x), -1)
    return (normed * weight[:, None] + bias[:, None]).reshape(x.shape)


def convolve(profile, kernel, bias):
    """Convolve (C, L) by a kernel (C, k) of its own for each channel."""
    half, length = kernel.shape[1] // 2, profile.shape[1]
    out = bias[:, None].repeat(1, length)
    for i in range(length):
        for j in range(max(0, i - half), min(length, i + half + 1)):
            out[:, i] = out[:, i] + kernel[:, j - i + half] * profile[:, j]
    return out


def gates(x, p, num_heads, window):
    """The gates of one map (C, H, W): rows, columns, channels."""
    c, h, w = x.shape
    convs = ['local_dwc', 'global_dwc_s', 'global_dwc_m', 'global_dwc_l']

    def gate(profile, norm):
        quarters = profile.reshape(4, c // 4, -1)
        convolved = [
            convolve(quarter, p[f'{name}.weight'][:, 0], p[f'{name}.bias'])
            for name, quarter in zip(convs, quarters, strict=True)
        ]
        logits = group_norm(torch.cat(convolved), 4, p[f'{norm}.weight'], p[f'{norm}.bias'])
        return 1 / (1 + torch.exp(-logits))

    rows, columns = gate(x.mean(2), 'norm_h')[:, :, None], gate(x.mean(1), 'norm_w')[:, None]
    inner = x * rows * columns
    high, wide = (h, w) if window is None else (min(window, h), min(window, w))
    cells = [
        inner[:, i : i + high, j : j + wide].mean((1, 2))
        for i in range(0, h - high + 1, high)
        for j in range(0, w - wide + 1, wide)
    ]
    y = group_norm(torch.stack(cells, 1), 1, p['norm.weight'], p['norm.bias'])
    q, k, v = [
        p[f'{name}.weight'][:, 0, 0] * y + p.get(f'{name}.bias', y.new_zeros(c))[:, None]
        for name in 'qkv'
    ]
    gathered = []
    for head in range(num_heads):
        d = c // num_heads
        mine = slice(head * d, (head + 1) * d)
        pairs = torch.exp(q[mine] @ k[mine].T / d**0.5)
        gathered.append((pairs / pairs.sum(1, keepdim=True) @ v[mine]).mean(1))
    channel = 1 / (1 + torch.exp(-torch.cat(gathered)))
    return rows, columns, channel[:, None, None]


def equations(x, p, num_heads, window):
    """What the paper computes, for each map of a batch."""
    out = []
    for each in x:
        rows, columns, channel = gates(each, p, num_heads, window)
        out.append(each * rows * columns * channel)
    return torch.stack(out)


@pytest.mark.parametrize('qkv_bias', [False, True], ids=['plain', 'biased'])
@pytest.mark.parametrize(
    ('num_heads', 'window'), [(1, None), (2, 7), (4, 3)], ids=['whole', 'windows', 'small windows']
)
@pytest.mark.parametrize('shape', [(2, 8, 15, 17), (2, 8, 5, 9), (1, 8, 1, 1)], ids=str)
def test_computes_the_equations(shape, num_heads, window, qkv_bias):
    module = SCSA(shape[1], num_heads=num_heads, window_size=window, qkv_bias=qkv_bias)
    module = randomize(module).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out, expected = module(x), equations(x, module.state_dict(), num_heads, window)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize('size', [(15, 9), (4, 20), (6, 5)], ids=str)
def test_spare_windows_of_an_export_do_not_count(size, monkeypatch):
    module = randomize(SCSA(8, num_heads=2, qkv_bias=True)).double()
    x = torch.randn(2, 8, *size, dtype=torch.float64)
    expected = module(x)
    monkeypatch.setattr('mmattn.ops.cells.is_compiling', lambda: True)
    torch.testing.assert_close(module(x), expected)


def test_tells_its_gates():
    module = randomize(SCSA(8, num_heads=2)).double()
    x = torch.randn(1, 8, 15, 9, dtype=torch.float64)
    got = module.gates(x)
    assert list(got) == ['rows', 'columns', 'channel']
    for gate, expected in zip(got.values(), gates(x[0], module.state_dict(), 2, 7), strict=True):
        torch.testing.assert_close(gate[0], expected)


def test_key_names():
    convs = ['local_dwc', 'global_dwc_s', 'global_dwc_m', 'global_dwc_l']
    layers = [*convs, 'norm_h', 'norm_w', 'norm']
    names = [f'{layer}.{kind}' for layer in layers for kind in ('weight', 'bias')]
    assert list(SCSA(8).state_dict()) == [*names, 'q.weight', 'k.weight', 'v.weight']


def test_parameters():
    assert sum(p.numel() for p in SCSA(256).parameters()) == 4096


@pytest.mark.parametrize('channels', [1, 6, 30])
def test_channels_it_cannot_serve(channels):
    with pytest.raises(ValueError, match=rf'divisible by 4, got {channels}; \d+ works'):
        SCSA(channels)


@pytest.mark.parametrize(('heads', 'works'), [(3, 2), (32, 16), (64, 16)])
def test_heads_it_cannot_serve(heads, works):
    with pytest.raises(ValueError, match=f'num_heads .* 16, got {heads}; {works} works'):
        SCSA(16, num_heads=heads)
