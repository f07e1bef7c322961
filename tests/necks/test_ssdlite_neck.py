import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmattn import SSDLiteNeck
from tests.helpers import randomize

MOBILENEXT = dict(
    in_channels=(576, 1280, 1280),
    extra_channels=(512, 256, 256, 128),
    num_levels=2,
    ratios=(0.2, 0.25, 0.5, 0.5),
    block='sandglass',
)


@pytest.mark.parametrize(
    ('options', 'channels'),
    [({}, (96, 1280, 512, 256, 256, 64)), (MOBILENEXT, (576, 1280, 512, 256, 256, 128))],
    ids=['mobilenetv2', 'mobilenext'],
)
def test_levels_at_320_pixels(options, channels):
    neck = SSDLiteNeck(**options)
    assert neck.out_channels == channels
    inputs = [
        torch.randn(2, c, size, size)
        for c, size in zip(neck.in_channels, (20, 10, 10), strict=False)
    ]
    outs = neck(inputs)
    assert [tuple(x.shape) for x in outs] == [
        (2, c, size, size) for c, size in zip(channels, (20, 10, 5, 3, 2, 1), strict=True)
    ]
    # The maps of the backbone are passed on as they are.
    assert outs[0] is inputs[0] and outs[1] is inputs[1]


def conv_bn(p, x, name, act, **options):
    x = F.conv2d(x, p[f'{name}.conv.weight'], **options)
    mean, var = p[f'{name}.bn.running_mean'], p[f'{name}.bn.running_var']
    x = F.batch_norm(x, mean, var, p[f'{name}.bn.weight'], p[f'{name}.bn.bias'])
    return F.relu6(x) if act else x


@pytest.mark.parametrize('block', ['inverted_residual', 'sandglass'])
def test_equations(block):
    neck = randomize(SSDLiteNeck((4, 10), (6, 8), ratios=(0.2, 0.5), block=block)).eval()
    p = neck.state_dict()
    low, x = torch.randn(2, 4, 9, 7), torch.randn(2, 10, 5, 4)
    _, _, *outs = neck([low, x])
    for i, (below, hidden) in enumerate([(10, 2), (6, 3)]):
        depthwise = dict(stride=2, padding=1)
        if block == 'inverted_residual':
            x = conv_bn(p, x, f'extras.{i}.0', True)
            x = conv_bn(p, x, f'extras.{i}.1', True, groups=hidden, **depthwise)
            x = conv_bn(p, x, f'extras.{i}.2', False)
        else:
            x = conv_bn(p, x, f'extras.{i}.0', True, groups=below, **depthwise)
            x = conv_bn(p, x, f'extras.{i}.1', False)
            x = conv_bn(p, x, f'extras.{i}.2', True)
        torch.testing.assert_close(outs[i], x)


def test_the_extra_levels_follow_from_the_last_input():
    neck = randomize(SSDLiteNeck((4, 10, 6), (8,), num_levels=2, ratios=(0.5,))).eval()
    low, high, last = torch.randn(2, 4, 9, 7), torch.randn(2, 10, 5, 4), torch.randn(2, 6, 5, 4)
    outs = neck([low, high, last])
    assert len(outs) == 3 and outs[0] is low and outs[1] is high
    torch.testing.assert_close(outs[2], neck.extras[0](last))


@pytest.mark.parametrize('block', ['inverted_residual', 'sandglass'])
def test_trains_at_batch_1_down_to_one_pixel(block):
    neck = SSDLiteNeck((4, 10), (6, 8), ratios=(0.5, 0.5), block=block).train()
    neck.init_weights()
    sum(
        x.square().sum() for x in neck([torch.randn(1, 4, 3, 3), torch.randn(1, 10, 2, 2)])[2:]
    ).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in neck.parameters())


def test_start():
    neck = SSDLiteNeck((4, 64), (128,), ratios=(1,))
    neck.init_weights()
    for conv in neck.modules():
        if isinstance(conv, nn.Conv2d):
            fan_out = conv.kernel_size[0] ** 2 * conv.out_channels
            assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)


def test_wrong_options():
    with pytest.raises(
        ValueError, match=r'expected 4 ratios, one per entry of extra_channels, got \(0.5,\)'
    ):
        SSDLiteNeck(ratios=(0.5,))
    with pytest.raises(ValueError, match="'inverted_residual' or 'sandglass', got 'ghost'"):
        SSDLiteNeck(block='ghost')
    with pytest.raises(ValueError, match='expected num_levels of at most 2, .*, got 3'):
        SSDLiteNeck(num_levels=3)
    with pytest.raises(ValueError, match='expected 2 maps, one per entry of in_channels, got 1'):
        SSDLiteNeck()([torch.randn(1, 1280, 4, 4)])
