import pytest
import torch
from torch import nn

from mmattn.layers.scaled_conv import ScaledConv2d


@pytest.mark.parametrize('options', [{}, dict(bias=False), dict(padding=1, padding_mode='reflect')])
def test_is_the_scale_times_the_convolution(options):
    conv = ScaledConv2d(6, 4, 3, groups=2, **options).double()
    x = torch.randn(2, 6, 7, 5, dtype=torch.float64, requires_grad=True)
    scale = torch.randn(4, dtype=torch.float64, requires_grad=True)
    plain = nn.Conv2d(6, 4, 3, groups=2, **options).double()
    plain.load_state_dict(conv.state_dict())
    assert torch.equal(conv(x), plain(x))
    expected = scale[:, None, None] * plain(x)
    out = conv(x, scale)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    torch.testing.assert_close(
        torch.autograd.grad((out * r).sum(), [x, scale, *conv.parameters()]),
        torch.autograd.grad((expected * r).sum(), [x, scale, *plain.parameters()]),
    )


def test_half_weights_are_scaled_in_float32():
    """The scale is zero in float16, its product with the weight is not."""
    conv = ScaledConv2d(1, 1, 1, bias=False).half()
    nn.init.constant_(conv.weight, 6e4)
    out = conv(torch.full((1, 1, 1, 1), 10.0).half(), torch.tensor([1e-9]))
    assert out.dtype == torch.float16
    assert out.item() == pytest.approx(6e-4, rel=2e-3)


def test_keeps_no_map_for_the_scale():
    conv = ScaledConv2d(4, 8, 1)
    x, scale = torch.rand(1, 4, 32, 32), torch.rand(8, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        conv(x, scale)
    maps = [t for t in kept if t.numel() > 1000]
    assert all(t.data_ptr() == x.data_ptr() for t in maps) and maps
