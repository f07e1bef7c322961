"""Efficient multi-scale attention."""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import Positive
from mmattn.ops.coord_gate import coord_gate
from mmattn.ops.coord_pool import coord_pool
from mmattn.ops.gating import sigmoid_gated
from mmattn.ops.precision import in_float32, on_map, wide_mean, wide_sigmoid, widened


@MODELS.register_module()
class EMA(Attention):
    """Efficient multi-scale attention: two branches per channel group weigh each other's pixels.

    Each group of channels goes through coordinate gates with a group norm and, beside it, through
    a 3x3 convolution; all groups share the weights. The softmax of the mean of either branch
    combines the channels of the other one; the sum of both is the gate of the group.

    Paper: `Efficient Multi-Scale Attention Module with Cross-Spatial Learning
    <https://arxiv.org/abs/2305.13563>`_ (ICASSP 2023). Weights of the authors' release load as
    they are. It has nothing to do with moving averages of weights.

    Note:
        The release takes any ``in_channels`` from ``factor`` on and fails in its forward where
        they do not divide; here the constructor says so.

    Args:
        in_channels: Channels of the input and of the output, a multiple of ``factor``.
        factor: Number of channel groups.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` or ``factor`` is not positive, or the one is no multiple of
            the other.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> EMA(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    _abbr_ = 'ema'

    def __init__(
        self,
        in_channels: int,
        *,
        factor: Positive = 32,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        if in_channels % factor:
            nearest = max(factor, (in_channels + factor // 2) // factor * factor)
            raise ValueError(
                f'expected in_channels divisible by factor {factor}, got {in_channels}; '
                f'{nearest} works'
            )
        self.factor = factor
        width = in_channels // factor
        self.gn = nn.GroupNorm(width, width)
        self.conv1x1 = nn.Conv2d(width, width, 1)
        self.conv3x3 = nn.Conv2d(width, width, 3, padding=1)

    def attend(self, x: Tensor) -> Tensor:
        """Gate each channel group of ``x`` by what its two branches agree on."""
        groups = self._split(x)
        return sigmoid_gated(groups, self._logits(groups)).flatten(1, 2)

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the gate ``'spatial'`` (N, C, H, W), which the channels of a group share."""
        groups = self._split(x)
        gate = wide_sigmoid(self._logits(groups))
        return {'spatial': gate.expand_as(groups).flatten(1, 2)}

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.factor, -1))  # (N, G, C / G, H, W)

    def _logits(self, groups: Tensor) -> Tensor:
        h, w = groups.shape[3:]
        group = groups.flatten(0, 1)  # (N * G, C / G, H, W)

        rows, columns = coord_pool(group)
        profile = torch.cat([rows, columns.transpose(2, 3)], 2)  # (N * G, C / G, H + W, 1)
        rows, columns = in_float32(self.conv1x1, profile).split([h, w], 2)
        inner = coord_gate(group, rows, columns.transpose(2, 3))

        one, other = on_map(self.gn, inner), on_map(self.conv3x3, group)
        # Each channel is a group of the norm, so that its bias is its mean.
        means = widened(self.gn.bias).expand(one.shape[:2])
        logits = _combine(means, other) + _combine(wide_mean(other, (2, 3)), one)
        return logits.unflatten(0, (-1, self.factor))  # (N, G, 1, H, W)


def _combine(means: Tensor, weighed: Tensor) -> Tensor:
    """Sum the channels of one map by the softmax over the means of the other's."""
    weights = means.softmax(1).to(weighed.dtype)  # (N, C)
    return torch.einsum('nc,nchw->nhw', weights, weighed).unsqueeze(1)
