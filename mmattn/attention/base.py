"""What every attention module has in common."""

from abc import abstractmethod
from typing import Literal

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

Start = Literal['paper', 'identity']


class Attention(BaseModule):
    """Base of the attention modules: (N, C, H, W) in, the same shape out, and how it starts.

    A subclass computes its paper in :meth:`attend`.

    Args:
        in_channels: Channels of the input and of the output.
        start: ``'paper'`` starts as published. ``'identity'`` returns the input bit for bit at
            first: the module is blended in by a factor that starts at zero and trains.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``in_channels`` is not positive or ``start`` is neither word.
    """

    _abbr_: str
    """Prefix of the name that :func:`mmcv.cnn.build_plugin_layer` gives the module in its host."""

    def __init__(self, in_channels: int, start: Start, init_cfg: dict | list[dict] | None) -> None:
        super().__init__(init_cfg)
        if in_channels < 1:
            raise ValueError(f'expected in_channels of at least 1, got {in_channels}')
        if start not in ('paper', 'identity'):
            raise ValueError(f"expected start 'paper' or 'identity', got {start!r}")
        self.in_channels = in_channels
        # No parameter under 'paper': published weights load strictly.
        self.register_parameter(
            'blend', nn.Parameter(torch.zeros(1)) if start == 'identity' else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Attend to ``x`` of shape (N, C, H, W).

        Raises:
            ValueError: If ``x`` does not have this shape.
        """
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f'{type(self).__name__} expected x of shape (N, {self.in_channels}, H, W), '
                f'got {tuple(x.shape)}'
            )
        out = self.attend(x)
        return out if self.blend is None else x + self.blend.to(x.dtype) * (out - x)

    @abstractmethod
    def attend(self, x: Tensor) -> Tensor:
        """Compute what the paper says, on (N, C, H, W)."""

    def init_weights(self) -> None:
        """Initialize as ``init_cfg`` says; an identity start stays one whatever the host did."""
        super().init_weights()
        if self.blend is not None:
            nn.init.zeros_(self.blend)
