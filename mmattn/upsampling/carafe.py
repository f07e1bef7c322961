"""CARAFE: upsampling by learnt kernels, in plain PyTorch."""

from mmengine.model import normal_init, xavier_init
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.layers.checks import Odd, Positive, Side
from mmattn.ops.factor import softmax_factor
from mmattn.ops.precision import convolved
from mmattn.ops.reassembled import reassembled_by_phase
from mmattn.upsampling.base import Enlargement, Upsampling


@MODELS.register_module()
class CARAFE(Upsampling):
    """Upsampling by a kernel of its own for each pixel of the output.

    Paper: `CARAFE: Content-Aware ReAssembly of FEatures <https://arxiv.org/abs/1905.02188>`_
    (ICCV 2019).

    Two convolutions predict the kernels from the map; a softmax makes the weights of each sum to
    one. Near the border the weights of what lies outside go nowhere.

    Note:
        It computes what mmcv's ``carafe`` does and has its key names, but needs no compiled
        operator: it runs on any device and exports. It keeps no copies of neighbourhoods.

        It starts as a blur over ``up_kernel`` pixels, not as an interpolation.

    Args:
        in_channels: Channels of the input and of the output.
        scale_factor: How many times as high and as wide the output is, s.
        up_kernel: Side of the kernels, odd.
        up_group: Number of channel groups with kernels of their own; divides ``in_channels``.
        encoder_kernel: Side of the convolution that predicts the kernels, odd.
        encoder_dilation: Its dilation.
        compressed_channels: Channels that it sees.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``up_group`` does not divide ``in_channels``, or a kernel is even.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, s * H, s * W), or a size less than s smaller.

    Example:
        >>> import torch
        >>> CARAFE(16)(torch.rand(2, 16, 7, 5), size=(13, 10)).shape
        torch.Size([2, 16, 13, 10])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        scale_factor: Enlargement = 2,
        up_kernel: Odd = 5,
        up_group: Positive = 1,
        encoder_kernel: Odd = 3,
        encoder_dilation: Side = 1,
        compressed_channels: Positive = 64,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, scale_factor, init_cfg)
        if in_channels % up_group:
            raise ValueError(
                f'expected up_group that divides in_channels {in_channels}, got {up_group}'
            )
        self.up_kernel = up_kernel
        self.up_group = up_group
        self.channel_compressor = nn.Conv2d(in_channels, compressed_channels, 1)
        self.content_encoder = nn.Conv2d(
            compressed_channels,
            up_kernel**2 * up_group * scale_factor**2,
            encoder_kernel,
            padding=encoder_dilation * (encoder_kernel // 2),
            dilation=encoder_dilation,
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw kernels that are nearly even."""
        xavier_init(self.channel_compressor, distribution='uniform')
        normal_init(self.content_encoder, std=0.001)

    def enlarge(self, x: Tensor) -> Tensor:
        """Reassemble ``x`` by the kernels."""
        logits = convolved(self.content_encoder, convolved(self.channel_compressor, x))
        shape = (self.up_group, self.up_kernel**2, self.scale_factor**2)
        weights = softmax_factor(logits.unflatten(1, shape), 2, x.dtype)
        return reassembled_by_phase(x, weights)
