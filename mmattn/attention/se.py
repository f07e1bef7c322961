"""Squeeze and excitation."""

from typing import ClassVar

from mmcv.cnn import build_activation_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import ActCfg, Positive
from mmattn.layers.sequential import squeezed_channels
from mmattn.ops.precision import gated, in_float32, wide_mean


@MODELS.register_module()
class SE(Attention):
    """Squeeze and excitation: one gate per channel, from the means of all channels.

    The map is averaged over its positions; two linear layers with a bottleneck turn the means
    into the gates.

    Paper: `Squeeze-and-Excitation Networks <https://arxiv.org/abs/1709.01507>`_ (CVPR 2018).
    Weights under ``fc.0, fc.2`` load as they are, and so do ``fc1, fc2``, whether they come from
    linear layers or from 1x1 convolutions.

    Note:
        The layers have biases, as in the authors' Caffe models. A common PyTorch port has none:
        its weights need ``bias=False``.

    Args:
        in_channels: Channels of the input and of the output.
        reduction: Squeeze ratio; the bottleneck has ``in_channels // reduction`` channels.
        bias: Whether the linear layers have biases.
        act_cfg: Activation of the bottleneck.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive or ``reduction`` not within 1 and
            ``in_channels``.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> SE(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'se'
    released_names: ClassVar[dict[str, str]] = {'fc1.': 'fc.0.', 'fc2.': 'fc.2.'}

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: Positive = 16,
        bias: bool = True,
        act_cfg: ActCfg = dict(type='ReLU'),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        bottleneck = squeezed_channels(in_channels, reduction)
        self.fc = nn.Sequential(
            nn.Linear(in_channels, bottleneck, bias=bias),
            build_activation_layer(act_cfg),
            nn.Linear(bottleneck, in_channels, bias=bias),
        )

    def attend(self, x: Tensor) -> Tensor:
        """Gate the channels of ``x``."""
        return gated(x, self._gate(x))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the gate ``'channel'`` (N, C, 1, 1)."""
        return {'channel': self._gate(x)}

    def _gate(self, x: Tensor) -> Tensor:
        means = wide_mean(x, (2, 3))  # (N, C)
        return in_float32(self.fc, means).sigmoid()[..., None, None]
