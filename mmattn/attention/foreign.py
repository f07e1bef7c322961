"""Attention modules of mmcv, of timm and of whoever registers one."""

import inspect

from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.errors import InputError
from mmattn.layers.blend import Start

# What other packages call the number of channels that comes in.
CHANNELS = ('in_channels', 'channels', 'num_channels', 'in_dim', 'dim', 'embed_dims')


class ForeignAttention(Attention):
    """A module of somebody else with the same shape check and the same two starts as ours.

    Args:
        in_channels: Channels of the input and of the output.
        attention: The module.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels``.
        - Output: (N, C, H, W).
    """

    def __init__(self, in_channels: int, attention: nn.Module, *, start: Start = 'paper') -> None:
        super().__init__(in_channels, start, None)
        self.attention = attention

    def attend(self, x: Tensor) -> Tensor:
        """Apply the module.

        Raises:
            ValueError: If it changes the shape.
        """
        out = self.attention(x)
        if not isinstance(out, Tensor) or out.shape != x.shape:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(
                f'expected {type(self.attention).__name__} to keep the shape {tuple(x.shape)}, '
                f'got {got}'
            )
        return out


def build_attention(cfg: dict, in_channels: int, start: Start) -> tuple[str, Attention]:
    """Build an attention module of any package.

    Args:
        cfg: Its config, without channels.
        in_channels: Channels of the map that it acts on.
        start: ``'identity'`` or ``'paper'``.

    Returns:
        The name that mmcv would give it in a host, and the module.

    Raises:
        InputError: If it is no module that takes a number of channels.
    """
    kind = cfg['type']
    if isinstance(kind, str):
        with MODELS.switch_scope_and_registry(cfg.get('_scope_')) as registry:
            kind = registry.get(kind) or kind
    if inspect.isclass(kind) and issubclass(kind, Attention):
        return kind._abbr_, MODELS.build({'start': start, **cfg, 'in_channels': in_channels})
    if isinstance(kind, str):  # not registered: let the registry say so
        MODELS.build(cfg)
    name = next((name for name in CHANNELS if name in inspect.signature(kind).parameters), None)
    if name is None:
        raise InputError(
            f'attention {cfg["type"]!r} has none of the arguments {", ".join(CHANNELS)}; expected '
            'a module that maps (N, C, H, W) to the same shape'
        )
    attention = MODELS.build({**cfg, name: in_channels})
    if not isinstance(attention, nn.Module):
        raise InputError(f'attention {cfg["type"]!r} is a {type(attention).__name__}, no module')
    abbr = getattr(kind, '_abbr_', None) or kind.__name__.lower()
    return abbr, ForeignAttention(in_channels, attention, start=start)
