"""Fast normalized fusion, and the node of BiFPN that is built of it."""

from typing import Annotated, ClassVar

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.fusion.base import Fusion, name_of
from mmattn.layers.blend import Start
from mmattn.layers.checks import NormCfg, within
from mmattn.layers.separable import SeparableConv
from mmattn.ops.precision import gated, saturate_, widened

NumInputs = Annotated[int, within(2, 16)]


@MODELS.register_module()
class FastNormalizedFusion(Fusion):
    """Weighted mean of maps, with one weight for each map: ``relu(w_i) / (sum relu(w_j) + 1e-4)``.

    Paper: `EfficientDet: Scalable and Efficient Object Detection
    <https://arxiv.org/abs/1911.09070>`_ (CVPR 2020).

    Note:
        It starts near the mean of the maps, not near their sum. A weight that has come to less than
        zero takes its map out, and gets no gradient any more; without any weight above zero the
        result is zero.

        The released D6 and D7 add instead, for stability: that is ``AddFusion``.

    Args:
        in_channels: Channels of all inputs and of the output.
        num_inputs: Number of maps.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.fusion.base.Fusion`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive, or ``num_inputs`` not from 2 to 16.

    Shape:
        - Inputs: ``num_inputs`` of (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> FastNormalizedFusion(16)(torch.rand(2, 16, 7, 5), torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        num_inputs: NumInputs = 2,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.num_inputs = num_inputs
        self.weights = nn.Parameter(torch.ones(num_inputs))

    def _factors(self) -> list[Tensor]:
        positive = widened(self.weights).relu()
        shares = positive / (positive.sum() + 1e-4)
        return list(shares.reshape(-1, 1, 1, 1, 1).unbind())

    def fuse(self, x: Tensor, y: Tensor, *others: Tensor) -> Tensor:
        """Take the weighted mean."""
        first, *factors = self._factors()
        out = gated(x, first)
        for i, each in enumerate((y, *others)):
            out = out + gated(each, factors[i])
        return saturate_(out)

    def gates(self, x: Tensor, y: Tensor, *others: Tensor) -> dict[str, Tensor]:
        """Tell ``'factor_of_x'``, ``'factor_of_y'`` and so on, of shape (1, 1, 1, 1)."""
        return {f'factor_of_{name_of(i)}': each for i, each in enumerate(self._factors())}


@MODELS.register_module()
class BiFPNFusion(FastNormalizedFusion):
    """Node of BiFPN: fast normalized fusion, then swish, a separable 3x3 convolution and a norm.

    Paper: `EfficientDet: Scalable and Efficient Object Detection
    <https://arxiv.org/abs/1911.09070>`_ (CVPR 2020).

    Note:
        A batch norm that trains on one value per channel uses its running statistics.

    Args:
        in_channels: Channels of all inputs and of the output.
        num_inputs: Number of maps.
        norm_cfg: Norm layer; the default is that of the release.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.fusion.base.Fusion`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive, or ``num_inputs`` not from 2 to 16.

    Shape:
        - Inputs: ``num_inputs`` of (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> BiFPNFusion(16)(torch.rand(2, 16, 7, 5), torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    convolves: ClassVar[bool] = True

    def __init__(
        self,
        in_channels: int,
        *,
        num_inputs: NumInputs = 2,
        norm_cfg: NormCfg = dict(type='BN', momentum=0.01, eps=1e-3),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, num_inputs=num_inputs, start=start, init_cfg=init_cfg)
        self.conv = SeparableConv(in_channels, norm_cfg)

    def fuse(self, x: Tensor, y: Tensor, *others: Tensor) -> Tensor:
        """Take the weighted mean and convolve it."""
        return self.conv(super().fuse(x, y, *others))
