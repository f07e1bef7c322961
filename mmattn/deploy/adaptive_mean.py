"""Adaptive means of maps whose size is not known, in operations that every runtime has."""

from torch import Tensor, nn

from mmattn.ops.cells import cell_weights


class AdaptiveMean(nn.Module):
    """Adaptive average pooling, as products with the weights of rows and with those of columns.

    ONNX has no such pooling, and tracers write it out only for a size that they know.

    Args:
        size: Height and width of the output; None for that of the input.

    Shape:
        - Input: (N, C, H, W).
        - Output: (N, C, h, w), by ``size``.

    Example:
        >>> import torch
        >>> x = torch.rand(1, 2, 7, 5)
        >>> torch.allclose(AdaptiveMean((3, 2))(x), torch.nn.AdaptiveAvgPool2d((3, 2))(x))
        True
    """

    def __init__(self, size: tuple[int | None, int | None]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Pool a map (N, C, H, W)."""
        height, width = self.size
        if height is not None:
            x = cell_weights(x, x.shape[2], height) @ x
        if width is not None:
            x = x @ cell_weights(x, x.shape[3], width).T
        return x


def replace_adaptive_means(module: nn.Module) -> None:
    """Replace adaptive average pooling of PyTorch, except to one value, which is a plain mean."""
    for name, child in module.named_children():
        if isinstance(child, nn.AdaptiveAvgPool2d):
            size = child.output_size
            height, width = size if isinstance(size, tuple) else (size, size)
            if (height, width) != (1, 1):
                setattr(module, name, AdaptiveMean((height, width)))
        else:
            replace_adaptive_means(child)
