import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmattn.fusion import FreqFusion
from mmattn.testing.promises import randomize


def kernels(logits, window):
    """One kernel for each pixel, windowed."""
    weights = logits.softmax(1) * window.reshape(1, -1, 1, 1)
    return weights / weights.sum(1, keepdim=True)


def carafe(x, weights, s):
    k = int(weights.shape[1] ** 0.5)
    n, c, h, w = x.shape
    around = F.unfold(x, k, padding=k // 2).reshape(n, c, k * k, h, w)
    around = around.repeat_interleave(s, 3).repeat_interleave(s, 4)
    return (around * weights[:, None]).sum(2)


def features(p, which, x):
    groups = x.shape[1] // 8
    x = F.group_norm(
        x, groups, p[f'dysampler.norm_{which}.weight'], p[f'dysampler.norm_{which}.bias']
    )
    h, w = x.shape[2:]
    wide = F.pad(x, [2] * 4)
    cosines = [
        F.cosine_similarity(x, wide[:, :, i : i + h, j : j + w], dim=1)
        for i, j in itertools.product((0, 2, 4), repeat=2)
        if (i, j) != (2, 2)
    ]
    return torch.cat([x, torch.stack(cosines, 1)], 1)


def resampled(p, x, fine, coarse, groups):
    (n, c, height, width), (h, w) = x.shape, coarse.shape[2:]
    of_fine, of_coarse = features(p, 'hr', fine), features(p, 'lr', coarse)

    def both(name):
        a = conv(p, f'dysampler.{name}', of_coarse)
        return a + F.pixel_unshuffle(conv(p, f'dysampler.hr_{name}', of_fine), 2)

    offset = both('offset') * both('direct_scale').sigmoid() + p['dysampler.init_pos']
    along_x, along_y = F.pixel_shuffle(offset, 2).chunk(2, 1)
    columns, rows = torch.arange(width) // 2 + 0.5, torch.arange(height)[:, None] // 2 + 0.5
    grid = torch.stack([(columns + along_x) * 2 / w - 1, (rows + along_y) * 2 / h - 1], 4)
    x, grid = x.reshape(n * groups, -1, height, width), grid.reshape(n * groups, height, width, 2)
    options = dict(padding_mode='border', align_corners=False)
    return F.grid_sample(x, grid, **options).reshape(n, c, height, width)


def conv(p, name, x):
    weight = p[f'{name}.weight']
    return F.conv2d(x, weight, p[f'{name}.bias'], padding=weight.shape[2] // 2)


def equations(p, x, y, groups):
    low, high = p['hamming_lowpass'], p['hamming_highpass']
    fine, coarse = conv(p, 'hr_channel_compressor', x), conv(p, 'lr_channel_compressor', y)
    of_fine = conv(p, 'content_encoder2', fine)
    fine = 2 * fine - carafe(fine, kernels(of_fine, high), 1)
    smooth = conv(p, 'content_encoder', fine)
    smooth = smooth + carafe(conv(p, 'content_encoder', coarse), kernels(smooth, low), 2)
    sharp = of_fine + carafe(conv(p, 'content_encoder2', coarse), kernels(smooth, low), 2)
    large = carafe(y, kernels(smooth, low), 2)
    if groups:
        large = resampled(p, large, fine, coarse, groups)
    return 2 * x - carafe(x, kernels(sharp, high), 1), large


@pytest.mark.parametrize('hamming_window', [True, False])
@pytest.mark.parametrize('groups', [0, 2])
@pytest.mark.parametrize('size', [(10, 6), (9, 6), (9, 5)])
def test_equations(hamming_window, groups, size):
    options = dict(feature_resample=True, feature_resample_groups=groups) if groups else {}
    module = FreqFusion(6, 4, compressed_channels=8, hamming_window=hamming_window, **options)
    module = randomize(module).double()
    p = module.state_dict()
    assert {key: p[key].shape for key in ('hamming_lowpass', 'hamming_highpass')} == {
        'hamming_lowpass': (1, 1, 5, 5) if hamming_window else (1,),
        'hamming_highpass': (1, 1, 3, 3) if hamming_window else (1,),
    }
    if hamming_window:
        line = torch.from_numpy(np.hamming(5))
        torch.testing.assert_close(
            p['hamming_lowpass'][0, 0], torch.outer(line, line), rtol=1e-6, atol=1e-6
        )
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    y = torch.randn(2, 4, 5, 3, dtype=torch.float64)
    padded = F.pad(x, [0, 6 - size[1], 0, 10 - size[0]])
    fine, large = (each[:, :, : size[0], : size[1]] for each in equations(p, padded, y, groups))
    ours = module(x, y)
    torch.testing.assert_close(ours[0], fine)
    torch.testing.assert_close(ours[1], large)


@pytest.mark.parametrize(('resample', 'count'), [(False, 52_514), (True, 104_690)])
def test_published_counts(resample, count):
    with torch.device('meta'):
        module = FreqFusion(256, feature_resample=resample)
    assert sum(p.numel() for p in module.parameters()) == count


def test_starts_by_blurs():
    module = FreqFusion(8, compressed_channels=8, feature_resample=True, hamming_window=False)
    for conv in (module.content_encoder, module.content_encoder2):
        torch.nn.init.normal_(conv.weight)
    module.init_weights()
    x, y = torch.randn(1, 8, 12, 12), torch.randn(1, 8, 6, 6)
    fine, large = module(x, y)
    torch.testing.assert_close(fine, 2 * x - F.avg_pool2d(x, 3, 1, 1), rtol=0.01, atol=0.1)
    blurred = F.interpolate(F.avg_pool2d(y, 5, 1, 2), scale_factor=2.0)
    torch.testing.assert_close(large, blurred, rtol=0.01, atol=0.1)


def test_wrong_options_and_maps():
    with pytest.raises(ValueError, match='compressed_channels that are a multiple of 8 .*got 12'):
        FreqFusion(8, compressed_channels=12, feature_resample=True)
    with pytest.raises(ValueError, match='feature_resample_groups that divide 6 channels, got 4'):
        FreqFusion(8, 6, compressed_channels=8, feature_resample=True)
    module = FreqFusion(8, compressed_channels=8)
    for h in (6, 10):
        with pytest.raises(ValueError, match=rf'twice the size of y.*\(1, 8, {h}, 8\)'):
            module(torch.rand(1, 8, h, 8), torch.rand(1, 8, 4, 4))
