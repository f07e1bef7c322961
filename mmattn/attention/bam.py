"""Bottleneck attention."""

from collections import OrderedDict

from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NormCfg, Positive, Side
from mmattn.layers.sequential import SafeSequential, squeezed_channels
from mmattn.ops.gating import multiplied, sigmoid_gated
from mmattn.ops.precision import in_float32, narrowed, wide_mean, widened


class ChannelGate(nn.Module):
    """Logits of one gate per channel, by a perceptron on the means.

    Args:
        in_channels: Channels of the map.
        bottleneck: Channels of the hidden layer.
        norm_cfg: Norm layer of the hidden layer.
    """

    def __init__(self, in_channels: int, bottleneck: int, norm_cfg: dict) -> None:
        super().__init__()
        self.gate_c = SafeSequential(
            OrderedDict(
                gate_c_fc_0=nn.Linear(in_channels, bottleneck),
                # From here on as maps of one pixel, for norms that do not take vectors.
                as_map=nn.Unflatten(1, (bottleneck, 1, 1)),
                gate_c_bn_1=build_norm_layer(norm_cfg, bottleneck)[1],
                gate_c_relu_1=nn.ReLU(inplace=True),
                as_vector=nn.Flatten(),
                gate_c_fc_final=nn.Linear(bottleneck, in_channels),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, 1, 1), in float32 at least."""
        return in_float32(self.gate_c, wide_mean(x, (2, 3)))[..., None, None]


class SpatialGate(nn.Module):
    """Logits of one gate per position, by dilated convolutions.

    Args:
        in_channels: Channels of the map.
        bottleneck: Channels of the dilated convolutions.
        dilation: Their dilation.
        norm_cfg: Norm layers behind all convolutions but the last.
    """

    def __init__(self, in_channels: int, bottleneck: int, dilation: int, norm_cfg: dict) -> None:
        super().__init__()
        layers = OrderedDict(
            gate_s_conv_reduce0=nn.Conv2d(in_channels, bottleneck, 1),
            gate_s_bn_reduce0=build_norm_layer(norm_cfg, bottleneck)[1],
            gate_s_relu_reduce0=nn.ReLU(inplace=True),
        )
        for i in range(2):
            layers[f'gate_s_conv_di_{i}'] = nn.Conv2d(
                bottleneck, bottleneck, 3, padding=dilation, dilation=dilation
            )
            layers[f'gate_s_bn_di_{i}'] = build_norm_layer(norm_cfg, bottleneck)[1]
            layers[f'gate_s_relu_di_{i}'] = nn.ReLU(inplace=True)
        layers['gate_s_conv_final'] = nn.Conv2d(bottleneck, 1, 1)
        self.gate_s = SafeSequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, 1, H, W)."""
        return self.gate_s(x)


@MODELS.register_module()
class BAM(Attention):
    """Bottleneck attention: a gate for each channel and position, from two branches side by side.

    A perceptron on the means rates the channels, dilated convolutions rate the positions. The
    input is multiplied by one plus the sigmoid of the product of both.

    Paper: `BAM: Bottleneck Attention Module <https://arxiv.org/abs/1807.06514>`_ (BMVC 2018).
    Weights of the authors' release load as they are.

    Note:
        This is the released form. The paper adds the branches instead of multiplying them, and
        normalizes what each of them returns. The release pools square maps only; here any H and W
        will do. Where a batch norm sees one value per channel in training (in the channel branch
        at batch 1, where the release fails), it uses its running statistics.

    Args:
        in_channels: Channels of the input and of the output.
        reduction: Squeeze ratio of both branches, to ``in_channels // reduction`` channels.
        dilation: Dilation of the two 3x3 convolutions.
        norm_cfg: Norm layers of both branches.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` or ``dilation`` is not positive, or ``reduction`` not
            within 1 and ``in_channels``.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> BAM(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'bam'

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: Positive = 16,
        dilation: Side = 4,
        norm_cfg: NormCfg = dict(type='BN'),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        bottleneck = squeezed_channels(in_channels, reduction)
        self.channel_att = ChannelGate(in_channels, bottleneck, norm_cfg)
        self.spatial_att = SpatialGate(in_channels, bottleneck, dilation, norm_cfg)

    def attend(self, x: Tensor) -> Tensor:
        """Strengthen ``x`` by one to two times."""
        channel, spatial = self.channel_att(x), self.spatial_att(x)
        # A logit of ten that is rounded moves a factor between one and two less than its own
        # rounding does.
        logits = multiplied(narrowed(channel, x.dtype), spatial)
        return sigmoid_gated(x, logits, residual=True)

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the factor ``'spatial'`` (N, C, H, W), from 1 to 2, of both branches together."""
        return {'spatial': 1 + (self.channel_att(x) * widened(self.spatial_att(x))).sigmoid()}
