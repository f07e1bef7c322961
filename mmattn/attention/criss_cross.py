"""Criss-cross attention."""

from functools import partial
from typing import Annotated, ClassVar

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import Positive, within
from mmattn.layers.sequential import squeezed_channels
from mmattn.ops.factor import softmax_factor
from mmattn.ops.precision import gated, in_float32, saturate_
from mmattn.ops.received import received
from mmattn.ops.side_by_side import side_by_side


@MODELS.register_module()
class CrissCross(Attention):
    """Criss-cross attention: each position gathers from its own row and column.

    One softmax over the H + W - 1 positions of the cross weighs their values; a factor that
    starts at zero scales what was gathered before it is added. Twice in a row, every position has
    reached every other.

    Paper: `CCNet: Criss-Cross Attention for Semantic Segmentation
    <https://arxiv.org/abs/1811.11721>`_ (ICCV 2019). Weights of the authors' release and of
    mmcv's ``CrissCrossAttention`` load as they are; mmcv's compiled ops are not needed.

    Note:
        The factor starts at zero, so ``start='paper'`` returns the input at first. Under
        ``start='identity'`` the blend does this instead and the factor starts at one: of two zero
        factors neither would train.

    Args:
        in_channels: Channels of the input and of the output.
        reduction: Squeeze ratio; queries and keys have ``in_channels // reduction`` channels.
        recurrence: How often the same layers are applied; the paper's network does it twice.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive, ``recurrence`` not within 1 and 100, or
            ``reduction`` not within 1 and ``in_channels``.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> CrissCross(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'criss_cross'
    released_names: ClassVar[dict[str, str]] = {'gamma.scale': 'gamma'}

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: Positive = 8,
        recurrence: Annotated[int, within(1, 100)] = 1,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        middle = squeezed_channels(in_channels, reduction)
        self.recurrence = recurrence
        self.query_conv = nn.Conv2d(in_channels, middle, 1)
        self.key_conv = nn.Conv2d(in_channels, middle, 1)
        self.value_conv = nn.Conv2d(in_channels, in_channels, 1)
        self.gamma = nn.Parameter(torch.empty(1))
        self._init_gamma()

    def attend(self, x: Tensor) -> Tensor:
        """Add to each position of ``x`` what its row and its column hold."""
        for _ in range(self.recurrence):
            x = self._step(x)
        return x

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell ``'attention'`` (N, 1, H, W): the mean weight of a position in all crosses.

        It sums to one. That of the last round has this name; ``'attention_1'`` and so on are those
        of the rounds before.
        """
        found = {}
        for i in range(1, self.recurrence + 1):
            name = 'attention' if i == self.recurrence else f'attention_{i}'
            found[name] = received(partial(in_float32, _gather), self._embed(x), values=2)
            x = self._step(x)
        return found

    def _step(self, x: Tensor) -> Tensor:
        return saturate_(x + gated(_gather(*self._embed(x)), self.gamma))

    def _embed(self, x: Tensor) -> list[Tensor]:
        return side_by_side([self.query_conv, self.key_conv, self.value_conv], x)

    def init_weights(self) -> None:
        """Initialize as ``init_cfg`` says; without it the factor starts at zero."""
        super().init_weights()
        if not self.init_cfg:
            self._init_gamma()

    def _init_gamma(self) -> None:
        nn.init.constant_(self.gamma, 0.0 if self.blend is None else 1.0)


def _gather(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Average the values of the row and the column of each position: (N, C, H, W)."""
    h, w = query.shape[2:]
    weights = softmax_factor(in_float32(_score, query, key), 3, value.dtype)
    in_column, in_row = weights.split([h, w], dim=3)
    out = torch.einsum('nhwi,nciw->nchw', in_column, value)
    return out + torch.einsum('nhwj,nchj->nchw', in_row, value)


def _score(query: Tensor, key: Tensor) -> Tensor:
    """Score the positions of each cross, first the column, then the row: (N, H, W, H + W)."""
    h = query.shape[2]
    in_column = torch.einsum('nchw,nciw->nhwi', query, key)  # (N, H, W, H)
    in_row = torch.einsum('nchw,nchj->nhwj', query, key)  # (N, H, W, W)
    # The crossing is counted once, in the row.
    crossing = torch.eye(h, dtype=torch.bool, device=query.device)[:, None]
    in_column = in_column.masked_fill(crossing, float('-inf'))
    return torch.cat([in_column, in_row], dim=3)
