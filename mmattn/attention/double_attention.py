"""Double attention."""

from functools import partial

from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import Positive
from mmattn.ops.factor import softmax_factor, tells_shares_apart
from mmattn.ops.precision import convolved, in_float32, saturate_
from mmattn.ops.received import received
from mmattn.ops.side_by_side import side_by_side


@MODELS.register_module()
class DoubleAttention(Attention):
    """Double attention: gather a few descriptors of the whole map, hand each position its mix.

    ``c_n`` attention maps, each a softmax over all positions, average the features to as many
    descriptors; each position takes their mean by its own softmax over the descriptors. A
    convolution brings the result back to the width of the input, to which it is added.

    Paper: `A^2-Nets: Double Attention Networks <https://arxiv.org/abs/1810.11579>`_ (NeurIPS
    2018).

    Note:
        There is no public release; layers have the names that public ports share. Some ports
        take the softmax over the batch and leave the addition out; ``residual=False`` leaves it
        out here. The default widths are a choice of ours.

    Args:
        in_channels: Channels of the input and of the output.
        c_m: Channels of a descriptor; None for a quarter of ``in_channels``.
        c_n: Number of descriptors; None for a quarter of ``in_channels``.
        residual: Whether the result is added to the input or returned by itself.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels``, ``c_m`` or ``c_n`` is not positive.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> DoubleAttention(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'double_attention'

    def __init__(
        self,
        in_channels: int,
        *,
        c_m: Positive | None = None,
        c_n: Positive | None = None,
        residual: bool = True,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        c_m, c_n = (max(in_channels // 4, 1) if c is None else c for c in (c_m, c_n))
        self.residual = residual
        self.convA = nn.Conv2d(in_channels, c_m, 1)
        self.convB = nn.Conv2d(in_channels, c_n, 1)
        self.convV = nn.Conv2d(in_channels, c_n, 1)
        self.conv_reconstruct = nn.Conv2d(c_m, in_channels, 1)

    def attend(self, x: Tensor) -> Tensor:
        """Gather from ``x`` and distribute."""
        maps = self._embed(x)
        enough = tells_shares_apart(maps[0].dtype, x.shape[2] * x.shape[3])
        out = _distribute(*maps) if enough else in_float32(_distribute, *maps)  # (N, c_m, H, W)
        out = convolved(self.conv_reconstruct, out)
        return saturate_(x + out) if self.residual else out

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell ``'attention'`` (N, 1, H, W): the mean weight that a position has for all.

        It reaches them through the descriptors, and sums to one.
        """
        gather = partial(in_float32, _distribute)
        return {'attention': received(gather, self._embed(x), values=0)}

    def _embed(self, x: Tensor) -> list[Tensor]:
        return side_by_side([self.convA, self.convB, self.convV], x)


def _distribute(feature: Tensor, maps: Tensor, vectors: Tensor) -> Tensor:
    """Gather one descriptor per map and give each position a mixture: (N, c_m, H, W)."""
    kind, feature, size = feature.dtype, feature.flatten(2), feature.shape[2:]
    maps = softmax_factor(maps.flatten(2), 2, kind)  # (N, c_n, H * W)
    vectors = softmax_factor(vectors.flatten(2), 1, kind)  # (N, c_n, H * W)
    # Both products average, so nothing grows beyond the features but by rounding.
    descriptors = saturate_(feature @ maps.transpose(1, 2))  # (N, c_m, c_n)
    return saturate_(descriptors @ vectors).unflatten(2, size)
