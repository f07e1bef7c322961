import pytest
import torch
import torch.nn.functional as F

from mmattn.attention.msca import MSCA
from tests.helpers import randomize


def depthwise(x, kernel, bias):
    """A depthwise convolution with an odd kernel (C, k_h, k_w) as a sum of shifted maps."""
    k_h, k_w = kernel.shape[1:]
    h, w = x.shape[2:]
    padded = F.pad(x, [k_w // 2] * 2 + [k_h // 2] * 2)
    out = bias[:, None, None].expand_as(x)
    for i in range(k_h):
        for j in range(k_w):
            out = out + kernel[:, i, j, None, None] * padded[..., i : i + h, j : j + w]
    return out


def equations(x, p, branches):
    """What the paper computes: near, plus strips, channels, product."""
    near = depthwise(x, p['conv0.weight'][:, 0], p['conv0.bias'])
    attention = near
    for i in range(branches):
        row, column = p[f'conv{i}_1.weight'][:, 0], p[f'conv{i}_2.weight'][:, 0]
        strip = depthwise(near, row, p[f'conv{i}_1.bias'])
        attention = attention + depthwise(strip, column, p[f'conv{i}_2.bias'])
    attention = torch.einsum('oc,nchw->nohw', p['conv3.weight'][..., 0, 0], attention)
    return x * (attention + p['conv3.bias'][:, None, None])


@pytest.mark.parametrize('kernel_sizes', [(7, 11, 21), (7,), (3, 5, 7, 9)], ids=str)
@pytest.mark.parametrize('shape', [(2, 5, 13, 24), (1, 3, 1, 4)], ids=str)
def test_computes_the_equations(shape, kernel_sizes):
    module = randomize(MSCA(shape[1], kernel_sizes=kernel_sizes)).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out, expected = module(x), equations(x, module.state_dict(), len(kernel_sizes))
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gate():
    module = randomize(MSCA(5)).double().eval()
    x = torch.randn(2, 5, 13, 24, dtype=torch.float64)
    [(name, gate)] = module.gates(x).items()
    assert (name, gate.shape) == ('spatial', (2, 5, 13, 24))
    torch.testing.assert_close(gate.expand_as(x), equations(x, module.state_dict(), 3) / x)


def test_key_names():
    convs = ['conv0', 'conv0_1', 'conv0_2', 'conv1_1', 'conv1_2', 'conv2_1', 'conv2_2', 'conv3']
    state_dict = MSCA(4).state_dict()
    assert list(state_dict) == [f'{conv}.{kind}' for conv in convs for kind in ('weight', 'bias')]
    shapes = [(5, 5), (1, 7), (7, 1), (1, 11), (11, 1), (1, 21), (21, 1), (1, 1)]
    assert [v.shape[2:] for v in state_dict.values() if v.dim() == 4] == shapes


def test_parameters():
    c = 64
    expected = c * (25 + 2 * (7 + 11 + 21) + c) + 8 * c
    assert sum(p.numel() for p in MSCA(c).parameters()) == expected


# Square roots of 2 / (weights of one output channel's kernel), or of 2 / channels for the last one.
STARTS = {
    'conv0': 0.2828427,  # 25 taps
    'conv0_1': 0.5345225,  # 7 taps
    'conv1_2': 0.4264014,  # 11 taps
    'conv2_1': 0.3086067,  # 21 taps
    'conv3': 0.1767767,  # 64 channels
}


def test_starts_as_the_release_does():
    torch.manual_seed(0)
    module = MSCA(64)
    for name, std in STARTS.items():
        conv = module.get_submodule(name)
        # Within five standard errors of a sample of this size.
        assert conv.weight.std().item() == pytest.approx(
            std, rel=5 / (2 * conv.weight.numel()) ** 0.5
        )
        assert not conv.bias.any()


def test_columns_that_overflow_in_opposite_directions():
    """Infinity less infinity would be NaN, in the sum and in each of its parts."""
    module = MSCA(4)
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.constant_(module.conv0.bias, 1.0)
    for index, sign in enumerate((1, -1, 1)):
        torch.nn.init.constant_(getattr(module, f'conv{index}_1').bias, 6e4)
        torch.nn.init.constant_(getattr(module, f'conv{index}_2').weight, 6e4 * sign)
    torch.nn.init.eye_(module.conv3.weight.data[..., 0, 0])
    out = module.half()(torch.ones(1, 4, 9, 7).half())
    assert (out == torch.finfo(torch.float16).max).all()
