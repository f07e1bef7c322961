import pytest
import torch
import torch.nn.functional as F

from mmattn.fusion import ASFF
from mmattn.testing.promises import randomize

WIDTHS = [12, 8, 6]
# Coarsest first; not multiples of two.
SIZES = [(3, 2), (5, 4), (9, 7)]


def block(p, name, x, stride=1):
    weight = p[f'{name}.conv.weight']
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)
    norm = (p[f'{name}.batch_norm.{n}'] for n in ('running_mean', 'running_var', 'weight', 'bias'))
    x = F.batch_norm(x, *norm, eps=1e-5)
    return torch.where(x > 0, x, 0.1 * x)


def equations(p, level, maps):
    h, w = SIZES[level]
    alike = []
    for i, x in enumerate(maps):
        if i == level + 2:
            x = F.max_pool2d(x, 3, 2, 1)
        if i > level:
            x = block(p, f'stride_level_{i}', x, 2)
        elif i < level:
            x = block(p, f'compress_level_{i}', x)
            rows = torch.arange(h) * x.shape[2] // h
            columns = torch.arange(w) * x.shape[3] // w
            x = x[:, :, rows][:, :, :, columns]
        alike.append(x)
    seen = torch.cat([block(p, f'weight_level_{i}', x) for i, x in enumerate(alike)], 1)
    logits = F.conv2d(seen, p['weight_levels.weight'], p['weight_levels.bias']).exp()
    total = sum(x * logits[:, [i]] for i, x in enumerate(alike)) / logits.sum(1, keepdim=True)
    return block(p, 'expand', total)


@pytest.mark.parametrize('level', [0, 1, 2])
def test_equations(level):
    module = randomize(ASFF(WIDTHS, level=level, out_channels=10)).double().eval()
    maps = [
        torch.randn(2, c, *size, dtype=torch.float64) for c, size in zip(WIDTHS, SIZES, strict=True)
    ]
    torch.testing.assert_close(module(*maps), equations(module.state_dict(), level, maps))


@pytest.mark.parametrize(
    ('level', 'out', 'count'), [(0, 1024, 7.107), (1, 512, 1.915), (2, 256, 0.734)]
)
def test_published_counts(level, out, count):
    with torch.device('meta'):
        module = ASFF([512, 256, 256], level=level, out_channels=out)
    assert round(sum(p.numel() for p in module.parameters()) / 1e6, 3) == count
    layers = {key.split('.')[0] for key in module.state_dict()}
    names = [{'stride_level_1', 'stride_level_2'}, {'compress_level_0', 'stride_level_2'}]
    names.append({'compress_level_0'})
    always = {'weight_level_0', 'weight_level_1', 'weight_level_2', 'weight_levels', 'expand'}
    assert layers == names[level] | always


def test_wrong_levels():
    maps = [torch.rand(1, 8, s, s) for s in (4, 7, 14)]
    ASFF(8)(*maps)
    with pytest.raises(ValueError, match=r'half the size of the next.*\(1, 8, 3, 4\)'):
        ASFF(8)(maps[0][:, :, 1:], *maps[1:])
    with pytest.raises(ValueError, match=r'x1 of shape \(N, 8, H, W\)'):
        ASFF(8)(maps[0], maps[1][:, 1:], maps[2])
    with pytest.raises(ValueError, match='level has to be 0, 1 or 2, got 3'):
        ASFF(8, level=3)
    with pytest.raises(ValueError, match='in_channels has to be'):
        ASFF([8, 8])
