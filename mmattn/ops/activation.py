"""Activations in the layout for which a CPU has a fast path, and with little to keep."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmattn.compat import is_compiling
from mmattn.ops.bare import is_bare
from mmattn.ops.cpu import has_onednn, is_unseen

# Process CPU time on the view (N, H, W, C) against that of the channels-last map, forward and
# forward + backward, float32, one thread of a CPU with AVX2, PyTorch 2.11: 12,544 values 1.25 and
# 1.47; 100,000 to 13 million values 0.70-0.90 and 0.67-1.04. In bfloat16 1.0 without oneDNN.
_LEAST_VALUES = 100_000


def activated(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply an activation to a map; a GELU on a CPU in the order of its memory.

    PyTorch leaves a GELU to oneDNN where a map is contiguous, and a channels-last one is so as
    (N, H, W, C). Of a ReLU6, in place or not, it keeps the input for the backward pass, of which
    nobody else needs a copy; here it is the result, which a convolution behind it keeps anyway.

    Args:
        layer: Activation of any kind.
        x: Feature map (N, C, H, W).

    Returns:
        Its output, channels-last if ``x`` is.
    """
    if _is_faster_as_nhwc(layer, x):
        return layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    if type(layer) is nn.ReLU6 and is_bare(layer) and _goes_back(x):
        return _ReLU6.apply(x)
    return layer(x)


class _ReLU6(torch.autograd.Function):
    """ReLU6 whose gradient comes from its result: both ends of it let nothing pass."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return F.relu6(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor):
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return torch.ops.aten.hardtanh_backward(grad, *ctx.saved_tensors, 0.0, 6.0)

    # A tangent is let pass where a gradient is.
    jvp = backward


def _goes_back(x: Tensor) -> bool:
    """Tell whether a backward pass will come, of an operation that nobody writes down."""
    is_written_down = is_compiling() or torch.jit.is_tracing()
    return x.requires_grad and torch.is_grad_enabled() and not is_written_down


def _is_faster_as_nhwc(layer: nn.Module, x: Tensor) -> bool:
    """Tell whether a GELU of a channels-last map misses oneDNN."""
    return (
        type(layer) is nn.GELU
        and is_unseen(layer, x)
        # After the line above: a tracer must not ask for a size.
        and x.numel() >= _LEAST_VALUES
        and has_onednn(x.dtype)
        and not x.is_contiguous()
        and x.permute(0, 2, 3, 1).is_contiguous()
    )
