"""How far each pixel is from the mean of its channel, measured against the variance."""

import torch
from torch import Tensor

from mmattn.ops.precision import HALVES


def squared_deviation(x: Tensor, regularizer: float, divisor: float = 1.0) -> Tensor:
    """Divide squared distances from the mean by the variance of the channel.

    Args:
        x: Feature map of shape (N, C, H, W).
        regularizer: What is added to the variance, which is divided by ``H * W - 1``, or by one for
            a single pixel.
        divisor: What the result is divided by as well.

    Returns:
        The quotients (N, C, H, W) in ``x.dtype``, of statistics in float32 or float64.

    Example:
        >>> import torch
        >>> squared_deviation(torch.tensor([[[[0.0, 1.0, 2.0]]]]), 1.0)
        tensor([[[[0.5000, 0.0000, 0.5000]]]])
    """
    n, c, h, w = x.shape
    degrees = max(h * w - 1, 1)
    if x.dtype in HALVES:
        # A batch norm of one image with N * C channels has float32 for the difference, too, which
        # has no digits left in float16 and whose square leaves its range. Its variance is divided
        # by H * W.
        share = degrees / (h * w)
        weight = torch.full((n * c,), (share / divisor) ** 0.5, device=x.device)
        # In one layout for one image and for many, which channels_last could not be viewed as.
        maps = x.contiguous().view(1, n * c, h, w)
        eps = regularizer * share
        standard = torch.batch_norm(maps, weight, None, None, None, True, 0.0, eps, True)
        return standard.view_as(x).square()
    square = (x - x.mean((2, 3), keepdim=True)).square()
    variance = square.sum((2, 3), keepdim=True) / degrees  # (N, C, 1, 1)
    return square / (divisor * (variance + regularizer))
