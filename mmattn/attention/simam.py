"""Simple, parameter-free attention."""

from mmengine.registry import MODELS
from torch import Tensor

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import Factor
from mmattn.ops.deviation import squared_deviation
from mmattn.ops.precision import gated, in_float32


@MODELS.register_module()
class SimAM(Attention):
    """Parameter-free attention: what stands out in its channel passes.

    Each pixel is gated by its squared distance from the mean of its channel, measured against the
    channel's variance; this is the closed solution of the paper's energy function.

    Paper: `SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural Networks
    <https://proceedings.mlr.press/v139/yang21o.html>`_ (ICML 2021).

    Note:
        The variance is divided by ``H * W - 1``, as in the authors' release. Of a single pixel,
        where that is zero, the deviation is zero too and the gate is ``sigmoid(0.5)``.

    Args:
        in_channels: Channels of the input and of the output.
        e_lambda: Regularizer added to the variance.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` or ``e_lambda`` is not positive.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> SimAM(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'simam'

    def __init__(
        self,
        in_channels: int,
        *,
        e_lambda: Factor = 1e-4,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.e_lambda = e_lambda

    def attend(self, x: Tensor) -> Tensor:
        """Multiply each pixel by the sigmoid of how far it stands out."""
        return gated(x, self._gate(x))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the gate ``'spatial'`` (N, C, H, W)."""
        return {'spatial': in_float32(self._gate, x)}

    def _gate(self, x: Tensor) -> Tensor:
        return (squared_deviation(x, self.e_lambda, 4) + 0.5).sigmoid()
