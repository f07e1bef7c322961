"""Modules that can start as what they change or replace."""

from typing import ClassVar, Literal

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmattn.layers.checks import Positive, checked
from mmattn.ops.precision import gated, narrowed, saturate

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
            :func:`mmattn.layers.checks.checked`.
    """

    role = 'attention'
    """What it is to the network around it, for whoever reports on weights."""

    released_names: ClassVar[dict[str, str]] = {}
    """What keys of a release begin with, each with what they begin with here. The tensors may have
    fewer or more axes of length one at their ends, as weights of linear layers for 1x1
    convolutions do."""

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if '__init__' in cls.__dict__:
            cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]

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
            out: Map that the module computes, in the type of ``plain`` or wider.
            plain: Map of the same shape that it takes the place of.

        Returns:
            ``out`` under ``start='paper'``, else ``plain`` plus a share of the difference, in the
            type of ``plain``.
        """
        out = narrowed(out, plain.dtype)
        if self.blend is None:
            return out
        # A difference can overflow float16 where neither map does, and infinity times zero is NaN.
        difference = saturate(out - plain)
        return saturate(plain + gated(difference, self.blend))

    @property
    def is_idle(self) -> bool:
        """Whether it is bit for bit what it changes or replaces, as an identity start is."""
        return self.blend is not None and not self.blend.any()

    def init_weights(self) -> None:
        """Initialize as ``init_cfg`` says; an identity start stays one whatever the host did."""
        if self.blend is not None and not self.is_init:
            nn.init.zeros_(self.blend)
        super().init_weights()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        for released, ours in self.released_names.items():
            for key in [key for key in state_dict if key.startswith(prefix + released)]:
                name = ours + key.removeprefix(prefix + released)
                state_dict[prefix + name] = state_dict.pop(key)
        if self.released_names:
            for name, parameter in self.named_parameters(prefix.removesuffix('.')):
                if name in state_dict:
                    state_dict[name] = _as_long(state_dict[name], parameter.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _as_long(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Give a tensor a shape if only axes of length one at the end differ."""
    axes = min(tensor.dim(), len(shape))
    rest = (*tensor.shape[axes:], *shape[axes:])
    fits = tensor.shape[:axes] == shape[:axes] and all(length == 1 for length in rest)
    return tensor.reshape(shape) if fits else tensor
