"""Global and local attention."""

from collections import OrderedDict

import torch
from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NormCfg, Odd, Positive
from mmattn.layers.sequential import SafeSequential, squeezed_channels
from mmattn.ops.precision import gated, in_float32, wide_mean


@MODELS.register_module()
class GALA(Attention):
    """Global and local attention: a gate for each channel and position, from what and where.

    A perceptron on the means rates the channels (global), convolutions rate the positions
    (local). Each channel learns how much of their sum and of their product goes into its gate.

    Paper: `Learning what and where to attend <https://arxiv.org/abs/1805.08819>`_ (ICLR 2019).

    Note:
        The authors' release is for TensorFlow 1: its weights do not load. The gate is the
        sigmoid of the release, whose models have no norm layer either, unlike its code, where
        one may stand behind the convolutions. The loss that compares the gates with human
        annotations is not part of the module.

    Args:
        in_channels: Channels of the input and of the output.
        reduction: Squeeze ratio of both branches, to ``in_channels // reduction`` channels.
        kernel_size: Kernel size of the middle convolution, odd.
        release: Whether a ReLU follows the last layer of the perceptron as well, as in the
            release, so that no channel is rated below zero; else it stands between the layers
            only, as in the paper and in squeeze and excitation.
        norm_cfg: Norm layer behind the convolutions, over the one channel they end in, or None.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive, ``reduction`` not within 1 and
            ``in_channels``, or ``kernel_size`` not odd and positive.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> GALA(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'gala'

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: Positive = 4,
        kernel_size: Odd = 5,
        release: bool = False,
        norm_cfg: NormCfg | None = None,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        bottleneck = squeezed_channels(in_channels, reduction)
        self.fc = nn.Sequential(
            nn.Linear(in_channels, bottleneck),
            nn.ReLU(inplace=True),
            nn.Linear(bottleneck, in_channels),
        )
        if release:
            self.fc.append(nn.ReLU(inplace=True))
        layers = OrderedDict(
            conv1=nn.Conv2d(in_channels, bottleneck, 1),
            act1=nn.ReLU(inplace=True),
            conv2=nn.Conv2d(bottleneck, bottleneck, kernel_size, padding=kernel_size // 2),
            act2=nn.ReLU(inplace=True),
            conv3=nn.Conv2d(bottleneck, 1, 1),
        )
        if norm_cfg is not None:
            layers['norm'] = build_norm_layer(norm_cfg, 1)[1]
        self.spatial = SafeSequential(layers)
        self.alpha = nn.Parameter(nn.init.trunc_normal_(torch.empty(in_channels)))
        self.beta = nn.Parameter(nn.init.trunc_normal_(torch.empty(in_channels)))

    def attend(self, x: Tensor) -> Tensor:
        """Gate ``x`` by channel and position."""
        return gated(x, self._gate(x))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the gate ``'spatial'`` (N, C, H, W)."""
        return {'spatial': self._gate(x)}

    def _gate(self, x: Tensor) -> Tensor:
        what = in_float32(self.fc, wide_mean(x, (2, 3)))  # (N, C)
        where = self.spatial(x)  # (N, 1, H, W)
        # alpha * (what + where) + beta * what * where, with one product of the size of the map.
        offset = self.alpha * what  # (N, C)
        slope = self.alpha + self.beta * what  # (N, C)
        return (offset[..., None, None] + slope[..., None, None] * where).sigmoid()
