import math

import pytest
import torch
import torch.nn.functional as F

from mmattn import LKA
from tests.helpers import randomize


def depthwise(x, weight, bias, dilation):
    """A depthwise convolution as a sum of shifted maps."""
    k = weight.shape[-1]
    h, w = x.shape[2:]
    margin = (k - 1) * dilation // 2
    padded = F.pad(x, [margin] * 4)
    out = bias[:, None, None].expand_as(x)
    for i in range(k):
        for j in range(k):
            rows = slice(i * dilation, i * dilation + h)
            columns = slice(j * dilation, j * dilation + w)
            out = out + weight[:, 0, i, j, None, None] * padded[..., rows, columns]
    return out


def attention_map(x, p, dilation=3):
    """The three convolutions of the paper, or those of them that there are."""
    if 'conv0.weight' in p:
        x = depthwise(x, p['conv0.weight'], p['conv0.bias'], 1)
    if 'conv_spatial.weight' in p:
        x = depthwise(x, p['conv_spatial.weight'], p['conv_spatial.bias'], dilation)
    if 'conv1.weight' in p:
        x = torch.einsum('oc,nchw->nohw', p['conv1.weight'][..., 0, 0], x)
        x = x + p['conv1.bias'][:, None, None]
    return x


def check(module, shape, equation):
    module = randomize(module).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out, expected = module(x), equation(x, module.state_dict())
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize(
    'shape', [(2, 6, 23, 11), (1, 4, 5, 40), (2, 3, 1, 1)], ids=lambda s: 'x'.join(map(str, s))
)
def test_computes_the_equation(shape):
    check(LKA(shape[1]), shape, lambda x, p: x * attention_map(x, p))


@pytest.mark.parametrize('act_cfg', [None, dict(type='Sigmoid')], ids=['plain', 'sigmoid'])
def test_tells_its_map(act_cfg):
    module = randomize(LKA(6, act_cfg=act_cfg)).double()
    x = torch.randn(2, 6, 23, 11, dtype=torch.float64)
    expected = attention_map(x, module.state_dict())
    if act_cfg is not None:
        expected = 1 / (1 + torch.exp(-expected))
    [(name, got)] = module.gates(x).items()
    assert name == 'spatial'
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize('combine', ['add', 'none'])
def test_has_no_gate_where_it_does_not_multiply(combine):
    assert LKA(6, combine=combine).gates(torch.randn(1, 6, 5, 4)) == {}


# The K / d of the ablation in the paper.
@pytest.mark.parametrize(
    ('kernel_size', 'dilation', 'local', 'dilated'),
    [(7, 2, 3, 4), (14, 3, 5, 5), (21, 3, 5, 7), (28, 4, 7, 7)],
)
def test_kernel_size(kernel_size, dilation, local, dilated):
    module = LKA(5, kernel_size=kernel_size)
    assert module.conv0.kernel_size == (local, local)
    assert module.conv_spatial.kernel_size == (dilated, dilated)
    c = 5
    weights = c * (math.ceil(kernel_size / dilation) ** 2 + (2 * dilation - 1) ** 2 + c)
    assert sum(p.numel() for p in module.parameters()) == weights + 3 * c
    check(module, (2, 5, 9, 4), lambda x, p: x * attention_map(x, p, dilation))


@pytest.mark.parametrize('part', ['local', 'dilated', 'pointwise'])
def test_without(part):
    module = LKA(4, **{f'with_{part}': False})
    gone = {'local': 'conv0', 'dilated': 'conv_spatial', 'pointwise': 'conv1'}[part]
    left = [conv for conv in ('conv0', 'conv_spatial', 'conv1') if conv != gone]
    assert list(module.state_dict()) == [f'{c}.{kind}' for c in left for kind in ('weight', 'bias')]
    check(module, (2, 4, 9, 5), lambda x, p: x * attention_map(x, p))


@pytest.mark.parametrize(
    ('combine', 'equation'),
    [
        ('multiply', lambda x, attention: x * attention),
        ('add', lambda x, attention: x + attention),
        ('none', lambda x, attention: attention),
    ],
)
@pytest.mark.parametrize('sigmoid', [False, True], ids=['', 'sigmoid'])
def test_combine(combine, equation, sigmoid):
    act_cfg = dict(type='Sigmoid') if sigmoid else None
    module = LKA(4, combine=combine, act_cfg=act_cfg)

    def expected(x, p):
        attention = attention_map(x, p)
        return equation(x, 1 / (1 + torch.exp(-attention)) if sigmoid else attention)

    check(module, (2, 4, 9, 5), expected)


def test_nothing_to_build():
    with pytest.raises(ValueError, match='got none of them'):
        LKA(4, with_local=False, with_dilated=False, with_pointwise=False)


# The paper's table 2 leaves the biases out.
@pytest.mark.parametrize(
    ('in_channels', 'weights'),
    [(32, 3392), (64, 8832), (128, 25856), (256, 84480), (512, 300032)],
)
def test_parameters_of_the_paper(in_channels, weights):
    state_dict = LKA(in_channels).state_dict()
    assert sum(v.numel() for key, v in state_dict.items() if key.endswith('weight')) == weights
    assert (
        sum(v.numel() for key, v in state_dict.items() if key.endswith('bias')) == 3 * in_channels
    )


def test_key_names():
    names = [
        f'{conv}.{kind}'
        for conv in ('conv0', 'conv_spatial', 'conv1')
        for kind in ('weight', 'bias')
    ]
    assert list(LKA(4).state_dict()) == names


# Square roots of 2 / (weights of one output channel's kernel), or of 2 / channels for the last one.
STARTS = {
    'conv0': 0.2828427,  # 25 taps
    'conv_spatial': 0.2020305,  # 49 taps
    'conv1': 0.1767767,  # 64 channels
}


def test_starts_as_the_release_does():
    torch.manual_seed(0)
    module = LKA(64)
    for name, std in STARTS.items():
        conv = module.get_submodule(name)
        # Within five standard errors of a sample of this size.
        assert conv.weight.std().item() == pytest.approx(
            std, rel=5 / (2 * conv.weight.numel()) ** 0.5
        )
        assert not conv.bias.any()
