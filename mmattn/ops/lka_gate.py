"""Large-kernel gate: weigh every value of a feature map by its own attention value."""

from torch import Tensor

from mmattn.ops.dispatch import Impl, check_impl


def lka_gate(x: Tensor, attention: Tensor, *, impl: Impl = 'auto') -> Tensor:
    """Multiply ``x`` by the attention map, without a squashing function in between.

    Args:
        x: Feature map of shape (N, C, H, W).
        attention: Attention map of shape (N, C, H, W).
        impl: Kernel choice, see :func:`mmattn.ops.dispatch.check_impl`.

    Returns:
        Weighed feature map of shape (N, C, H, W).

    Raises:
        ValueError: If the two shapes differ.
        RuntimeError: If ``impl='fused'`` cannot run here.
    """
    if x.shape != attention.shape:
        raise ValueError(
            f'expected attention of shape {tuple(x.shape)}, got {tuple(attention.shape)}'
        )
    check_impl('lka_gate', impl)
    return lka_gate_reference(x, attention)


def lka_gate_reference(x: Tensor, attention: Tensor) -> Tensor:
    """Specify :func:`lka_gate` in plain PyTorch."""
    return x * attention
