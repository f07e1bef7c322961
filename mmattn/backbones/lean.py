"""Residual branches that keep little for the backward pass, because what is cheap is done again.

A branch of VAN's kind is a norm, a 1x1 convolution, something in the middle, and a 1x1 convolution
with a layer scale. PyTorch keeps the input of each of its operations. Here the branch is one
function, which keeps its input, what the first convolution gives, and what the middle asks for:
the outputs of convolutions that are dear. Norm, GELU, gate and 3x3 depthwise convolution are
computed again in the backward pass, and the layer scale lies in the weights, so that its gradient
needs no map. The backward operations are PyTorch's own.

Values and gradients are those of the plain branch up to rounding. A second derivative is refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from mmattn.compat import at_least_float32
from mmattn.layers.scaled_conv import ScaledConv2d, scaled
from mmattn.ops.bare import is_bare
from mmattn.ops.depthwise import by_phases, by_phases_back, phase_dtype
from mmattn.ops.norm import is_synchronized
from mmattn.ops.precision import layer_dtype, saturate, widened, without_autocast

Back = Callable[[Tensor], tuple[Tensor, list[Tensor]]]


class Middle(Protocol):
    """What stands between the 1x1 convolutions of a branch."""

    @property
    def convs(self) -> Sequence[nn.Conv2d]:
        """Its convolutions."""

    def forward(self, h: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Compute it.

        Args:
            h: Output of the first convolution.
            weights: Weight and bias of each of ``convs`` in turn.

        Returns:
            Input of the last convolution, and the maps to keep besides ``h``.
        """

    def again(
        self, h: Tensor, kept: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> tuple[Tensor, Back]:
        """Compute it once more, from what was kept.

        Returns:
            Input of the last convolution, and the function from its gradient to that of ``h`` and
            those of the weights. It may use up the gradient that it is given.
        """


@dataclass(frozen=True)
class Gate:
    """GELU, and its product with a chain of convolutions of it, whose outputs are kept."""

    convs: Sequence[nn.Conv2d]

    def forward(self, h: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Give the product, and the outputs of the chain."""
        u = F.gelu(h)
        maps = [u]
        for i, conv in enumerate(self.convs):
            maps.append(saturate(_convolve(conv, maps[-1], *weights[2 * i : 2 * i + 2])))
        return saturate(u * maps[-1]), maps[1:]

    def again(
        self, h: Tensor, kept: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> tuple[Tensor, Back]:
        """Do GELU and product again; the chain is what was kept."""
        u = F.gelu(h)

        def back(grad: Tensor) -> tuple[Tensor, list[Tensor]]:
            # What overflowed float16 passes its gradient on as if it had not.
            grad_chain = saturate(grad * u)
            grad_u = saturate(grad.mul_(kept[-1]))
            grads: list[Tensor] = []
            for i in reversed(range(len(self.convs))):
                x = kept[i - 1] if i else u
                grad_chain, *pair = _convolve_back(self.convs[i], grad_chain, x, weights[2 * i])
                grads = pair + grads
            return torch.ops.aten.gelu_backward(grad_u.add_(grad_chain), h), grads

        return saturate(u * kept[-1]), back


@dataclass(frozen=True)
class Depthwise:
    """Depthwise convolution and GELU, which are both computed again."""

    conv: nn.Conv2d

    @property
    def convs(self) -> Sequence[nn.Conv2d]:
        """The convolution."""
        return [self.conv]

    def forward(self, h: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Give the output of the GELU, and nothing to keep."""
        return F.gelu(_convolve(self.conv, h, *weights)), []

    def again(
        self, h: Tensor, kept: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> tuple[Tensor, Back]:
        """Convolve again."""
        d = _convolve(self.conv, h, *weights)

        def back(grad: Tensor) -> tuple[Tensor, list[Tensor]]:
            grad = torch.ops.aten.gelu_backward(grad, d)
            grad, *grads = _convolve_back(self.conv, grad, h, weights[0])
            return grad, grads

        return F.gelu(d), back


@dataclass(frozen=True)
class Branch:
    """A branch without its norm and its scale.

    Args:
        first: First 1x1 convolution.
        middle: What follows.
        last: Last 1x1 convolution.
        shortcut: Whether the output of the norm is added to that of the last convolution.
    """

    first: nn.Conv2d
    middle: Middle
    last: nn.Conv2d
    shortcut: bool = False


def can_be_done_again(part: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Tell whether all within a part of a network is what this file computes.

    Args:
        part: The part.
        *kinds: Its classes besides layers of PyTorch.

    Returns:
        False where a module is of another class, computes something else by its options, or has
        hooks, which would be left out.
    """
    return all(
        is_bare(module) and (type(module) in kinds or _is_known(module))
        for module in part.modules()
    )


def _is_known(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d) and type(layer) in (nn.Conv2d, ScaledConv2d):
        is_usual = layer.padding_mode == 'zeros' and not isinstance(layer.padding, str)
        return is_usual and layer.bias is not None
    if type(layer) is nn.Dropout:
        return layer.p == 0
    return type(layer) is nn.GELU and layer.approximate == 'none'


def apply(branch: Branch, norm: nn.Module, scale: Tensor, x: Tensor) -> Tensor:
    """Compute ``scale * branch(norm(x))``.

    Args:
        branch: The branch.
        norm: Its norm. A batch norm is done again; of any other, of one with hooks, and of one
            whose statistics are those of several processes, the output is kept.
        scale: Layer scale of shape (C,).
        x: Map of shape (N, C, H, W).

    Returns:
        Map of the shape of ``x``.
    """
    convs = (branch.first, *branch.middle.convs, branch.last)
    weights = [tensor for conv in convs for tensor in (conv.weight, conv.bias)]
    # Autocast leaves float64 alone.
    dtype = x.dtype if x.dtype == torch.float64 else layer_dtype(branch.first, x)
    again = _done_again(norm, x)
    inputs = (norm(x), None, None) if again is None else (x, again.weight, again.bias)
    with without_autocast(x):
        return _Lean.apply(branch, again, dtype, scale, *inputs, *weights)


def _done_again(norm: nn.Module, x: Tensor) -> _BatchNorm | None:
    """Give the norm if it is a batch norm of this process alone that will not refuse its input."""
    if not isinstance(norm, _BatchNorm) or not is_bare(norm):
        return None
    # Those of mmengine change only which shapes are refused.
    if type(norm).forward not in (_BatchNorm.forward, nn.SyncBatchNorm.forward):
        return None
    if not (norm.affine and norm.track_running_stats and norm.momentum is not None):
        return None
    if norm.training and (is_synchronized(norm) or x.numel() == x.shape[1]):
        return None
    return norm


class _Lean(torch.autograd.Function):
    """``scale * branch(norm(x))``; where ``norm`` is None, ``x`` is its output."""

    @staticmethod
    def forward(
        ctx: Any,
        branch: Branch,
        norm: _BatchNorm | None,
        dtype: torch.dtype,
        scale: Tensor,
        x: Tensor,
        norm_weight: Any,
        norm_bias: Any,
        *weights: Tensor,
    ) -> Tensor:
        n, *statistics = _normalize(norm, x, norm_weight, norm_bias)
        h = _convolve(branch.first, n.to(dtype), *weights[:2])
        v, kept = branch.middle.forward(h, weights[2:-2])
        out = _convolve(branch.last, v, *(scaled(weight, scale) for weight in weights[-2:]))
        if branch.shortcut:
            out = _plus_product(out, n, scale)
        ctx.branch, ctx.norm, ctx.dtype, ctx.num_kept = branch, norm, dtype, len(kept)
        # It may be in another mode when the backward pass comes.
        ctx.norm_trained = norm is not None and norm.training
        small = (*statistics, norm_weight, norm_bias, scale, *weights)
        ctx.save_for_backward(x, h, *kept, *small)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        branch, end = ctx.branch, 2 + ctx.num_kept
        x, h, *kept = ctx.saved_tensors[:end]
        mean, spread, norm_weight, norm_bias, scale, *weights = ctx.saved_tensors[end:]
        with without_autocast(grad):
            v, back = branch.middle.again(h, kept, weights[2:-2])
            last_weight, last_bias = weights[-2:]
            grad_v, grad_weight, grad_bias = _convolve_back(
                branch.last, grad.to(ctx.dtype), v, scaled(last_weight, scale)
            )
            del v
            # They are the gradients of the scaled ones.
            grad_weight, grad_bias = widened(grad_weight), widened(grad_bias)
            grad_scale = (grad_weight * last_weight).sum((1, 2, 3)) + grad_bias * last_bias
            grad_last = [scaled(grad_weight, scale), scaled(grad_bias, scale)]
            grad_h, grads = back(grad_v)
            del grad_v, back, kept
            n = x if ctx.norm is None else _affine(ctx, x, mean, spread, norm_weight, norm_bias)
            grad_n, *grad_first = _convolve_back(branch.first, grad_h, n.to(ctx.dtype), weights[0])
            del grad_h
            if branch.shortcut:
                grad_scale += (grad * n).sum((0, 2, 3), dtype=at_least_float32(grad.dtype))
                grad_n = _plus_product(grad_n, grad, scale)
            del n
            grad_n = grad_n.to(x.dtype)
            grad_norm = (
                (grad_n, None, None)
                if ctx.norm is None
                else _normalize_back(ctx, grad_n, x, norm_weight, mean, spread)
            )
        return None, None, None, grad_scale, *grad_norm, *grad_first, *grads, *grad_last


def _normalize(
    norm: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Apply a batch norm; give mean and, as it trains, 1 / standard deviation or variance."""
    if norm is None:
        return x, None, None
    mean, var = norm.running_mean, norm.running_var
    if not norm.training:
        return F.batch_norm(x, mean, var, weight, bias, eps=norm.eps), mean, var
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    return torch.native_batch_norm(x, weight, bias, mean, var, True, norm.momentum, norm.eps)


def _affine(
    ctx: Any, x: Tensor, mean: Tensor, spread: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """Normalize again, by the statistics of before."""
    inv_std = spread if ctx.norm_trained else (spread + ctx.norm.eps).rsqrt()
    factor = weight * inv_std
    shift = bias - mean * factor
    return torch.addcmul(shift[:, None, None], x, factor[:, None, None]).to(x.dtype)


def _normalize_back(
    ctx: Any, grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, spread: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the gradients of map, weight and bias of :func:`_normalize`."""
    running = (None, None) if ctx.norm_trained else (mean, spread)
    of_batch = (mean, spread) if ctx.norm_trained else (None, None)
    return torch.ops.aten.native_batch_norm_backward(
        grad, x, weight, *running, *of_batch, ctx.norm_trained, ctx.norm.eps, [True, True, True]
    )


def _plus_product(x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    """Add ``y * scale`` to ``x``, in the place of ``x`` if it is as wide."""
    factors = scale[:, None, None]
    if x.dtype == torch.promote_types(y.dtype, scale.dtype):
        return x.addcmul_(y, factors)
    return torch.addcmul(x, y, factors)


def _convolve(conv: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply a convolution in the type of the map."""
    weight, bias = weight.to(x.dtype), bias.to(x.dtype)
    if phase_dtype(conv, x) is not None:
        return by_phases(x, weight, bias, conv.dilation)
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _convolve_back(
    conv: nn.Conv2d, grad: Tensor, x: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the gradients of map, weight and bias of :func:`_convolve`."""
    if phase_dtype(conv, x) is not None:
        return by_phases_back(grad, x, weight.to(x.dtype), conv.dilation)
    return torch.ops.aten.convolution_backward(
        grad,
        x,
        weight.to(x.dtype),
        [conv.out_channels],
        conv.stride,
        conv.padding,
        conv.dilation,
        False,
        [0, 0],
        conv.groups,
        [True, True, True],
    )
