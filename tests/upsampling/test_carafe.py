import itertools

import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import CARAFEPack

from mmattn import CARAFE
from tests.helpers import randomize


def by_paper(module, x):
    """Predict the kernels, and add up one pixel of a neighbourhood after the other."""
    s, k, groups = module.scale_factor, module.up_kernel, module.up_group
    n, c, h, w = x.shape
    m = module.content_encoder(module.channel_compressor(x))
    m = F.pixel_shuffle(m, s).reshape(n, groups, k, k, h * s, w * s)
    m = m.exp() / m.exp().sum((2, 3), keepdim=True)
    out = x.new_zeros(n, c, h * s, w * s)
    for p, q, i, j in itertools.product(range(h * s), range(w * s), range(k), range(k)):
        row, column = p // s + i - k // 2, q // s + j - k // 2
        if 0 <= row < h and 0 <= column < w:
            for channel in range(c):
                weight = m[:, channel // (c // groups), i, j, p, q]
                out[:, channel, p, q] += weight * x[:, channel, row, column]
    return out


@pytest.mark.parametrize(
    'options',
    [
        dict(up_kernel=3),
        dict(up_kernel=3, up_group=2, encoder_kernel=5, encoder_dilation=2),
        dict(up_kernel=5, scale_factor=3, encoder_kernel=1),
    ],
    ids=str,
)
def test_is_its_paper(options):
    module = randomize(CARAFE(4, compressed_channels=6, **options)).double()
    x = torch.randn(1, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    out, expected = module(x), by_paper(module, x)
    torch.testing.assert_close(out, expected)
    weights = (x, module.content_encoder.weight, module.channel_compressor.weight)
    r = torch.randn_like(out)
    grads = [torch.autograd.grad((y * r).sum(), weights) for y in (out, expected)]
    torch.testing.assert_close(*grads)


def test_has_the_keys_and_the_start_of_mmcv():
    theirs, ours = CARAFEPack(8, 2), CARAFE(8)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    ours.reset_parameters()
    for name, tensor in theirs.named_parameters():
        drawn = ours.get_parameter(name)
        assert drawn.any() == tensor.any(), name
        if tensor.any():
            assert 0.8 < drawn.std() / tensor.std() < 1.25, name


@pytest.mark.skipif(not torch.cuda.is_available(), reason='the operator of mmcv needs a GPU')
def test_is_that_of_mmcv():
    ours = randomize(CARAFE(8, up_group=2)).cuda()
    theirs = CARAFEPack(8, 2, up_group=2).cuda()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x = torch.randn(2, 8, 9, 7, device='cuda')
    torch.testing.assert_close(ours(x), theirs(x))


def test_published_parameters():
    assert sum(p.numel() for p in CARAFE(256).parameters()) == 74_148


def test_starts_as_a_blur():
    module = CARAFE(8)
    blurred = F.avg_pool2d(F.pad(torch.ones(1, 8, 6, 6), [2] * 4), 5, 1)
    out = module(torch.ones(1, 8, 6, 6))
    torch.testing.assert_close(out, F.interpolate(blurred, scale_factor=2), rtol=0.05, atol=0)


def test_wrong_options():
    with pytest.raises(ValueError, match='expected up_group that divides in_channels 16, got 3'):
        CARAFE(16, up_group=3)
    with pytest.raises(ValueError, match='up_kernel has to be a whole number .* and odd, got 4'):
        CARAFE(16, up_kernel=4)
