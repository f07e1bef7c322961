"""Selective kernel convolution."""

from collections.abc import Sequence
from typing import Annotated

from mmcv.cnn import build_norm_layer
from mmengine.model import normal_init
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NormCfg, Positive, within
from mmattn.layers.sequential import SafeSequential
from mmattn.ops.gating import weighted_sum
from mmattn.ops.precision import in_float32, wide_mean


class KernelChoice(nn.Module):
    """How much of each branch every channel takes.

    Args:
        in_channels: Channels of a branch.
        branches: Number of branches.
        middle: Channels of the bottleneck.
        norm_cfg: Norm layer of the bottleneck.
    """

    def __init__(self, in_channels: int, branches: int, middle: int, norm_cfg: dict) -> None:
        super().__init__()
        self.branches = branches
        self.fc_reduce = nn.Conv2d(in_channels, middle, 1, bias=False)
        self.bn = build_norm_layer(norm_cfg, middle)[1]
        self.fc_select = nn.Conv2d(middle, in_channels * branches, 1, bias=False)
        for layer in (self.fc_reduce, self.fc_select):
            normal_init(layer, std=0.01)

    def forward(self, pooled: Tensor) -> Tensor:
        """Map the mean (N, C, 1, 1) of the sum to weights (N, branches, C, 1, 1) that sum to 1."""
        z = in_float32([self.fc_reduce, self.bn], pooled).relu()
        return in_float32(self.fc_select, z).unflatten(1, (self.branches, -1)).softmax(1)


@MODELS.register_module()
class SKConv(Attention):
    """Selective kernel convolution: each channel picks how large its kernel is.

    Grouped 3x3 convolutions with growing dilation see the map at several scales. A bottleneck on
    the mean of their sum gives one softmax over the scales per channel, which weighs them.

    Paper: `Selective Kernel Networks <https://arxiv.org/abs/1903.06586>`_ (CVPR 2019).

    Note:
        With fewer channels than ``groups``, each channel is a group. The norm of the bottleneck
        uses its running statistics where it would train on one value per channel. The bottleneck
        starts from N(0, 0.01), as in the release, whose norms have the momentum of the default.

    Args:
        in_channels: Channels of the input and of the output.
        branches: Number of scales, M in the paper; the kernels cover 3, 5, 7, ... pixels.
        groups: Groups of each convolution, G in the paper; at most ``in_channels`` are used.
        reduction: Squeeze ratio, r in the paper.
        min_channels: Lower bound of the bottleneck, L in the paper; it has
            ``max(in_channels // reduction, min_channels)`` channels.
        norm_cfg: Norm layers of the branches and of the bottleneck.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If a number is not positive, ``branches`` is below 2 or ``groups`` does not
            divide ``in_channels``.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> SKConv(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'sk_conv'

    def __init__(
        self,
        in_channels: int,
        *,
        branches: Annotated[int, within(2, 32)] = 2,
        groups: Positive = 32,
        reduction: Positive = 16,
        min_channels: Positive = 32,
        norm_cfg: NormCfg = dict(type='BN', momentum=0.05),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        groups = min(groups, in_channels)
        if in_channels % groups:
            divisors = [g for g in range(1, in_channels + 1) if in_channels % g == 0]
            nearest = min(divisors, key=lambda divisor: abs(divisor - groups))
            raise ValueError(
                f'expected groups that divide in_channels={in_channels}, got {groups}; '
                f'the nearest is {nearest}'
            )
        self.paths = nn.ModuleList()
        for dilation in range(1, branches + 1):
            path = SafeSequential()
            path.add_module(
                'conv',
                nn.Conv2d(
                    in_channels,
                    in_channels,
                    3,
                    padding=dilation,
                    dilation=dilation,
                    groups=groups,
                    bias=False,
                ),
            )
            path.add_module('bn', build_norm_layer(norm_cfg, in_channels)[1])
            path.add_module('act', nn.ReLU(inplace=True))
            self.paths.append(path)
        middle = max(in_channels // reduction, min_channels)
        self.attn = KernelChoice(in_channels, branches, middle, norm_cfg)

    def attend(self, x: Tensor) -> Tensor:
        """Convolve ``x`` at every scale and let each channel choose."""
        maps, weights = self._branches(x)
        return weighted_sum(maps, weights)

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the shares ``'branch_1'``, ``'branch_2'``, ... (N, C, 1, 1), small kernels first.

        Each is that of a convolution of the map, not of the map; they sum to one.
        """
        _, weights = self._branches(x)
        return {f'branch_{i}': weight for i, weight in enumerate(weights, 1)}

    def _branches(self, x: Tensor) -> tuple[list[Tensor], Sequence[Tensor]]:
        """Give the map at every scale, (N, C, H, W) each, and its weights, (N, C, 1, 1) each."""
        maps = [path(x) for path in self.paths]
        pooled = sum(wide_mean(y, (2, 3), keepdim=True) for y in maps)
        return maps, self.attn(pooled).unbind(1)
