"""Split attention."""

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NormCfg, Positive
from mmattn.ops.gating import weighted_sum
from mmattn.ops.precision import gated, in_float32, on_map, wide_mean


@MODELS.register_module()
class SplitAttention(Attention):
    """Split attention: each channel weighs several versions of itself against each other.

    A grouped 3x3 convolution makes ``radix`` versions of the map. A bottleneck on the mean of
    their sum gives one softmax over the versions per channel, which weighs them.

    Paper: `ResNeSt: Split-Attention Networks <https://arxiv.org/abs/2004.08955>`_ (CVPRW 2022).
    Weights of the authors' release load as they are.

    Note:
        The norm of the bottleneck uses its running statistics where it would train on one value
        per channel, at batch 1; the release fails there.

    Args:
        in_channels: Channels of the input and of the output.
        radix: Number of versions, R in the paper. With 1 the softmax is a sigmoid.
        groups: Cardinal groups, K in the paper; each has a bottleneck of its own.
        reduction_factor: Squeeze ratio; the bottleneck has
            ``max(in_channels * radix // reduction_factor, 32)`` channels.
        norm_cfg: Norm layers of the convolution and of the bottleneck.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If a number is not positive, ``in_channels`` cannot be divided into ``radix``
            times ``groups``, or the bottleneck into ``groups``.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> SplitAttention(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'split_attention'

    def __init__(
        self,
        in_channels: int,
        *,
        radix: Positive = 2,
        groups: Positive = 1,
        reduction_factor: Positive = 4,
        norm_cfg: NormCfg = dict(type='BN'),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        if in_channels % radix:
            divisors = [r for r in range(1, in_channels + 1) if in_channels % r == 0]
            nearest = min(divisors, key=lambda divisor: abs(divisor - radix))
            raise ValueError(
                f'expected radix that divides in_channels={in_channels}, got {radix}; '
                f'the nearest is {nearest}'
            )
        middle = max(in_channels * radix // reduction_factor, 32)
        possible = [
            g for g in range(1, in_channels + 1) if in_channels % (g * radix) == middle % g == 0
        ]
        if groups not in possible:
            nearest = min(possible, key=lambda divisor: abs(divisor - groups))
            raise ValueError(
                f'expected groups that divide in_channels / radix = {in_channels // radix} and the '
                f'bottleneck of {middle}, got {groups}; the nearest is {nearest}'
            )
        self.radix = radix
        self.groups = groups
        self.conv = nn.Conv2d(
            in_channels, in_channels * radix, 3, padding=1, groups=groups * radix, bias=False
        )
        self.bn0 = build_norm_layer(norm_cfg, in_channels * radix)[1]
        self.act = nn.ReLU(inplace=True)
        self.fc1 = nn.Conv2d(in_channels, middle, 1, groups=groups)
        self.bn1 = build_norm_layer(norm_cfg, middle)[1]
        self.fc2 = nn.Conv2d(middle, in_channels * radix, 1, groups=groups)

    def attend(self, x: Tensor) -> Tensor:
        """Make the versions of ``x`` and weigh them."""
        versions, weights = self._branches(x)
        # The share of a single version is a sigmoid.
        return weighted_sum(versions, weights) if self.radix > 1 else gated(versions[0], weights[0])

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the shares ``'branch_1'``, ``'branch_2'``, ... (N, C, 1, 1).

        Each is that of a convolution of the map, not of the map; they sum to one, unless there is
        only one.
        """
        _, weights = self._branches(x)
        return {f'branch_{i}': weight for i, weight in enumerate(weights, 1)}

    def _branches(self, x: Tensor) -> tuple[Sequence[Tensor], list[Tensor]]:
        """Give the versions, (N, C, H, W) each, and their weights, (N, C, 1, 1) each."""
        versions = self.act(on_map([self.conv, self.bn0], x))  # (N, radix * C, H, W)
        means = wide_mean(versions, (2, 3), keepdim=True)
        pooled = means.unflatten(1, (self.radix, -1)).sum(1)  # (N, C, 1, 1)
        z = self.act(in_float32([self.fc1, self.bn1], pooled))
        # The channels of fc2 are sorted by group, then by version.
        logits = in_float32(self.fc2, z).unflatten(1, (self.groups, self.radix, -1))
        weights = logits.softmax(2) if self.radix > 1 else logits.sigmoid()
        weights = [w.flatten(1, 2) for w in weights.unbind(2)]
        return versions.chunk(self.radix, 1), weights
