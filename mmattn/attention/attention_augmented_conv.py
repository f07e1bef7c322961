"""Attention augmented convolution."""

from typing import Annotated

import torch
from mmengine.registry import MODELS
from mmengine.utils import to_2tuple
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import (
    Factor,
    MapSide,
    Must,
    Odd,
    Positive,
)
from mmattn.ops.dot_product import dot_product_attention
from mmattn.ops.factor import as_factor
from mmattn.ops.precision import convolved, in_float32
from mmattn.ops.received import received


@MODELS.register_module()
class AttentionAugmentedConv(Attention):
    """Attention augmented convolution: some output channels see the whole map.

    A convolution computes most of the channels. The others come from self-attention over all
    positions with several heads, which a 1x1 convolution mixes. With ``feat_size`` the attention
    also learns what it means that a position lies so many rows below and so many columns right
    of another: one vector per distance, which all heads share.

    Paper: `Attention Augmented Convolutional Networks <https://arxiv.org/abs/1904.09925>`_ (ICCV
    2019).

    Note:
        The paper uses relative positions throughout. Its tables fit one size of map, so they are
        off unless ``feat_size`` is given; the attention does not know where a position lies then.
        Smaller maps use the middle of the tables. The paper gives the widths as shares of the
        channels; each is rounded to the nearest multiple of ``num_heads``. There is no public
        release; layers and tables have the names that public ports share. The time grows with
        the square of H * W.

    Args:
        in_channels: Channels of the input and of the output.
        kernel_size: Side of the convolution, an odd number.
        num_heads: Number of attention heads.
        key_ratio: Share of ``in_channels`` that all keys together have, the paper's kappa.
        value_ratio: Share of ``in_channels`` that all values together have, the paper's upsilon:
            the channels that attention computes.
        min_key_channels: Channels that the key of one head has at least.
        feat_size: Largest height and width in pixels, one number for both or a pair; None for
            no relative positions.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is less than 2, ``kernel_size`` not odd and positive,
            ``num_heads`` not within 1 and ``in_channels - 1``, ``value_ratio`` not between 0 and
            1, ``key_ratio``, ``min_key_channels`` or ``feat_size`` not positive; later if a map
            is larger than ``feat_size``.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1, up to ``feat_size``.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> AttentionAugmentedConv(16, feat_size=(7, 8))(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'attention_augmented_conv'

    def __init__(
        self,
        in_channels: int,
        *,
        kernel_size: Odd = 3,
        num_heads: Positive = 8,
        key_ratio: Factor = 0.2,
        value_ratio: Annotated[float, Must(' between 0 and 1', lambda v: 0 < v < 1)] = 0.1,
        min_key_channels: Positive = 20,
        feat_size: MapSide | tuple[MapSide, MapSide] | None = None,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        if in_channels < 2:
            raise ValueError(
                f'expected in_channels of at least 2, one to convolve and one to attend, '
                f'got {in_channels}'
            )
        if not 1 <= num_heads < in_channels:
            raise ValueError(
                f'expected num_heads of 1 to {in_channels - 1} (in_channels - 1), got {num_heads}; '
                f'{min(max(num_heads, 1), in_channels - 1)} works'
            )
        self.num_heads = num_heads
        key = max(round(key_ratio * in_channels / num_heads), min_key_channels)
        # At least one channel is left to the convolution.
        most = (in_channels - 1) // num_heads
        value = min(max(round(value_ratio * in_channels / num_heads), 1), most)
        self.widths = [num_heads * key, num_heads * key, num_heads * value]
        attended = num_heads * value
        padding = kernel_size // 2
        self.conv_out = nn.Conv2d(in_channels, in_channels - attended, kernel_size, padding=padding)
        self.qkv_conv = nn.Conv2d(in_channels, sum(self.widths), 1)
        self.attn_out = nn.Conv2d(attended, attended, 1)
        self.feat_size = None if feat_size is None else to_2tuple(feat_size)
        if self.feat_size is not None:
            h, w = self.feat_size
            self.key_rel_h = nn.Parameter(torch.randn(2 * h - 1, key) * key**-0.5)
            self.key_rel_w = nn.Parameter(torch.randn(2 * w - 1, key) * key**-0.5)

    def attend(self, x: Tensor) -> Tensor:
        """Convolve ``x`` and attend to it, side by side."""
        attended = self._attend_to_all(self._embed(x))
        return torch.cat([convolved(self.conv_out, x), convolved(self.attn_out, attended)], dim=1)

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell ``'attention'`` (N, 1, H, W): the mean weight that a position has for all.

        The mean of all heads, which sums to one. It is that of the channels that attention
        computes; those of the convolution have none.
        """
        maps = self._embed(x).split(self.widths, dim=1)

        def gather(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            return in_float32(self._attend_to_all, torch.cat([queries, keys, values], dim=1))

        return {'attention': received(gather, maps, values=2)}

    def _embed(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        if self.feat_size is not None and (h > self.feat_size[0] or w > self.feat_size[1]):
            raise ValueError(
                f'expected a map of at most {self.feat_size} (feat_size), got {(h, w)}; '
                f'feat_size={(max(h, self.feat_size[0]), max(w, self.feat_size[1]))} works'
            )
        return convolved(self.qkv_conv, x)

    def _attend_to_all(self, qkv: Tensor) -> Tensor:
        """Average the values for each position, weighed by queries and keys: (N, V, H, W)."""
        h, w = qkv.shape[2:]
        q, k, v = [self._split_heads(t) for t in qkv.split(self.widths, dim=1)]
        n, heads, _, width = q.shape
        if self.feat_size is not None:
            q, k = self._add_positions(q, k, h, w)
        q, k, v = [t.flatten(0, 1) for t in (q, k, v)]  # (N * heads, H * W, D) each
        out = dot_product_attention(q, k, v, width**-0.5).unflatten(0, (n, heads))
        # Channels last: cat keeps this format if the convolution has it, else takes the other.
        out = out.transpose(1, 2).flatten(2).contiguous()  # (N, H * W, heads * D)
        return out.unflatten(1, (h, w)).permute(0, 3, 1, 2)

    def _split_heads(self, x: Tensor) -> Tensor:
        """Lay out (N, heads * D, H, W) as (N, heads, H * W, D)."""
        return x.flatten(2).unflatten(1, (self.num_heads, -1)).transpose(2, 3)

    def _add_positions(self, q: Tensor, k: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
        """Widen queries and keys so that their product has the relative positions in it.

        A query gets what it gives to each row and to each column of the map, a key a one at its
        own row and at its own column. No (H * W, H * W) map of logits is needed for this.
        """
        n, heads = q.shape[:2]
        to = in_float32(self._score_positions, q.unflatten(2, (h, w)))
        row, column = torch.arange(h, device=q.device), torch.arange(w, device=q.device)
        at_row = (row[:, None] == row).to(q.dtype)[:, None].expand(h, w, h)
        at_column = (column[:, None] == column).to(q.dtype).expand(h, w, w)
        at = torch.cat([at_row, at_column], dim=2).flatten(0, 1)  # (H * W, H + W)
        at = at.expand(n, heads, h * w, h + w)
        return torch.cat([q, as_factor(to, q.dtype)], dim=3), torch.cat([k, at], dim=3)

    def _score_positions(self, q: Tensor) -> Tensor:
        """Multiply queries (N, heads, H, W, D) by the tables: (N, heads, H * W, H + W)."""
        h, w = q.shape[2:4]
        table_h, table_w = self.key_rel_h.to(q.dtype), self.key_rel_w.to(q.dtype)
        to_row = torch.einsum('nayxd,yzd->nayxz', q, _distances(table_h, h))
        to_column = torch.einsum('nayxd,xzd->nayxz', q, _distances(table_w, w))
        return torch.cat([to_row, to_column], dim=4).flatten(2, 3)


def _distances(table: Tensor, length: int) -> Tensor:
    """Take the rows of a table (2 * L - 1, D) by the distance from i to j: (length, length, D)."""
    place = torch.arange(length, device=table.device)
    return table[place - place[:, None] + table.shape[0] // 2]
