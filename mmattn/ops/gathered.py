"""The weighted mean of a map, beside the map itself."""

from typing import Any

import torch
from torch import Tensor

from mmattn.ops.precision import HALVES, saturate_


def gathered(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Average a map over its positions, and pass it on.

    What uses the map further on should use what is passed on: its gradient and that of the mean
    then meet in the operation that spreads the latter over the positions.

    Args:
        x: Feature map of shape (N, C, H, W).
        weights: Those of the positions, which sum to one: (N, 1, H, W) in ``x.dtype``.

    Returns:
        ``x``, and the mean (N, C, 1, 1) in ``x.dtype``.
    """
    return _Gathered.apply(x, weights) if x.dtype in HALVES else (x, _mean(x, weights))


def _mean(x: Tensor, weights: Tensor) -> Tensor:
    return (x.flatten(2) @ weights.flatten(2).transpose(1, 2))[..., None]


class _Gathered(torch.autograd.Function):
    """A half map and its mean, with one gradient of both."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        # Rounded weights can sum to more than one, which is enough to pass the largest float16.
        return x.view_as(x), saturate_(_mean(x, weights))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, of_mean: Tensor) -> tuple[Tensor, Tensor]:
        x, weights = ctx.saved_tensors
        of_weights = of_mean.flatten(2).transpose(1, 2) @ x.flatten(2)
        return torch.addcmul(grad, of_mean, weights), saturate_(of_weights).view_as(weights)
