"""Spatial and channel synergistic attention."""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import Odd, Positive, Side
from mmattn.ops.cells import whole_cells
from mmattn.ops.coord_gate import coord_gate
from mmattn.ops.coord_pool import coord_pool
from mmattn.ops.precision import gated, in_float32, wide_mean


@MODELS.register_module()
class SCSA(Attention):
    """Spatial and channel synergistic attention: rows and columns guide a gate of channels.

    The means of the rows and those of the columns pass four short convolutions, one for each
    quarter of the channels, which both share; a group norm each turns them into one gate per row
    and one per column. Of the gated map, pooled by windows, the channels attend to one another,
    and the mean of what they gather gates them.

    Paper: `SCSA: Exploring the Synergistic Effects Between Spatial and Channel Attention
    <https://arxiv.org/abs/2407.05128>`_ (Neurocomputing 2025). The layers have the names of the
    authors' release. Its networks have one head in every block.

    Note:
        As released, what is left over of a map that is no multiple of the window does not take part
        in the pooling. The release fails below a side of ``window_size`` pixels; here the window
        has all pixels of such a side. The softmax compares all channels of a head with each other:
        its matrix has ``(in_channels / num_heads) ** 2`` numbers for each head.

    Args:
        in_channels: Channels of the input and of the output, a multiple of 4 and of ``num_heads``.
        num_heads: Heads of the attention among channels.
        window_size: Side in pixels of the windows that are pooled; None to pool the whole map.
        kernel_sizes: Length of the convolution of each quarter of the channels, each odd.
        qkv_bias: Whether queries, keys and values have a bias.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is no positive multiple of 4 and of ``num_heads``, or another
            number is not positive, or a kernel size is even.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> SCSA(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'scsa'

    def __init__(
        self,
        in_channels: int,
        *,
        num_heads: Positive = 1,
        window_size: Side | None = 7,
        kernel_sizes: tuple[Odd, Odd, Odd, Odd] = (3, 5, 7, 9),
        qkv_bias: bool = False,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        if in_channels % 4:
            raise ValueError(
                f'expected in_channels divisible by 4, got {in_channels}; '
                f'{max(4, (in_channels + 2) // 4 * 4)} works'
            )
        if in_channels % num_heads:
            heads = max(d for d in range(1, num_heads) if in_channels % d == 0)
            raise ValueError(
                f'expected num_heads that divides in_channels {in_channels}, got {num_heads}; '
                f'{heads} works'
            )
        self.num_heads = num_heads
        self.window_size = window_size
        quarter = in_channels // 4

        def profile_conv(length: int) -> nn.Conv1d:
            return nn.Conv1d(quarter, quarter, length, padding=length // 2, groups=quarter)

        def scale() -> nn.Conv2d:
            return nn.Conv2d(in_channels, in_channels, 1, groups=in_channels, bias=qkv_bias)

        self.local_dwc = profile_conv(kernel_sizes[0])
        self.global_dwc_s = profile_conv(kernel_sizes[1])
        self.global_dwc_m = profile_conv(kernel_sizes[2])
        self.global_dwc_l = profile_conv(kernel_sizes[3])
        self.norm_h = nn.GroupNorm(4, in_channels)
        self.norm_w = nn.GroupNorm(4, in_channels)
        self.norm = nn.GroupNorm(1, in_channels)
        self.q, self.k, self.v = scale(), scale(), scale()

    def attend(self, x: Tensor) -> Tensor:
        """Gate the rows and columns of ``x``, then its channels."""
        inner = coord_gate(x, *self._logits(x))
        return gated(inner, self._channel_gate(inner))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell ``'rows'`` (N, C, H, 1), ``'columns'`` (N, C, 1, W), ``'channel'`` (N, C, 1, 1)."""
        a_h, a_w = self._logits(x)
        channel = self._channel_gate(coord_gate(x, a_h, a_w))
        return {'rows': a_h.sigmoid(), 'columns': a_w.sigmoid(), 'channel': channel}

    def _logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows, columns = coord_pool(x)  # (N, C, H, 1), (N, C, 1, W)
        a_h = in_float32(self.norm_h, self._along(rows.squeeze(3)))
        a_w = in_float32(self.norm_w, self._along(columns.squeeze(2)))
        return a_h.unsqueeze(3), a_w.unsqueeze(2)

    def _along(self, profile: Tensor) -> Tensor:
        """Convolve each quarter of a profile (N, C, L) by its own length."""
        convs = self.local_dwc, self.global_dwc_s, self.global_dwc_m, self.global_dwc_l
        quarters = profile.chunk(4, dim=1)
        return torch.cat([in_float32(conv, quarters[i]) for i, conv in enumerate(convs)], 1)

    def _channel_gate(self, x: Tensor) -> Tensor:
        if self.window_size is None:
            whole = wide_mean(x, (2, 3))[..., None]
            return in_float32(self._gather, whole, whole.new_ones(1)).sigmoid()
        return in_float32(self._gather, *whole_cells(x, self.window_size)).sigmoid()

    def _gather(self, y: Tensor, inside: Tensor) -> Tensor:
        """Average for each channel what the channels of its head are worth: (N, C, 1, 1).

        Args:
            y: Means of the windows, (N, C, windows).
            inside: 1 for each window that counts, (windows,); else 0.
        """
        count = inside.sum()
        y = self._normed(y, inside / count)[..., None]
        q, k, v = [
            (in_float32(layer, y).squeeze(3) * inside).unflatten(1, (self.num_heads, -1))
            for layer in (self.q, self.k, self.v)
        ]  # (N, heads, D, windows)
        pairs = (q * q.shape[2] ** -0.5) @ k.transpose(2, 3)  # (N, heads, D, D)
        # The product is linear: the mean over all windows comes first.
        means = pairs.softmax(3) @ (v.sum(3, keepdim=True) / count)
        return means.flatten(1, 2).unsqueeze(3)

    def _normed(self, y: Tensor, shares: Tensor) -> Tensor:
        """Apply the group norm of one group, whose statistics each window has a share in."""
        mean = (y * shares).sum(2, keepdim=True).mean(1, keepdim=True)
        off = y - mean
        variance = (off.square() * shares).sum(2, keepdim=True).mean(1, keepdim=True)
        scaled = off * (variance + self.norm.eps).rsqrt()
        return scaled * self.norm.weight[:, None] + self.norm.bias[:, None]
