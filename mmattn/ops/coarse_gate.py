"""Coarse gate: one gate per cell of a grid over a feature map."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmattn.compat import is_compiling
from mmattn.ops.precision import saturate_


def coarse_gate(x: Tensor, logits: Tensor) -> Tensor:
    """Scale ``x`` by ``sigmoid(logits)``, spread to it by nearest neighbours.

    Args:
        x: Feature map of shape (N, C, H, W).
        logits: Of shape (N, C, h, w), with ``h <= H`` and ``w <= W``.

    Returns:
        Gated feature map of shape (N, C, H, W) in ``x.dtype``.

    Example:
        >>> import torch
        >>> coarse_gate(torch.ones(1, 1, 1, 3), torch.tensor([[[[0.0, 99.0]]]]))
        tensor([[[[0.5000, 0.5000, 1.0000]]]])
    """
    if torch.is_grad_enabled() and not is_compiling() and not torch.jit.is_tracing():
        return _CoarseGate.apply(x, logits)
    return _gate(x, logits)


def _gate(x: Tensor, logits: Tensor) -> Tensor:
    gate = logits.sigmoid().to(x.dtype)
    (height, width), cells = x.shape[2:], gate.shape[2]
    if is_compiling() or height % cells:
        return x * F.interpolate(gate, size=(height, width))
    # Each row of cells has as many rows of the map, for which it is not repeated.
    gate = F.interpolate(gate, size=(cells, width))
    return (x.unflatten(2, (cells, -1)) * gate.unsqueeze(3)).flatten(2, 3)


class _CoarseGate(torch.autograd.Function):
    """A gated map, of which nothing but the map and the logits is kept."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, logits: Tensor) -> Tensor:
        return _gate(x, logits)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, logits = ctx.saved_tensors
        product = saturate_(grad * x)
        sums = torch.ops.aten.upsample_nearest2d_backward(product, x.shape[2:], logits.shape)
        total = saturate_(sums).to(logits.dtype)
        return _gate(grad, logits), torch.ops.aten.sigmoid_backward(total, logits.sigmoid())
