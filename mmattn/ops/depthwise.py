"""Dilated depthwise convolutions as ordinary ones, which are several times as fast on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmattn.compat import autocast_dtype, is_exporting, is_known
from mmattn.ops.cpu import has_onednn, is_unseen

# The rule, from process CPU time by phases against that of the convolution itself, forward and
# forward + backward, in turn on one thread of a CPU with AVX2, PyTorch 2.11, float32. 7x7 with
# dilation 3, 32 to 320 channels, batches of 1, 2 and 8, for sides of
#     7:        NCHW 0.33-0.82 and 1.79-1.93, channels-last 0.28-0.78 and 1.04-1.23,
#     12 to 14: NCHW 0.22-0.77 and 0.91-1.26, channels-last 0.09-0.56 and 0.42-0.70,
#     28:       NCHW 0.26-0.54 and 0.28-0.41, channels-last 0.13-0.34 and 0.15-0.28,
#     56, 128:  NCHW 0.22-0.36 and 0.22-0.29, channels-last 0.07-0.20 and 0.10-0.16.
# Smaller kernels with 64 channels and sides of 14 to 56:
#     5x5, dilation 3: NCHW 0.37-0.86 and 0.41-0.94, channels-last 0.18-0.60 and 0.35-0.70,
#     1x7 and 1x11, dilation 3: NCHW 1.03-1.69 and 0.93-1.45, channels-last 0.19-0.86 and 0.26-0.74,
#     1x5 and 3x3, dilation 2: 1.58-2.63 and 0.47-1.13; oneDNN is fast where margins are narrow.
# In bfloat16 on a CPU that computes in it (AVX-512), 7x7 with dilation 3, 32 to 512 channels:
#     12 to 14: NCHW 0.13-0.71 and 0.67-1.51, channels-last 0.09-0.70 and 0.69-1.30,
#     16 to 28: NCHW 0.18-0.26 and 0.38-0.85, channels-last 0.07-0.22 and 0.68-1.04.
# Where oneDNN does not compute in bfloat16, phases take 0.83-2.9 of the time.
_LEAST_MARGIN = 6
_LEAST_KERNEL = 5
# In dilations, how long the sides of a map have to be.
_LEAST_SIDE = 4


def depthwise(conv: nn.Module, x: Tensor) -> Tensor:
    """Apply a convolution; a dilated depthwise one by phases where that is faster.

    With a dilation d, every d-th pixel of a row meets every d-th one alone. The d * d maps of such
    pixels make a batch for the same weights without dilation, for which oneDNN has a fast path.
    The result is that of ``conv(x)`` but for the order of its sums, and so are the gradients.

    Args:
        conv: Convolution, or linear layer.
        x: Feature map (N, C, H, W).

    Returns:
        Its output, channels-last if ``x`` is.
    """
    if type(conv) is nn.Conv2d and (dtype := phase_dtype(conv, x)) is not None:
        return by_phases(x.to(dtype), conv.weight, conv.bias, conv.dilation)
    return conv(x)


def phase_dtype(conv: nn.Conv2d, x: Tensor) -> torch.dtype | None:
    """Give the type in which to compute by phases, or None where the plain form is better."""
    if conv.groups == 1 or max(conv.dilation) == 1 or is_exporting():
        return None
    # In the order of what it takes to find out.
    if not (_is_slow(conv, x) and _keeps_the_size(conv) and is_unseen(conv, x, compiled=True)):
        return None
    dtype = x.dtype if x.dtype == torch.float64 else autocast_dtype('cpu') or x.dtype
    if not has_onednn(dtype):
        return None
    sides = zip(x.shape[2:], conv.dilation, strict=True)
    is_large = all(is_known(side >= _LEAST_SIDE * d) for side, d in sides if d > 1)
    return dtype if is_large else None


def _is_slow(conv: nn.Conv2d, x: Tensor) -> bool:
    """Tell whether oneDNN is slow on a kernel: not on narrow ones, nor on strips in NCHW."""
    if max(d * (k // 2) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)) < (
        _LEAST_MARGIN
    ):
        return False
    short = min(conv.kernel_size)
    return short >= _LEAST_KERNEL or (short == 1 and _is_channels_last(x))


def _is_channels_last(x: Tensor) -> bool:
    # What vmap cannot be asked for by Tensor.is_contiguous.
    return x.stride(1) == 1 and x.shape[1] > 1


def _keeps_the_size(conv: nn.Conv2d) -> bool:
    """Tell whether a convolution is depthwise and gives maps of the size of its input."""
    margins = tuple(d * (k // 2) for d, k in zip(conv.dilation, conv.kernel_size, strict=True))
    return (
        conv.groups == conv.in_channels == conv.out_channels
        and conv.stride == (1, 1)
        and all(k % 2 for k in conv.kernel_size)
        and conv.padding == margins
        and conv.padding_mode == 'zeros'
    )


def by_phases(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: tuple[int, ...]) -> Tensor:
    """Convolve a map whose size is kept, by phases.

    Args:
        x: Feature map (N, C, H, W).
        weight: Weights (C, 1, kernel height, kernel width), both lengths odd.
        bias: Of shape (C,), or None.
        dilation: Of height and width.

    Returns:
        Map of the shape of ``x``, channels-last if ``x`` is.
    """
    phases = _to_phases(x, dilation)
    out = F.conv2d(phases, weight, bias, padding=_half(weight), groups=len(weight))
    return _from_phases(out, dilation, x)


def by_phases_back(
    grad: Tensor, x: Tensor, weight: Tensor, dilation: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the gradients of map, weight and bias of :func:`by_phases` from that of its result."""
    grad_phases, *others = torch.ops.aten.convolution_backward(
        _to_phases(grad, dilation),
        _to_phases(x, dilation),
        weight,
        [len(weight)],
        [1, 1],
        _half(weight),
        [1, 1],
        False,
        [0, 0],
        len(weight),
        [True, True, True],
    )
    return _from_phases(grad_phases, dilation, x), *others


def _half(weight: Tensor) -> list[int]:
    return [length // 2 for length in weight.shape[2:]]


def _to_phases(x: Tensor, dilation: tuple[int, ...]) -> Tensor:
    """Make the map of every d-th pixel in each direction one of a batch, its margin filled up."""
    (n, c, h, w), (dh, dw) = x.shape, dilation
    rows, columns = -(-h // dh), -(-w // dw)  # Of a phase.
    if (rows * dh, columns * dw) != (h, w):
        x = F.pad(x, (0, columns * dw - w, 0, rows * dh - h))
    # Channels last is the faster layout of the phases, whatever that of the map.
    x = x.reshape(n, c, rows, dh, columns, dw).permute(0, 3, 5, 2, 4, 1)
    return x.reshape(n * dh * dw, rows, columns, c).permute(0, 3, 1, 2)


def _from_phases(phases: Tensor, dilation: tuple[int, ...], like: Tensor) -> Tensor:
    """Put phases together again, to a map of the shape and the layout of another one."""
    (n, c, h, w), (dh, dw), (rows, columns) = like.shape, dilation, phases.shape[2:]
    x = phases.permute(0, 2, 3, 1).reshape(n, dh, dw, rows, columns, c)
    if _is_channels_last(like):
        x = x.permute(0, 3, 1, 4, 2, 5).reshape(n, rows * dh, columns * dw, c)
        return x[:, :h, :w].contiguous().permute(0, 3, 1, 2)
    x = x.permute(0, 5, 3, 1, 4, 2).reshape(n, c, rows * dh, columns * dw)
    return x[:, :, :h, :w].contiguous()
