"""Multi-scale convolutional attention."""

from collections.abc import Sequence
from typing import Annotated

from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NOT_EMPTY, Odd
from mmattn.layers.init import init_by_fan_out
from mmattn.ops.gating import multiplied
from mmattn.ops.precision import convolved, saturate_, widened


@MODELS.register_module()
class MSCA(Attention):
    """Multi-scale convolutional attention: strips of several lengths make one gate.

    A 5x5 depthwise convolution gathers the neighbourhood. Pairs of a row and a column of weights,
    one pair per length, are added to it, and a 1x1 convolution mixes the channels. The input is
    multiplied by the result.

    Paper: `SegNeXt: Rethinking Convolutional Attention Design for Semantic Segmentation
    <https://arxiv.org/abs/2209.08575>`_ (NeurIPS 2022). Weights of the authors' release load as
    they are; without them it starts as the release does.

    Args:
        in_channels: Channels of the input and of the output.
        kernel_sizes: Lengths of the strips in pixels, each odd; one pair of strips per length.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive or a length is not odd and positive.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> MSCA(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'msca'

    def __init__(
        self,
        in_channels: int,
        *,
        kernel_sizes: Annotated[Sequence[Odd], NOT_EMPTY] = (7, 11, 21),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.conv0 = nn.Conv2d(in_channels, in_channels, 5, padding=2, groups=in_channels)
        self.branches = len(kernel_sizes)
        # The names of the release: conv0_1 and conv0_2 are the strips of the first length.
        for index, length in enumerate(kernel_sizes):
            half = length // 2
            row = nn.Conv2d(
                in_channels, in_channels, (1, length), padding=(0, half), groups=in_channels
            )
            column = nn.Conv2d(
                in_channels, in_channels, (length, 1), padding=(half, 0), groups=in_channels
            )
            self.add_module(f'conv{index}_1', row)
            self.add_module(f'conv{index}_2', column)
        self.conv3 = nn.Conv2d(in_channels, in_channels, 1)
        init_by_fan_out(self)

    def attend(self, x: Tensor) -> Tensor:
        """Multiply ``x`` by its multi-scale attention map."""
        return multiplied(x, self._map(x))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the map ``'spatial'`` (N, C, H, W)."""
        return {'spatial': widened(self._map(x))}

    def _map(self, x: Tensor) -> Tensor:
        near = convolved(self.conv0, x)  # (N, C, H, W)
        attention = near
        for index in range(self.branches):
            row, column = [getattr(self, f'conv{index}_{part}') for part in (1, 2)]
            # What a column lets overflow is infinite in the sum as well.
            attention = saturate_(attention + column(convolved(row, near)))
        return convolved(self.conv3, attention)
