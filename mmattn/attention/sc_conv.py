"""Self-calibrated convolution."""

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NormCfg, Positive
from mmattn.layers.sequential import SafeSequential
from mmattn.ops.cells import cell_means
from mmattn.ops.factor import as_factor
from mmattn.ops.gating import sigmoid_gated
from mmattn.ops.precision import in_float32


@MODELS.register_module()
class SCConv(Attention):
    """Self-calibrated convolution: a convolution whose output is gated by a coarser view.

    The map is pooled, convolved and enlarged again; added to the map, this makes a sigmoid gate
    that weighs a convolution of the map. A last convolution follows.

    Paper: `Improving Convolutional Networks with Self-Calibrated Convolutions
    <https://mmcheng.net/scconv/>`_ (CVPR 2020). Weights of the authors' release load as they are.

    Note:
        This is the self-calibrated branch, on all channels. The blocks of the paper give it half
        of them and a plain convolution the other half. It enlarges by the nearest neighbour, as
        the release does; the paper says bilinear. Where a side of the map is shorter than
        ``pooling_r``, which the release refuses, the pool takes the whole side. A batch norm uses
        its running statistics where it would train on one value per channel. Exported with free
        sizes, it takes maps from ``2 * pooling_r`` pixels a side on.

    Args:
        in_channels: Channels of the input and of the output.
        pooling_r: Size and stride in pixels of the pooling ahead of the gate.
        norm_cfg: Norm layer behind each convolution.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` or ``pooling_r`` is not positive.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> SCConv(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'sc_conv'

    def __init__(
        self,
        in_channels: int,
        *,
        pooling_r: Positive = 4,
        norm_cfg: NormCfg = dict(type='BN'),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.pooling_r = pooling_r

        def conv() -> list[nn.Module]:
            return [
                nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False),
                build_norm_layer(norm_cfg, in_channels)[1],
            ]

        # Released weights count the pooling as the first layer of k2.
        self.k2 = SafeSequential(nn.Identity(), *conv())
        self.k3 = SafeSequential(*conv())
        self.k4 = SafeSequential(*conv())

    def attend(self, x: Tensor) -> Tensor:
        """Gate a convolution of ``x`` by a coarser view of ``x``."""
        coarse = F.interpolate(as_factor(self._coarse(x), x.dtype), size=x.shape[2:])
        # Of an infinite sum the sigmoid is zero or one.
        return self.k4(sigmoid_gated(self.k3(x), x + coarse))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the gate ``'spatial'`` (N, C, H, W) of a convolution of the map, not of the map."""
        return {'spatial': (x + F.interpolate(self._coarse(x), size=x.shape[2:])).sigmoid()}

    def _coarse(self, x: Tensor) -> Tensor:
        return in_float32(self.k2, cell_means(x, self.pooling_r))
