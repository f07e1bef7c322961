"""Strip pooling."""

from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NormCfg
from mmattn.ops.gating import sigmoid_gated
from mmattn.ops.precision import (
    in_float32,
    layer_dtype,
    narrowed,
    saturate_,
    wide_mean,
    wide_sigmoid,
)


@MODELS.register_module()
class StripPooling(Attention):
    """Strip pooling: a gate for each position from the means of its row and of its column.

    The map is averaged along each axis; each profile has its own convolution of length 3 and norm.
    Their sum over the map goes through ReLU and a 1x1 convolution, whose sigmoid is the gate.

    Paper: `Strip Pooling: Rethinking Spatial Pooling for Scene Parsing
    <https://arxiv.org/abs/2003.13328>`_ (CVPR 2020), section 3.1. Weights of ``SPBlock`` in the
    authors' release load as they are.

    Note:
        The release's block returns the gate alone and leaves the product to its host; here the
        product is the output. In training, a profile of a single value, that is one image and one
        row or column, is normalized by the running statistics.

    Args:
        in_channels: Channels of the input and of the output.
        norm_cfg: Norm layer of each profile.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> StripPooling(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'strip_pooling'

    def __init__(
        self,
        in_channels: int,
        *,
        norm_cfg: NormCfg = dict(type='BN'),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        c = in_channels
        self.conv1 = nn.Conv2d(c, c, (3, 1), padding=(1, 0), bias=False)
        self.bn1 = build_norm_layer(norm_cfg, c)[1]
        self.conv2 = nn.Conv2d(c, c, (1, 3), padding=(0, 1), bias=False)
        self.bn2 = build_norm_layer(norm_cfg, c)[1]
        self.conv3 = nn.Conv2d(c, c, 1)

    def attend(self, x: Tensor) -> Tensor:
        """Gate ``x`` by what its rows and columns hold."""
        return sigmoid_gated(x, self._logits(x))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell the gate ``'spatial'`` (N, C, H, W)."""
        return {'spatial': wide_sigmoid(self._logits(x))}

    def _logits(self, x: Tensor) -> Tensor:
        rows = in_float32([self.conv1, self.bn1], wide_mean(x, 3, keepdim=True))  # (N, C, H, 1)
        columns = in_float32([self.conv2, self.bn2], wide_mean(x, 2, keepdim=True))  # (N, C, 1, W)
        # Into the type of the next convolution, before they make a whole map.
        rows, columns = [narrowed(t, layer_dtype(self.conv3, t)) for t in (rows, columns)]
        strips = saturate_(rows + columns).relu()  # (N, C, H, W)
        return self.conv3(strips)
