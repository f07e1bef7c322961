"""A convolution of two maps side by side, whose gradients are taken of each map alone."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmattn.compat import autocast_dtype
from mmattn.ops.cpu import is_plain
from mmattn.ops.precision import convolved, layer_dtype, narrowed, saturate_


def joined(conv: nn.Conv2d, x: Tensor, y: Tensor) -> Tensor:
    """Convolve two maps that stand side by side along the channels, without infinities.

    In training the maps themselves are kept, which what made or reads them often keeps as well,
    and no gradient of both is made and cut.

    Args:
        conv: 1x1 convolution of as many channels as both maps have.
        x: Feature map (N, C, H, W), whose channels come first.
        y: Feature map of the same shape.

    Returns:
        Its output; what overflowed float16 has become its largest value.
    """
    dtype = layer_dtype(conv, x)
    maps = [narrowed(each, dtype) if each.dtype == torch.float32 else each for each in (x, y)]
    if not _goes_back_apart(conv, maps, dtype):
        return convolved(conv, torch.cat([x, y], dim=1))
    # Weights that autocast casts within a Function have no gradient, and it remembers them.
    parameters = [None if p is None else p.to(dtype) for p in (conv.weight, conv.bias)]
    return saturate_(_Joined.apply(*maps, *parameters))


def _goes_back_apart(conv: nn.Conv2d, maps: list[Tensor], dtype: torch.dtype) -> bool:
    """Tell whether a convolution is a plain 1x1 one in training, which nobody sees."""
    if not torch.is_grad_enabled() or type(conv) is not nn.Conv2d or not is_plain(conv, *maps):
        return False
    if any(each.dtype != dtype for each in maps) or not _is_pointwise(conv):
        return False
    return conv.weight.dtype == dtype or autocast_dtype(maps[0].device.type) is not None


def _is_pointwise(conv: nn.Conv2d) -> bool:
    plain = conv.kernel_size == conv.stride == (1, 1) and conv.groups == 1
    return plain and conv.padding in ((0, 0), 'valid')


class _Joined(torch.autograd.Function):
    """A 1x1 convolution of two maps side by side."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(torch.cat([x, y], dim=1), weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor):
        x, y, weight, bias = inputs
        ctx.save_for_backward(x, y, weight)
        ctx.has_bias = bias is not None

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight = ctx.saved_tensors
        of_x, of_y, of_weight, of_bias = ctx.needs_input_grad
        width = x.shape[1]
        halves = weight[:, :width], weight[:, width:]
        masks = (of_x, of_weight, of_bias), (of_y, of_weight, False)
        (grad_x, first, grad_bias), (grad_y, second, _) = (
            torch.ops.aten.convolution_backward(
                *(grad, each, half, [len(weight)] if ctx.has_bias else None),
                *([1, 1], [0, 0], [1, 1], False, [0, 0], 1, mask),
            )
            for each, half, mask in zip((x, y), halves, masks, strict=True)
        )
        return grad_x, grad_y, torch.cat([first, second], 1) if of_weight else None, grad_bias
