"""Channels turned into pixels and back, of a batch of no map, too.

PyTorch's own functions have no gradient there.
"""

import torch.nn.functional as F
from torch import Tensor


def pixel_shuffle(x: Tensor, scale_factor: int) -> Tensor:
    """Make s * s pixels of as many channels, as :func:`torch.nn.functional.pixel_shuffle`.

    Args:
        x: Feature map of shape (N, C * s * s, H, W).
        scale_factor: How many times as high and as wide the output is, s.

    Returns:
        Map (N, C, H * s, W * s), whose pixel (i, j) of each s x s is channel i * s + j.
    """
    (n, c, h, w), s = x.shape, scale_factor
    return F.pixel_shuffle(x, s) if n else x.reshape(n, c // (s * s), h * s, w * s)


def pixel_unshuffle(x: Tensor, scale_factor: int) -> Tensor:
    """Undo :func:`pixel_shuffle`.

    Args:
        x: Feature map of shape (N, C, H * s, W * s).
        scale_factor: How many times as high and as wide it is, s.

    Returns:
        Map (N, C * s * s, H, W).
    """
    (n, c, h, w), s = x.shape, scale_factor
    return F.pixel_unshuffle(x, s) if n else x.reshape(n, c * s * s, h // s, w // s)
