"""Reassembly: a larger map, each of whose pixels is a weighted sum of a neighbourhood."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mmattn.ops.factor import as_factor
from mmattn.ops.layout import laid_out_as
from mmattn.ops.pixel_shuffle import pixel_shuffle, pixel_unshuffle
from mmattn.ops.precision import HALVES, gated, saturate_


def reassembled(x: Tensor, weights: Tensor, kernel_size: int, scale_factor: int = 1) -> Tensor:
    """Enlarge a map, each pixel by weights of its own for the neighbourhood it comes from.

    Pixel (p, q) of the output is the sum over i and j, from 0 to k - 1, of ``weights[i * k + j, p,
    q]`` times ``x[p // s + i - k // 2, q // s + j - k // 2]``, where what lies outside ``x`` is
    zero and its weight goes nowhere. The sum is taken over shifted views: no copy of a
    neighbourhood is made or kept.

    Args:
        x: Feature map of shape (N, C, H, W).
        weights: Those of each pixel, which sum to one over a neighbourhood, as
            :func:`mmattn.ops.factor.softmax_factor` gives them: (N, groups * k * k, H * s, W * s).
            Each group is for a run of C / groups channels.
        kernel_size: Side k of the neighbourhood, odd.
        scale_factor: How much larger the output is, s.

    Returns:
        Map (N, C, H * s, W * s) in ``x.dtype``, channels-last if ``x`` is.

    Raises:
        ValueError: If the weights are not for such a map, or ``kernel_size`` is even.

    Example:
        >>> import torch
        >>> blur = torch.full((1, 9, 4, 6), 1 / 9)
        >>> reassembled(torch.ones(1, 8, 2, 3), blur, 3, 2).shape
        torch.Size([1, 8, 4, 6])
    """
    (n, c, h, w), k, s = x.shape, kernel_size, scale_factor
    if k % 2 == 0:
        raise ValueError(f'expected an odd kernel_size, got {k}')
    groups = weights.shape[1] // (k * k)
    fits = groups > 0 and c % groups == 0 and weights.shape[1] == groups * k * k
    if not fits or (weights.shape[0], *weights.shape[2:]) != (n, h * s, w * s):
        raise ValueError(
            f'expected weights of shape ({n}, groups * {k * k}, {h * s}, {w * s}), where groups '
            f'divide {c} channels, for x {tuple(x.shape)}, got {tuple(weights.shape)}'
        )
    factors = pixel_unshuffle(as_factor(weights, x.dtype), s)
    return reassembled_by_phase(x, factors.reshape(n, groups, k * k, s * s, h, w))


def reassembled_by_phase(x: Tensor, weights: Tensor) -> Tensor:
    """Do what :func:`reassembled` does, with the s * s pixels that come from one side by side.

    So the weights lie as a convolution gives them, before any :func:`pixel_shuffle`.

    Args:
        x: Feature map of shape (N, C, H, W).
        weights: Those of each pixel: (N, groups, k * k, s * s, H, W).

    Returns:
        Map (N, C, H * s, W * s) in ``x.dtype``, channels-last if ``x`` is.
    """
    (n, c, h, w), (groups, taps, pixels) = x.shape, weights.shape[1:4]
    k, s = math.isqrt(taps), math.isqrt(pixels)
    factors = as_factor(weights, x.dtype)[:, :, :, None]
    padded = F.pad(x, [k // 2] * 4)
    padded = padded.reshape(n, groups, c // groups, 1, h + k - 1, w + k - 1)
    out: Tensor | None = None
    for tap in range(taps):
        i, j = divmod(tap, k)
        out = _added(out, padded[..., i : i + h, j : j + w], factors[:, :, tap])
    assert out is not None
    # Rounded weights can sum to more than one, which is enough to pass the largest float16.
    out = saturate_(out).reshape(n, c * pixels, h, w)
    return laid_out_as(pixel_shuffle(out, s), x)


def _added(total: Tensor | None, x: Tensor, factor: Tensor) -> Tensor:
    if total is None or x.dtype in HALVES:
        product = gated(x, factor)
        return product if total is None else total + product
    return torch.addcmul(total, x, factor)
