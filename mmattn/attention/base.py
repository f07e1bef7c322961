"""What every attention module has in common."""

from abc import abstractmethod
from typing import Literal

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmattn.attention.checks import Positive, check_map, checked
from mmattn.ops.precision import gated, saturate

Start = Literal['paper', 'identity']


class Blended(BaseModule):
    """Base of the modules that can start as what they change or replace.

    Args:
        in_channels: Channels of every input and of the output.
        start: ``'paper'`` starts as published. ``'identity'`` starts bit for bit as what the host
            would compute without the module: the module is blended in by a factor that starts at
            zero and trains.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If an option, of a subclass too, is not what its annotation says, see
            :func:`mmattn.attention.checks.checked`.
    """

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if '__init__' in cls.__dict__:
            cls.__init__ = checked(cls.__init__)

    @checked
    def __init__(
        self, in_channels: Positive, start: Start, init_cfg: dict | list[dict] | None
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        # No parameter under 'paper': published weights load strictly.
        blend = nn.Parameter(torch.zeros(1)) if start == 'identity' else None
        self.register_parameter('blend', blend)

    def blend_in(self, out: Tensor, plain: Tensor) -> Tensor:
        """Blend what the module computes into what the host would have without it.

        Args:
            out: Map that the module computes.
            plain: Map of the same shape that it takes the place of.

        Returns:
            ``out`` under ``start='paper'``, else ``plain`` plus a share of the difference.
        """
        if self.blend is None:
            return out
        # A difference can overflow float16 where neither map does, and infinity times zero is NaN.
        difference = saturate(out.to(plain.dtype) - plain)
        return saturate(plain + gated(difference, self.blend))

    def init_weights(self) -> None:
        """Initialize as ``init_cfg`` says; an identity start stays one whatever the host did."""
        if self.blend is not None and not self.is_init:
            nn.init.zeros_(self.blend)
        super().init_weights()


class Attention(Blended):
    """Base of the attention modules: (N, C, H, W) in, the same shape out.

    A subclass computes its paper in :meth:`attend`.
    """

    _abbr_: str
    """Prefix of the name that :func:`mmcv.cnn.build_plugin_layer` gives the module in its host."""

    def forward(self, x: Tensor) -> Tensor:
        """Attend to ``x`` of shape (N, C, H, W).

        Raises:
            ValueError: If ``x`` does not have this shape, has no row or no column, or does not
                consist of floating-point numbers.
        """
        check_map(self, x, self.in_channels)
        return self.blend_in(self.attend(x), x)

    @abstractmethod
    def attend(self, x: Tensor) -> Tensor:
        """Compute what the paper says, on (N, C, H, W)."""
