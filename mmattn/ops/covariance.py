"""Covariances of channels over positions."""

from typing import Any

import torch
from torch import Tensor

from mmattn.compat import at_least_float32
from mmattn.ops.precision import HALVES, in_float32, without_autocast


def covariance(x: Tensor) -> Tensor:
    """Compute how the channels of a map vary together.

    Of a half map nothing but itself is kept.

    Args:
        x: Rows of channels, (N, C, L).

    Returns:
        Means of products of what is left without the means, (N, C, C), in float32, or in float64
        if ``x`` is.

    Example:
        >>> import torch
        >>> covariance(torch.tensor([[[1.0, 3.0], [2.0, 2.0]]]))
        tensor([[[1., 0.],
                 [0., 0.]]])
    """
    return _Covariance.apply(x) if x.dtype in HALVES else in_float32(_covariance, x)


def _covariance(x: Tensor) -> Tensor:
    centered = x - _mean(x)
    return centered @ centered.transpose(1, 2) / x.shape[2]


def _mean(x: Tensor) -> Tensor:
    return x.mean(2, keepdim=True, dtype=at_least_float32(x.dtype))


class _Covariance(torch.autograd.Function):
    """Covariances of a half map, in float32.

    What is left without the means sums to zero, so that its gradient is that of the map.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        with without_autocast(x):
            return _covariance(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        [x] = ctx.saved_tensors
        factors = (grad + grad.transpose(1, 2)) / x.shape[2]
        # Of a mean over many positions, it would be nothing in float16. Half of its size, in
        # powers, goes to the map.
        size = factors.abs().amax((1, 2), keepdim=True).sqrt()
        factors = (factors / size.clamp(min=torch.finfo(size.dtype).tiny)).to(x.dtype)
        shift, scale = (-_mean(x) * size).to(x.dtype), size.to(x.dtype)
        return factors @ torch.addcmul(shift, x, scale)
