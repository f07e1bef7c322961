"""Global context block."""

from collections.abc import Sequence
from typing import Annotated, Literal

from mmengine.model import constant_init, kaiming_init
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import NOT_EMPTY, Positive
from mmattn.layers.sequential import squeezed_channels
from mmattn.ops.factor import softmax_factor
from mmattn.ops.gathered import gathered
from mmattn.ops.precision import gated, in_float32, narrowed, on_map, saturate_, wide_mean, widened

POOLINGS = ('att', 'avg')
FUSIONS = ('channel_add', 'channel_mul')


@MODELS.register_module()
class GlobalContext(Attention):
    """Global context block: one vector gathered from the whole map changes every position.

    One attention map, the same for all positions, averages the map to a vector; a bottleneck with
    layer norm transforms it, and it is added to the map, or gates its channels.

    Paper: `GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond
    <https://arxiv.org/abs/1904.11492>`_ (ICCVW 2019). The layers are those of
    :class:`mmcv.cnn.ContextBlock`: weights trained with it load as they are.

    Note:
        The last layer starts at zero, so ``start='paper'`` returns the input at first (half of it
        where the channels are gated). Under ``start='identity'`` the blend does this instead and
        the last layer starts as any other: of two zero factors neither would train.

    Args:
        in_channels: Channels of the input and of the output.
        reduction: Squeeze ratio; the bottleneck has ``in_channels // reduction`` channels. mmcv's
            ``ratio`` is one over this.
        pooling_type: ``'att'`` for the attention map, ``'avg'`` for the plain mean.
        fusion_types: How the vector meets the map: ``'channel_add'``, ``'channel_mul'`` or both.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive, ``reduction`` not within 1 and
            ``in_channels``, or a word is not one of those above.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> GlobalContext(16)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'global_context'

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: Positive = 16,
        pooling_type: Literal['att', 'avg'] = 'att',
        fusion_types: Annotated[Sequence[Literal['channel_add', 'channel_mul']], NOT_EMPTY] = (
            'channel_add',
        ),
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        middle = squeezed_channels(in_channels, reduction)
        self.conv_mask = nn.Conv2d(in_channels, 1, 1) if pooling_type == 'att' else None
        for fusion in FUSIONS:
            bottleneck = None
            if fusion in fusion_types:
                bottleneck = nn.Sequential(
                    nn.Conv2d(in_channels, middle, 1),
                    nn.LayerNorm([middle, 1, 1]),
                    nn.ReLU(inplace=True),
                    nn.Conv2d(middle, in_channels, 1),
                )
            setattr(self, f'{fusion}_conv', bottleneck)
        if self.conv_mask is not None:
            kaiming_init(self.conv_mask, mode='fan_in')
        self._zero_last()

    def attend(self, x: Tensor) -> Tensor:
        """Change every position of ``x`` by the context of all."""
        x, context = self._pool(x)
        if self.channel_mul_conv is not None:
            x = gated(x, self._channel_gate(self.channel_mul_conv, context))
        if self.channel_add_conv is not None:
            x = saturate_(x + narrowed(in_float32(self.channel_add_conv, context), x.dtype))
        return x

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell ``'attention'`` (N, 1, H, W), the map that averages, and ``'channel'`` (N, C, 1, 1).

        Either is there where its option is. What is added to the map is no gate.
        """
        found = {}
        if self.conv_mask is not None:
            found['attention'] = widened(self._mask(x, self.conv_mask))
        if self.channel_mul_conv is not None:
            found['channel'] = self._channel_gate(self.channel_mul_conv, self._pool(x)[1])
        return found

    def _channel_gate(self, bottleneck: nn.Module, context: Tensor) -> Tensor:
        return in_float32(bottleneck, context).sigmoid()

    def _pool(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give ``x`` for further use, and its context (N, C, 1, 1)."""
        if self.conv_mask is None:
            return x, wide_mean(x, (2, 3), keepdim=True)
        return gathered(x, self._mask(x, self.conv_mask))

    def _mask(self, x: Tensor, conv: nn.Module) -> Tensor:
        logits = on_map(conv, x)  # (N, 1, H, W)
        return softmax_factor(logits.flatten(2), 2, x.dtype).view_as(logits)

    def init_weights(self) -> None:
        """Initialize as ``init_cfg`` says; without it the last layer starts at zero."""
        super().init_weights()
        if not self.init_cfg:
            self._zero_last()

    def _zero_last(self) -> None:
        if self.blend is not None:
            return
        for bottleneck in (self.channel_add_conv, self.channel_mul_conv):
            if bottleneck is not None:
                constant_init(bottleneck[-1], 0)
