"""Context anchor attention."""

from collections import OrderedDict

import torch.nn.functional as F
from mmcv.cnn import build_activation_layer, build_norm_layer
from mmengine.model import kaiming_init
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import ActCfg, NormCfg, Odd, check_map
from mmattn.layers.sequential import SafeSequential
from mmattn.ops.gating import sigmoid_gated
from mmattn.ops.precision import wide_sigmoid


@MODELS.register_module()
class CAA(Attention):
    """Context anchor attention: a gate for each position from a long row and column around it.

    Means of 7x7 windows go through a 1x1 convolution, a row and a column of weights for each
    channel, and another 1x1 convolution; the sigmoid of the result is the gate.

    Paper: `Poly Kernel Inception Network for Remote Sensing Detection
    <https://arxiv.org/abs/2403.06258>`_ (CVPR 2024). Weights of the authors' release load as they
    are; without them it starts as the release does.

    Note:
        The release returns the gate alone and leaves the product to its host; here the product is
        the output. At the border, the zeros around the map count in the means, as in the release.
        Its PKINet has other forms than the default: without norms and activations, and with strips
        of 11 pixels and more.

    Args:
        in_channels: Channels of the input and of the output.
        kernel_size: Length of row and column in pixels, odd.
        norm_cfg: Norm layer of the 1x1 convolutions, which have biases if it is None.
        act_cfg: Activation of the 1x1 convolutions; none if None.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive or ``kernel_size`` not odd and positive.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> CAA(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'caa'

    def __init__(
        self,
        in_channels: int,
        *,
        kernel_size: Odd = 11,
        norm_cfg: NormCfg | None = dict(type='BN', eps=1e-3, momentum=0.03),
        act_cfg: ActCfg | None = dict(type='SiLU'),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        c, half = in_channels, kernel_size // 2

        def pointwise() -> SafeSequential:
            layers = OrderedDict[str, nn.Module](conv=nn.Conv2d(c, c, 1, bias=norm_cfg is None))
            if norm_cfg is not None:
                layers['bn'] = build_norm_layer(norm_cfg, c)[1]
            if act_cfg is not None:
                layers['activate'] = build_activation_layer(act_cfg)
            return SafeSequential(layers)

        row = nn.Conv2d(c, c, (1, kernel_size), padding=(0, half), groups=c)
        column = nn.Conv2d(c, c, (kernel_size, 1), padding=(half, 0), groups=c)
        self.conv1 = pointwise()
        self.h_conv = SafeSequential(OrderedDict(conv=row))
        self.v_conv = SafeSequential(OrderedDict(conv=column))
        self.conv2 = pointwise()
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                kaiming_init(layer)

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Attend to ``x``, or gate another map by what ``x`` holds.

        Args:
            x: Map of shape (N, C, H, W) that the gate is made of.
            onto: Map of the same shape that is multiplied by it; ``x`` itself if None.

        Returns:
            The product, (N, C, H, W).

        Raises:
            ValueError: If a map does not have this shape, has no row or no column, or does not
                consist of floating-point numbers.
        """
        if onto is None:
            return super().forward(x)
        check_map(self, x, self.in_channels)
        check_map(self, onto, self.in_channels, 'onto')
        return self.blend_in(sigmoid_gated(onto, self._logits(x)), onto)

    def attend(self, x: Tensor) -> Tensor:
        """Gate ``x`` by its context."""
        return sigmoid_gated(x, self._logits(x))

    def folded(self) -> nn.Module:
        """Give what passes on the map that is gated, if that is what the module still does."""
        return super().folded()

    def gates(self, x: Tensor, onto: Tensor | None = None) -> dict[str, Tensor]:
        """Tell the gate ``'spatial'`` (N, C, H, W), which ``x`` alone decides on."""
        return {'spatial': wide_sigmoid(self._logits(x))}

    def _logits(self, x: Tensor) -> Tensor:
        means = F.avg_pool2d(x, 7, stride=1, padding=3)  # (N, C, H, W)
        return self.conv2(self.v_conv(self.h_conv(self.conv1(means))))
