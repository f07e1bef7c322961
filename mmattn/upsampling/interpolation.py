"""The two interpolations without weights."""

import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from mmattn.upsampling.base import Enlargement, Size, Upsampling


@MODELS.register_module()
class Nearest(Upsampling):
    """Nearest interpolation: every pixel s times in each direction, as most pyramids have it.

    Paper: `Feature Pyramid Networks for Object Detection <https://arxiv.org/abs/1612.03144>`_
    (CVPR 2017), whose top-down path takes it.

    Args:
        in_channels: Channels of the input and of the output.
        scale_factor: How many times as high and as wide the output is.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive, or ``scale_factor`` not from 1 to 16.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, s * H, s * W), or any other size that is asked for.

    Example:
        >>> import torch
        >>> Nearest(16)(torch.rand(2, 16, 7, 5), size=(13, 10)).shape
        torch.Size([2, 16, 13, 10])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        scale_factor: Enlargement = 2,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, scale_factor, init_cfg)

    def enlarge(self, x: Tensor) -> Tensor:
        """Repeat each pixel."""
        return F.interpolate(x, scale_factor=float(self.scale_factor))

    def reach(self, x: Tensor, size: Size) -> Tensor:
        """Take for each pixel of a map of any size the nearest one."""
        return F.interpolate(x, size)


@MODELS.register_module()
class Bilinear(Upsampling):
    """Bilinear interpolation.

    Paper: `Fully Convolutional Networks for Semantic Segmentation
    <https://arxiv.org/abs/1411.4038>`_ (CVPR 2015), whose upsampling starts as it.

    Args:
        in_channels: Channels of the input and of the output.
        scale_factor: How many times as high and as wide the output is.
        align_corners: Whether the corner pixels of both maps lie on each other, instead of the
            outer edges.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive, or ``scale_factor`` not from 1 to 16.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, s * H, s * W), or any other size that is asked for.

    Example:
        >>> import torch
        >>> Bilinear(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 14, 10])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        scale_factor: Enlargement = 2,
        align_corners: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, scale_factor, init_cfg)
        self.align_corners = align_corners

    def enlarge(self, x: Tensor) -> Tensor:
        """Interpolate by the factor."""
        return self.reach(x, (x.shape[2] * self.scale_factor, x.shape[3] * self.scale_factor))

    def reach(self, x: Tensor, size: Size) -> Tensor:
        """Interpolate to any size."""
        return F.interpolate(x, size, mode='bilinear', align_corners=self.align_corners)
