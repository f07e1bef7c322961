"""What the channel gates are built of."""

from torch import Tensor, nn

from mmattn.ops.precision import on_map


def squeezed_channels(in_channels: int, reduction: int) -> int:
    """Divide channels by a squeeze ratio.

    Args:
        in_channels: Channels to divide.
        reduction: Squeeze ratio.

    Returns:
        ``in_channels // reduction``, at least 1.

    Raises:
        ValueError: If ``reduction`` is not within 1 and ``in_channels``.
    """
    if not 1 <= reduction <= in_channels:
        raise ValueError(
            f'expected reduction of 1 to {in_channels} (in_channels), got {reduction}; '
            f'{min(max(reduction, 1), in_channels)} works'
        )
    return in_channels // reduction


class SafeSequential(nn.Sequential):
    """Layers in a row that neither overflow float16 nor refuse to train on a single value.

    Example:
        >>> import torch
        >>> chain = SafeSequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        >>> chain(torch.rand(1, 3, 1, 1)).shape
        torch.Size([1, 4, 1, 1])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers to ``x`` of shape (N, C, H, W)."""
        return on_map(list(self), x)
