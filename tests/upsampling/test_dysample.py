import pytest
import torch
import torch.nn.functional as F

from mmattn import DySample
from tests.helpers import randomize


def by_paper(module, x):
    """Write the equations out: o, the points, and the map read at each of them."""
    s, groups = module.scale_factor, module.groups
    n, c, h, w = x.shape
    source = x if module.style == 'lp' else F.pixel_shuffle(x, s)
    o = F.conv2d(source, module.offset.weight, module.offset.bias)
    if module.scope is None:
        o = 0.25 * o
    else:
        o = 0.5 * torch.sigmoid(F.conv2d(source, module.scope.weight)) * o
    o = o if module.style == 'lp' else F.pixel_unshuffle(o, s)
    o = (o + module.init_pos).reshape(n, 2, groups, s, s, h, w)
    out = x.new_zeros(n, groups, c // groups, h, s, w, s)
    maps = x.reshape(n, groups, c // groups, h, w)
    for i in range(s):
        for j in range(s):
            px = (torch.arange(w) + o[:, 0, :, i, j]).clamp(0, w - 1)
            py = (torch.arange(h)[:, None] + o[:, 1, :, i, j]).clamp(0, h - 1)
            for corner_x in (0, 1):
                for corner_y in (0, 1):
                    at_x = (px.floor() + corner_x).clamp(max=w - 1)
                    at_y = (py.floor() + corner_y).clamp(max=h - 1)
                    share = (1 - (px - px.floor() - corner_x).abs()) * (
                        1 - (py - py.floor() - corner_y).abs()
                    )
                    index = (at_y * w + at_x).long().flatten(2)[:, :, None]
                    read = maps.flatten(3).gather(3, index.expand(-1, -1, c // groups, -1))
                    out[:, :, :, :, i, :, j] += share[:, :, None] * read.reshape(maps.shape)
    return out.reshape(n, c, h * s, w * s)


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('dyscope', [False, True])
@pytest.mark.parametrize(('style', 's'), [('lp', 2), ('lp', 3), ('pl', 2)])
def test_is_its_paper(style, s, dyscope, training):
    module = DySample(24, scale_factor=s, style=style, groups=3, dyscope=dyscope)
    module = randomize(module).double().train(training)
    x = torch.randn(2, 24, 5, 4, dtype=torch.float64, requires_grad=True)
    out, expected = module(x), by_paper(module, x)
    torch.testing.assert_close(out, expected)
    r = torch.randn_like(out)
    grads = [torch.autograd.grad((y * r).sum(), (x, module.offset.weight)) for y in (out, expected)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize(
    ('options', 'count'),
    [
        (dict(), 8_224),
        (dict(dyscope=True), 16_416),
        (dict(style='pl'), 520),
        (dict(style='pl', dyscope=True), 1_032),
    ],
    ids=str,
)
def test_published_parameters(options, count):
    module = DySample(256, **options)
    assert sum(p.numel() for p in module.parameters()) == count


def test_keys_of_the_release():
    keys = ['init_pos', 'offset.weight', 'offset.bias', 'scope.weight']
    module = DySample(16, dyscope=True)
    assert list(module.state_dict()) == keys
    assert module.init_pos.shape == (1, 32, 1, 1)


@pytest.mark.parametrize('s', [2, 3, 4])
@pytest.mark.parametrize('dyscope', [False, True])
def test_identity_start_is_bilinear_interpolation(s, dyscope):
    module = DySample(8, scale_factor=s, start='identity', dyscope=dyscope)
    module.init_weights()
    x = torch.randn(2, 8, 11, 7)
    expected = F.interpolate(x, scale_factor=s, mode='bilinear', align_corners=False)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-5)


def test_start_of_the_paper():
    module = DySample(256, dyscope=True)
    assert 9e-4 < module.offset.weight.std() < 1.1e-3
    assert not module.offset.bias.any() and not module.scope.weight.any()


def test_crops_what_is_too_much():
    module = randomize(DySample(8))
    x = torch.randn(2, 8, 5, 7)
    assert torch.equal(module(x, (9, 13)), module(x)[:, :, :9, :13])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(groups=3), 'DySample: expected groups that divide in_channels 16, got 3'),
        (
            dict(in_channels=18, groups=2, style='pl'),
            "DySample: expected in_channels that 4, the square of scale_factor, .*'pl', got 18",
        ),
        (dict(style='ll'), "style has to be 'lp' or 'pl', got 'll'"),
        (dict(scale_factor=1.5), 'scale_factor has to be a whole number from 1 to 16, got 1.5'),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        DySample(**{'in_channels': 16, **options})
