"""Non-local block."""

from collections import OrderedDict
from typing import Any, Literal

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import constant_init, normal_init
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NormCfg, Positive
from mmattn.layers.sequential import SafeSequential, squeezed_channels
from mmattn.ops.dot_product import dot_product_attention
from mmattn.ops.precision import in_float32, saturate
from mmattn.ops.received import received


@MODELS.register_module()
class NonLocal(Attention):
    """Non-local block: each position adds what it gathers from all the others.

    The values of all positions are averaged with weights that two positions give each other, and
    a convolution brings the average back to the width of the input, to which it is added.

    Paper: `Non-local Neural Networks <https://arxiv.org/abs/1711.07971>`_ (CVPR 2018). The layers
    are those of :class:`mmcv.cnn.NonLocal2d`: weights trained with it load as they are.

    Note:
        The similarity of the embedded Gaussian is divided by the root of its width, as in the
        authors' release; ``use_scale=False`` leaves that out, as the paper's equation does. The
        last layer starts at zero, so ``start='paper'`` returns the input at first. Under
        ``start='identity'`` the blend does this instead and the last layer starts as any other:
        of two zero factors neither would train.

    Args:
        in_channels: Channels of the input and of the output.
        reduction: Squeeze ratio; the embeddings have ``in_channels // reduction`` channels.
        mode: How two positions compare: ``'gaussian'``, ``'embedded_gaussian'``,
            ``'dot_product'`` or ``'concatenation'``.
        use_scale: Whether the embedded Gaussian is scaled.
        sub_sample: Whether the positions that are compared with come from a 2x2 max pooling; a
            side of one pixel is not pooled.
        norm_cfg: Norm layer behind the last convolution, or None.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive, ``reduction`` not within 1 and
            ``in_channels``, or ``mode`` none of the four words.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> NonLocal(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'non_local'

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: Positive = 2,
        mode: Literal[
            'gaussian', 'embedded_gaussian', 'dot_product', 'concatenation'
        ] = 'embedded_gaussian',
        use_scale: bool = True,
        sub_sample: bool = False,
        norm_cfg: NormCfg | None = None,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        middle = squeezed_channels(in_channels, reduction)
        self.mode = mode
        self.use_scale = use_scale
        self.sub_sample = sub_sample
        self.g = embedding(in_channels, middle)
        self.conv_out = embedding(middle, in_channels, norm_cfg)
        if mode != 'gaussian':
            self.theta = embedding(in_channels, middle)
            self.phi = embedding(in_channels, middle)
        if mode == 'concatenation':
            self.concat_project: Any = nn.Sequential(
                OrderedDict(conv=nn.Conv2d(2 * middle, 1, 1, bias=False))
            )
        if sub_sample:
            # mmcv keeps its pooling in one more sequence, which names the layers.
            self.g = nn.Sequential(self.g)
            if mode != 'gaussian':
                self.phi = nn.Sequential(self.phi)
        self._init_layers()

    def attend(self, x: Tensor) -> Tensor:
        """Add to each position of ``x`` what it gathers."""
        n, _, h, w = x.shape
        theta, phi, g = self._embed(x)
        y = self._gather_rows(theta, phi, g)
        y = y.transpose(1, 2).reshape(n, g.shape[1], h, w)
        return saturate(x + self.conv_out(y))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell ``'attention'`` (N, 1, H, W): the mean weight that a position has for all.

        It sums to one in the two modes of a Gaussian. Where positions are pooled, each channel
        of a cell counts for the pixel that it comes from.
        """
        return {'attention': received(self._gather_rows, self._embed(x), values=2)}

    def _embed(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        g = self.g(x)
        theta, phi = (x, x) if self.mode == 'gaussian' else (self.theta(x), self.phi(x))
        return theta, phi, g

    def _gather_rows(self, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
        maps = rows(theta), rows(self._pool(phi)), rows(self._pool(g))
        if self.mode == 'embedded_gaussian':
            return dot_product_attention(*maps, scale=None if self.use_scale else 1.0)
        return in_float32(self._gather, *maps)

    def _pool(self, x: Tensor) -> Tensor:
        if not self.sub_sample:
            return x
        h, w = x.shape[2:]
        return F.max_pool2d(x, (min(h, 2), min(w, 2)))

    def _gather(self, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
        """Average ``g`` (N, K, M) for each row of ``theta`` (N, L, M), weighed by ``phi``."""
        if self.mode == 'dot_product':
            # The product is linear: the two small matrices first, never (L, K).
            return theta @ (phi.transpose(1, 2) @ g) / g.shape[1]
        if self.mode == 'concatenation':
            weight = self.concat_project.conv.weight.flatten(1).to(g.dtype)  # (1, 2M)
            ours, theirs = weight.split(theta.shape[2], dim=1)
            pairs = (theta @ ours.t() + (phi @ theirs.t()).transpose(1, 2)).relu()  # (N, L, K)
            return pairs @ g / g.shape[1]
        return dot_product_attention(theta, phi, g, scale=1.0)

    def init_weights(self) -> None:
        """Initialize as ``init_cfg`` says; without it the last layer starts at zero."""
        super().init_weights()
        if not self.init_cfg:
            self._init_layers()

    def _init_layers(self) -> None:
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Conv2d) and not name.startswith(('conv_out', 'concat_project')):
                normal_init(layer, std=0.01)
        if self.blend is None:
            constant_init(self.conv_out[-1], 0)


def embedding(in_channels: int, out_channels: int, norm_cfg: dict | None = None) -> nn.Sequential:
    """Build a 1x1 convolution and its norm under the names that mmcv gives them."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(in_channels, out_channels, 1, bias=norm_cfg is None)
    )
    if norm_cfg is not None:
        name, norm = build_norm_layer(norm_cfg, out_channels)
        layers[name] = norm
    return SafeSequential(layers)


def rows(x: Tensor) -> Tensor:
    """Lay out a map (N, C, H, W) as one row per position (N, H * W, C)."""
    return x.flatten(2).transpose(1, 2)
