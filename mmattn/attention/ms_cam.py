"""Multi-scale channel attention."""

from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NormCfg, Positive
from mmattn.layers.sequential import SafeSequential, squeezed_channels
from mmattn.ops.gating import sigmoid_gated
from mmattn.ops.precision import in_float32, wide_mean


class Bottleneck(SafeSequential):
    """One branch: squeeze, norm, ReLU, expand, norm; on a map or on its mean.

    Args:
        in_channels: Channels of the input and of the output.
        reduction: Squeeze ratio; ``in_channels // reduction`` channels in between.
        norm_cfg: Norm layers.
        pooled: Whether the branch is the global one. Released weights count its pooling as the
            first layer, which shifts the names of the others by one.

    Raises:
        ValueError: If ``reduction`` is not within 1 and ``in_channels``.
    """

    def __init__(self, in_channels: int, reduction: int, norm_cfg: dict, pooled: bool) -> None:
        middle = squeezed_channels(in_channels, reduction)
        super().__init__(
            *([nn.Identity()] if pooled else []),
            nn.Conv2d(in_channels, middle, 1),
            build_norm_layer(norm_cfg, middle)[1],
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, in_channels, 1),
            build_norm_layer(norm_cfg, in_channels)[1],
        )


@MODELS.register_module()
class MSCAM(Attention):
    """Multi-scale channel attention: a channel gate for each position and for the whole map.

    One bottleneck of 1x1 convolutions works on the map, a second one on its mean. The sigmoid of
    their sum gates the input.

    Paper: `Attentional Feature Fusion <https://arxiv.org/abs/2009.14082>`_ (WACV 2021). Weights
    of the authors' release load as they are.

    Note:
        With one value per channel a batch norm has nothing to train on: the released code fails
        at batch 1, behind the mean. Here the norm uses its running statistics then.

    Args:
        in_channels: Channels of the input and of the output.
        reduction: Squeeze ratio; the bottlenecks have ``in_channels // reduction`` channels.
        norm_cfg: Norm layers of the bottlenecks.
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
        >>> MSCAM(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'ms_cam'

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: Positive = 4,
        norm_cfg: NormCfg = dict(type='BN'),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.local_att = Bottleneck(in_channels, reduction, norm_cfg, pooled=False)
        self.global_att = Bottleneck(in_channels, reduction, norm_cfg, pooled=True)

    def attend(self, x: Tensor) -> Tensor:
        """Gate ``x`` by position and channel."""
        return sigmoid_gated(x, *self._logits(x))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the gate ``'spatial'`` (N, C, H, W)."""
        local, pooled = self._logits(x)
        return {'spatial': (local + pooled).sigmoid()}

    def _logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give those of each position, (N, C, H, W), and those of the map, (N, C, 1, 1)."""
        pooled = wide_mean(x, (2, 3), keepdim=True)  # (N, C, 1, 1)
        return self.local_att(x), in_float32(self.global_att, pooled)
