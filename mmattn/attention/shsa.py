"""Single-head self-attention."""

from collections import OrderedDict

import torch
from mmcv.cnn import build_norm_layer
from mmengine.model import constant_init
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NormCfg, Positive
from mmattn.layers.sequential import SafeSequential
from mmattn.ops.dot_product import dot_product_attention
from mmattn.ops.precision import on_map
from mmattn.ops.received import received


@MODELS.register_module()
class SHSA(Attention):
    """Single-head self-attention: some of the channels see the whole map, one layer mixes all.

    The first channels are normed and attend, by a single head, to all positions. The other channels
    join them as they are; a ReLU, a 1x1 convolution and its norm give the output.

    Paper: `SHViT: Single-Head Vision Transformer with Memory Efficient Macro Design
    <https://arxiv.org/abs/2401.16456>`_ (CVPR 2024). Weights of the authors' release load as they
    are.

    Note:
        Nothing is added to the output: in SHViT it joins the residual of its block. The last norm
        starts at zero there, and so does the output under ``start='paper'``: made to be added to
        the map. In a place where the map itself passes through, ``start='identity'`` is what to
        use; its blend does this instead, and the last norm starts at one. The time grows with the
        square of H * W: the release has the module at strides of 32 and 64. In training, a batch
        norm that sees a single value, such as one image of one pixel, uses its running statistics.

    Args:
        in_channels: Channels of the input and of the output.
        qk_channels: Channels of queries and of keys.
        partial_channels: Channels that attend, at most ``in_channels``; None for three
            fourteenths of them, rounded down, as all SHViT have.
        norm_cfg: Norm layers behind the convolutions.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If a number is not positive, or ``partial_channels`` above ``in_channels``.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> SHSA(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'shsa'

    def __init__(
        self,
        in_channels: int,
        *,
        qk_channels: Positive = 16,
        partial_channels: Positive | None = None,
        norm_cfg: NormCfg = dict(type='BN'),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        if partial_channels is None:
            partial_channels = max(1, in_channels * 3 // 14)
        if partial_channels > in_channels:
            raise ValueError(
                f'expected partial_channels of 1 to {in_channels} (in_channels), '
                f'got {partial_channels}; {in_channels} works'
            )
        self.widths = [qk_channels, qk_channels, partial_channels]

        def conv_norm(in_channels: int, out_channels: int) -> nn.Sequential:
            conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            norm = build_norm_layer(norm_cfg, out_channels)[1]
            return SafeSequential(OrderedDict(c=conv, bn=norm))

        self.pre_norm = nn.GroupNorm(1, partial_channels)
        self.qkv = conv_norm(partial_channels, sum(self.widths))
        self.proj = SafeSequential(nn.ReLU(), conv_norm(in_channels, in_channels))
        self._init_last_norm()

    def attend(self, x: Tensor) -> Tensor:
        """Attend by the first channels of ``x``, and mix them with the others."""
        partial = self.widths[2]
        attended = gather(*self._embed(x))
        return self.proj(torch.cat([attended, x[:, partial:]], 1))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell ``'attention'`` (N, 1, H, W): the mean weight that a position has for all.

        It sums to one. It is that of the channels that attend; the others have none.
        """
        return {'attention': received(gather, self._embed(x), values=2)}

    def _embed(self, x: Tensor) -> tuple[Tensor, ...]:
        normed = on_map(self.pre_norm, x[:, : self.widths[2]])
        return self.qkv(normed).split(self.widths, dim=1)

    def init_weights(self) -> None:
        """Initialize as ``init_cfg`` says; without it the last norm starts at zero."""
        super().init_weights()
        if not self.init_cfg:
            self._init_last_norm()

    def _init_last_norm(self) -> None:
        if self.blend is None:
            constant_init(self.proj[1].bn, 0)


def gather(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Average the values of all positions for each one: (N, V, H, W)."""
    h, w = v.shape[2:]
    q, k, v = [x.flatten(2).transpose(1, 2) for x in (q, k, v)]  # (N, H * W, width) each
    # Channels last: cat keeps this format if the other channels have it, else takes theirs.
    out = dot_product_attention(q, k, v).contiguous()
    return out.unflatten(1, (h, w)).permute(0, 3, 1, 2)
