import pytest
import torch
import torch.nn.functional as F

from mmattn.attention.lska import LSKA
from tests.helpers import randomize

# Of the release: extent, taps near, taps far, dilation.
KERNELS = [
    (7, 3, 3, 2),
    (11, 3, 5, 2),
    (23, 5, 7, 3),
    (35, 5, 11, 3),
    (41, 5, 13, 3),
    (53, 5, 17, 3),
]


def depthwise(x, kernel, bias, dilation):
    """A depthwise convolution with an odd kernel (C, k_h, k_w) as a sum of shifted maps."""
    k_h, k_w = kernel.shape[1:]
    h, w = x.shape[2:]
    padded = F.pad(x, [dilation * (k_w // 2)] * 2 + [dilation * (k_h // 2)] * 2)
    out = bias[:, None, None].expand_as(x)
    for i in range(k_h):
        for j in range(k_w):
            shifted = padded[..., i * dilation :, j * dilation :][..., :h, :w]
            out = out + kernel[:, i, j, None, None] * shifted
    return out


def equations(x, p, dilation):
    """What the paper computes: rows, columns, far rows, far columns, channels, product."""
    attention = x
    for name, step in (
        ('conv0h', 1),
        ('conv0v', 1),
        ('conv_spatial_h', dilation),
        ('conv_spatial_v', dilation),
    ):
        attention = depthwise(attention, p[f'{name}.weight'][:, 0], p[f'{name}.bias'], step)
    attention = torch.einsum('oc,nchw->nohw', p['conv1.weight'][..., 0, 0], attention)
    return x * (attention + p['conv1.bias'][:, None, None])


@pytest.mark.parametrize('kernel', KERNELS, ids=str)
@pytest.mark.parametrize('shape', [(2, 5, 13, 30), (1, 3, 1, 4)], ids=str)
def test_computes_the_equations(shape, kernel):
    module = randomize(LSKA(shape[1], kernel_size=kernel[0])).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out, expected = module(x), equations(x, module.state_dict(), kernel[3])
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    [grad], [expected_grad] = (torch.autograd.grad((y * r).sum(), x) for y in (out, expected))
    torch.testing.assert_close(grad, expected_grad)


def test_tells_its_gate():
    module = randomize(LSKA(5)).double().eval()
    x = torch.randn(2, 5, 13, 30, dtype=torch.float64)
    [(name, gate)] = module.gates(x).items()
    assert (name, gate.shape) == ('spatial', (2, 5, 13, 30))
    torch.testing.assert_close(gate.expand_as(x), equations(x, module.state_dict(), 3) / x)


@pytest.mark.parametrize(('kernel_size', 'near', 'far', 'dilation'), KERNELS)
def test_kernels(kernel_size, near, far, dilation):
    module = LSKA(8, kernel_size=kernel_size)
    assert sum(p.numel() for p in module.parameters()) == 8 * (2 * near + 2 * far + 8 + 5)
    # How far a single pixel reaches, in a map with room for all of it.
    module = randomize(module)
    x = torch.zeros(1, 8, 2 * kernel_size + 1, 2 * kernel_size + 1)
    for conv in (module.conv0h, module.conv0v, module.conv_spatial_h, module.conv_spatial_v):
        conv.bias.data.zero_()
        conv.weight.data.fill_(1)
    x[..., kernel_size, kernel_size] = 1
    for conv in (module.conv0h, module.conv0v, module.conv_spatial_h, module.conv_spatial_v):
        x = conv(x)
    reach = (near - 1) + (far - 1) * dilation + 1
    assert (x[0, 0, kernel_size] != 0).sum() == (x[0, 0, :, kernel_size] != 0).sum() == reach
    torch.testing.assert_close(x, x.flip(2, 3))


def test_key_names():
    names = [
        f'{conv}.{kind}'
        for conv in ('conv0h', 'conv0v', 'conv_spatial_h', 'conv_spatial_v', 'conv1')
        for kind in ('weight', 'bias')
    ]
    assert list(LSKA(4).state_dict()) == names
    assert LSKA(4).conv_spatial_h.kernel_size == (1, 7)


# Square roots of 2 / (weights of one output channel's kernel), or of 2 / channels for the last one.
STARTS = {
    'conv0h': 0.6324555,  # 5 taps
    'conv0v': 0.6324555,
    'conv_spatial_h': 0.5345225,  # 7 taps
    'conv_spatial_v': 0.5345225,
    'conv1': 0.1767767,  # 64 channels
}


def test_starts_as_the_release_does():
    torch.manual_seed(0)
    module = LSKA(64)
    for name, std in STARTS.items():
        conv = module.get_submodule(name)
        # Within five standard errors of a sample of this size.
        assert conv.weight.std().item() == pytest.approx(
            std, rel=5 / (2 * conv.weight.numel()) ** 0.5
        )
        assert not conv.bias.any()
