"""How a map lies in memory."""

from torch import Tensor


def laid_out_as(x: Tensor, like: Tensor) -> Tensor:
    """Let a map lie in memory as another one does.

    Args:
        x: Map of shape (N, C, H', W').
        like: Map of shape (N, C, H, W), contiguous or in channels_last.

    Returns:
        ``x`` in channels_last where ``like`` is, else contiguous.
    """
    # What vmap cannot be asked for by Tensor.is_contiguous.
    if like.stride(1) == 1 and not like.is_contiguous():
        return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    return x.contiguous()
