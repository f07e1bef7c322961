import pytest
import torch
import torch.nn.functional as F

from mmattn import LKA
from tests.helpers import randomize


def equations(x, p):
    """Equation 3 of the paper, the depthwise convolutions as sums of shifted maps."""

    def depthwise(x, weight, bias, dilation):
        k = weight.shape[-1]
        h, w = x.shape[2:]
        padded = F.pad(x, [dilation * (k // 2)] * 4)
        out = bias[:, None, None].expand_as(x)
        for i in range(k):
            for j in range(k):
                rows = slice(i * dilation, i * dilation + h)
                columns = slice(j * dilation, j * dilation + w)
                out = out + weight[:, 0, i, j, None, None] * padded[..., rows, columns]
        return out

    attention = depthwise(x, p['conv0.weight'], p['conv0.bias'], 1)
    attention = depthwise(attention, p['conv_spatial.weight'], p['conv_spatial.bias'], 3)
    attention = torch.einsum('oc,nchw->nohw', p['conv1.weight'][..., 0, 0], attention)
    return x * (attention + p['conv1.bias'][:, None, None])


@pytest.mark.parametrize(
    'shape', [(2, 6, 23, 11), (1, 4, 5, 40), (2, 3, 1, 1)], ids=lambda s: 'x'.join(map(str, s))
)
def test_computes_the_equation(shape):
    module = randomize(LKA(shape[1])).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out, expected = module(x), equations(x, module.state_dict())
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


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
