"""Gather and excite."""

from collections import OrderedDict
from typing import Any, Literal

import torch.nn.functional as F
from mmcv.cnn import build_activation_layer, build_norm_layer
from mmengine.model import normal_init
from mmengine.registry import MODELS
from mmengine.utils import to_2tuple
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.compat import is_compiling
from mmattn.layers.blend import Start
from mmattn.layers.checks import (
    ActCfg,
    MapSide,
    NormCfg,
    Positive,
)
from mmattn.layers.sequential import SafeSequential, squeezed_channels
from mmattn.ops.coarse_gate import coarse_gate
from mmattn.ops.precision import gated, in_float32, on_map, wide_mean, wide_sigmoid


def window_means(x: Tensor, extent: int) -> Tensor:
    """Average over overlapping windows, by equation 1 of the paper.

    Args:
        x: Feature map of shape (N, C, H, W).
        extent: Distance of the windows, which are ``2 * extent - 1`` positions wide and high;
            what they cover outside of the map does not count.

    Returns:
        Means of shape (N, C, ceil(H / extent), ceil(W / extent)).
    """
    size, pad = 2 * extent - 1, extent - 1
    if not is_compiling():
        return F.avg_pool2d(x, size, extent, pad, count_include_pad=False)
    # A pooling with a stride ties the graph to the remainders of H and W by it. This is slower.
    rows = F.avg_pool2d(x, (size, 1), 1, (pad, 0), count_include_pad=False)[:, :, ::extent]
    return F.avg_pool2d(rows, (1, size), 1, (0, pad), count_include_pad=False)[..., ::extent]


@MODELS.register_module()
class GatherExcite(Attention):
    """Gather and excite: gates from the surroundings of each position, channel by channel.

    The map is gathered over ``extent`` times smaller grid cells, or over all of it; an optional
    bottleneck mixes the channels; the sigmoid of the result, spread to the map by nearest
    neighbours, gates the input.

    Paper: `Gather-Excite: Exploiting Feature Context in Convolutional Neural Networks
    <https://arxiv.org/abs/1810.12348>`_ (NeurIPS 2018). Its GE-theta- is the default and has no
    parameters, GE-theta is ``extra_params=True``, GE-theta+ is ``extra_params=True, mlp=True``.
    The names of the weights are timm's, as the authors released network definitions only.

    Note:
        As in these definitions, the parameters of the global extent are one weight per position,
        which is why ``feat_size`` is needed and other sizes are refused; and a ReLU stands between
        them and the bottleneck. Without parameters the global extent with the bottleneck is squeeze
        and excitation. The bottleneck starts from N(0, 0.01), as there. Where a batch norm sees one
        value per channel in training, it uses its running statistics. ``torch.export`` with dynamic
        sizes needs a lower bound above ``extent`` for both.

    Args:
        in_channels: Channels of the input and of the output.
        extent: Size ratio of the map and the gathered map; 2, 4, 8, or 0 for the whole map.
        extra_params: Whether to gather by depthwise convolutions (one 3x3 with stride 2 per
            halving, or one as large as the map) instead of means.
        mlp: Whether two 1x1 convolutions with a bottleneck follow.
        reduction: Squeeze ratio of the bottleneck, to ``in_channels // reduction`` channels.
        feat_size: Height and width of the map, or one number for both; read only by the global
            extent with parameters.
        norm_cfg: Norm layers of the depthwise convolutions.
        act_cfg: Activation between convolutions.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive, ``extent`` none of the four,
            ``reduction`` not within 1 and ``in_channels`` while ``mlp`` is set, or ``feat_size``
            missing where it is needed; in the forward pass, if the map has another size than
            ``feat_size`` there.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> GatherExcite(16, extent=4)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'gather_excite'

    def __init__(
        self,
        in_channels: int,
        *,
        extent: Literal[0, 2, 4, 8] = 0,
        extra_params: bool = False,
        mlp: bool = False,
        reduction: Positive = 16,
        feat_size: MapSide | tuple[MapSide, MapSide] | None = None,
        norm_cfg: NormCfg = dict(type='BN'),
        act_cfg: ActCfg = dict(type='ReLU'),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.extent = extent
        self.feat_size = None
        self.gather = None
        if extra_params:
            window: dict[str, Any] = dict(kernel_size=3, stride=2, padding=1)
            if extent == 0:
                if feat_size is None:
                    raise ValueError(
                        'expected feat_size, the size of the map, for extent 0 with extra_params, '
                        'got None; extent 8 works without'
                    )
                self.feat_size = to_2tuple(feat_size)
                window = dict(kernel_size=self.feat_size)
            layers: OrderedDict[str, nn.Module] = OrderedDict()
            halvings = max(1, extent.bit_length() - 1)
            for i in range(1, halvings + 1):
                layers[f'conv{i}'] = nn.Conv2d(
                    in_channels, in_channels, **window, groups=in_channels, bias=False
                )
                layers[f'norm{i}'] = build_norm_layer(norm_cfg, in_channels)[1]
                if i < halvings or mlp:
                    layers[f'act{i}'] = build_activation_layer(act_cfg)
            self.gather = SafeSequential(layers)
        self.mlp = None
        if mlp:
            bottleneck = squeezed_channels(in_channels, reduction)
            self.mlp = nn.Sequential(
                OrderedDict(
                    fc1=nn.Conv2d(in_channels, bottleneck, 1),
                    act=build_activation_layer(act_cfg),
                    fc2=nn.Conv2d(bottleneck, in_channels, 1),
                )
            )
            for layer in (self.mlp.fc1, self.mlp.fc2):
                normal_init(layer, std=0.01)

    def attend(self, x: Tensor) -> Tensor:
        """Gate ``x`` by its surroundings."""
        logits = self._logits(x)
        return coarse_gate(x, logits) if self.extent else gated(x, wide_sigmoid(logits))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell ``'spatial'`` (N, C, H, W), or ``'channel'`` (N, C, 1, 1) for the global extent."""
        gate = wide_sigmoid(self._logits(x))
        return (
            {'spatial': F.interpolate(gate, size=x.shape[2:])} if self.extent else {'channel': gate}
        )

    def _logits(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        if self.feat_size is not None and (h, w) != self.feat_size:
            raise ValueError(
                f'expected x of height and width {self.feat_size} (feat_size), got {(h, w)}'
            )
        if self.gather is not None:
            gathered = self.gather(x)
        elif self.extent == 0:
            gathered = wide_mean(x, (2, 3), keepdim=True)
        else:
            gathered = window_means(x, self.extent)
        if self.mlp is None:
            return gathered
        # What comes from convolutions of the map is in their type.
        apply = in_float32 if self.gather is None else on_map
        return apply(list(self.mlp), gathered)
