"""Affine maps go into the weights of convolutions and linear layers."""

import copy

import pytest
import torch
from mmcv.cnn.bricks import Conv2dAdaptivePadding
from mmcv.cnn.bricks.wrappers import Conv2d
from torch import nn

from mmattn.layers.folding import affine_of, is_at_rest, scale_input, scale_output, takes_shift
from tests.helpers import randomize

LAYERS = {
    'conv1d': (nn.Conv1d(4, 6, 3, groups=2), (4, 9)),
    'conv2d': (nn.Conv2d(4, 6, 3, stride=2, bias=False), (4, 9, 7)),
    'depthwise': (nn.Conv2d(4, 8, 3, dilation=2, groups=4), (4, 9, 7)),
    'conv3d': (nn.Conv3d(4, 6, 2), (4, 3, 4, 5)),
    'linear': (nn.Linear(4, 6, bias=False), (4,)),
    'transposed': (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 5, 4)),
}


def affine(channels, dims):
    shape = (channels, *[1] * (dims - 1))
    scale, shift = torch.randn(2, channels, dtype=torch.float64)
    return scale, shift, lambda x: scale.view(shape) * x + shift.view(shape)


@pytest.mark.parametrize('name', LAYERS)
def test_scales_output(name):
    layer, shape = LAYERS[name]
    layer = copy.deepcopy(layer).double()
    scale, shift, apply = affine(6 if name != 'depthwise' else 8, len(shape))
    x = torch.randn(2, *shape, dtype=torch.float64)
    expected = apply(layer(x))
    scale_output(layer, scale, shift)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize('name', [name for name in LAYERS if name != 'transposed'])
def test_scales_input(name):
    layer, shape = LAYERS[name]
    layer = copy.deepcopy(layer).double()
    scale, shift, apply = affine(4, len(shape))
    x = torch.randn(2, *shape, dtype=torch.float64)
    expected = layer(apply(x))
    scale_input(layer, scale, shift)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize('options', [{}, dict(affine=False)])
def test_a_norm_at_rest_is_affine(options):
    norm = randomize(nn.BatchNorm2d(4, **options)).double()
    assert not is_at_rest(norm) and is_at_rest(norm.eval())
    scale, shift = affine_of(norm)
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(scale[:, None, None] * x + shift[:, None, None], norm(x))


def test_what_is_not_at_rest():
    assert not is_at_rest(nn.BatchNorm2d(4, track_running_stats=False).eval())
    assert not is_at_rest(nn.GroupNorm(2, 4).eval())


@pytest.mark.parametrize(
    ('layer', 'takes'),
    [
        (nn.Conv2d(4, 4, 3), True),
        (Conv2d(4, 4, 1), True),
        (nn.Conv2d(4, 4, 3, padding='valid'), True),
        (nn.Conv2d(4, 4, 1, padding='same'), True),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode='circular'), True),
        (nn.Linear(4, 4), True),
        (nn.Conv2d(4, 4, (3, 1), padding=(1, 0)), False),
        (nn.Conv2d(4, 4, 3, padding='same'), False),
        (Conv2dAdaptivePadding(4, 4, 3), False),
        (nn.ConvTranspose2d(4, 4, 3), False),
        (nn.ReLU(), False),
    ],
    ids=str,
)
def test_takes_a_shift(layer, takes):
    assert takes_shift(layer) is takes


def test_keeps_type_layout_and_whether_gradients_are_wanted():
    layer = nn.Conv2d(4, 6, 3, bias=False).to(memory_format=torch.channels_last)
    layer.requires_grad_(False)
    scale_output(layer, *torch.randn(2, 6, dtype=torch.float64))
    assert layer.weight.dtype == layer.bias.dtype == torch.float32
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    assert not layer.weight.requires_grad and not layer.bias.requires_grad
