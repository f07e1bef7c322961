"""Global second-order pooling."""

from typing import Annotated

from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NormCfg, Side, within
from mmattn.ops.covariance import covariance
from mmattn.ops.precision import gated, in_float32, on_map


class Covariance(nn.Module):
    """Covariance of the channels over the positions: (N, C, H, W) to (N, C, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``x``."""
        return covariance(x.flatten(2))


@MODELS.register_module()
class GSoP(Attention):
    """Global second-order pooling: one gate per channel, from the covariances of the channels.

    The map is reduced to ``att_dim`` channels; one convolution per row of their covariance matrix
    and one linear layer turn it into the gates.

    Paper: `Global Second-order Pooling Convolutional Networks
    <https://arxiv.org/abs/1811.12006>`_ (CVPR 2019). Weights of the authors' release (its channel
    attention) load as they are.

    Note:
        The release reads the map through a ReLU, and so does this. With one position the
        covariance is zero. Where a batch norm sees one value per channel in training, it uses its
        running statistics.

    Args:
        in_channels: Channels of the input and of the output.
        att_dim: Channels of the covariance matrix, at least 2; the weights grow with its square.
        stride: Stride of the reduction; the release has 2 on its largest map.
        norm_cfg: Norm layers behind the reduction and behind the covariance.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` or ``stride`` is not positive, or ``att_dim`` below 2.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> GSoP(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'gsop'

    def __init__(
        self,
        in_channels: int,
        *,
        att_dim: Annotated[int, within(2, 4096)] = 128,
        stride: Side = 1,
        norm_cfg: NormCfg = dict(type='BN'),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.conv_for_DR = nn.Conv2d(in_channels, att_dim, 1, stride)
        self.bn_for_DR = build_norm_layer(norm_cfg, att_dim)[1]
        self.covariance = Covariance()
        self.row_bn = build_norm_layer(norm_cfg, att_dim)[1]
        self.row_conv_group = nn.Conv2d(att_dim, 4 * att_dim, (att_dim, 1), groups=att_dim)
        self.fc_adapt_channels = nn.Conv2d(4 * att_dim, in_channels, 1)

    def attend(self, x: Tensor) -> Tensor:
        """Gate the channels of ``x``."""
        return gated(x, self._gate(x))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the gate ``'channel'`` (N, C, 1, 1)."""
        return {'channel': self._gate(x)}

    def _gate(self, x: Tensor) -> Tensor:
        reduced = on_map([self.conv_for_DR, self.bn_for_DR], x.relu()).relu()
        gate = self.covariance(reduced)[..., None]  # (N, att_dim, att_dim, 1)
        gate = in_float32([self.row_bn, self.row_conv_group, self.fc_adapt_channels], gate)
        return gate.sigmoid()
