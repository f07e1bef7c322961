"""Several 1x1 convolutions of one map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmattn.ops.cpu import is_plain
from mmattn.ops.precision import convolved, layer_dtype, narrowed, saturate_


def side_by_side(layers: list[nn.Conv2d], x: Tensor) -> list[Tensor]:
    """Apply convolutions to a map, each in its own type and without infinities.

    In training, those of 1x1 are one convolution, which reads the map once, and once more for all
    of its gradients. These are one map instead of a sum of maps.

    Args:
        layers: Convolutions.
        x: Feature map.

    Returns:
        The output of each; what overflowed float16 has become its largest value.
    """
    if not torch.is_grad_enabled() or not _are_one(layers, x):
        return [convolved(layer, x) for layer in layers]
    if x.dtype == torch.float32:
        x = narrowed(x, layer_dtype(layers[0], x))
    weight = torch.cat([layer.weight for layer in layers])
    biases = [layer.bias for layer in layers if layer.bias is not None]
    out = F.conv2d(x, weight, torch.cat(biases) if biases else None)
    parts = saturate_(out).split([layer.out_channels for layer in layers], dim=1)
    # Each in memory of its own: what keeps one of them does not keep the others.
    return [part.clone() for part in parts]


def _are_one(layers: list[nn.Conv2d], x: Tensor) -> bool:
    """Tell whether layers are one 1x1 convolution, and nobody sees whether they are."""
    return (
        all(
            type(layer) is nn.Conv2d
            and layer.kernel_size == layer.stride == (1, 1)
            and layer.padding == (0, 0)
            and layer.groups == 1
            and is_plain(layer, x)
            for layer in layers
        )
        and len({(layer.weight.dtype, layer.bias is None) for layer in layers}) == 1
    )
