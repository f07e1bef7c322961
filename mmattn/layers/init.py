"""Initial weights as released code draws them."""

import math

from mmengine.model import normal_init
from torch import nn


def init_by_fan_out(module: nn.Module) -> None:
    """Draw the weights of all convolutions from N(0, sqrt(2 / fan_out)); their biases are zero.

    Unlike PyTorch's ``kaiming_normal_``, the fan of a grouped convolution is that of a group.

    Args:
        module: Module with the convolutions; changed in place.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = math.prod(layer.kernel_size) * layer.out_channels // layer.groups
            normal_init(layer, std=math.sqrt(2 / fan_out))
