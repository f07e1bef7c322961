"""Attention modules of mmcv, of timm and of whoever registers one."""

import inspect
import math
from difflib import get_close_matches
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.errors import InputError
from mmattn.layers.blend import Start
from mmattn.layers.checks import Positive
from mmattn.layers.packages import import_optional
from mmattn.ops.precision import in_float32, saturate, widened

# What other packages call the number of channels that comes in.
CHANNELS = ('in_channels', 'channels', 'num_channels', 'in_dim', 'dim', 'embed_dims')

# timm has no list of its modules; these only help with a mistyped name.
TIMM_NAMES = (
    *('se', 'ese', 'eca', 'ecam', 'ceca', 'ge', 'gc', 'gca', 'cbam', 'lcbam', 'coord', 'scoord'),
    *('ela', 'strip', 'sk', 'splat', 'lambda', 'bottleneck', 'halo', 'nl', 'bat'),
)


class ForeignAttention(Attention):
    """A module of somebody else with the shape check and the two starts of ours.

    Note:
        It computes in float32 whatever the type of the map, because such modules overflow float16
        each in its own way. A batch norm that trains on one value per channel, which PyTorch
        refuses, uses its running statistics.

    Args:
        in_channels: Channels of the input and of the output.
        attention: The module.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels``.
        - Output: (N, C, H, W).
    """

    inner_name = 'attention'
    """Name of the module in here, and thus in checkpoints."""

    def __init__(
        self,
        in_channels: Positive,
        attention: nn.Module,
        *,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.add_module(self.inner_name, attention)
        for norm in attention.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.register_forward_pre_hook(rest)
                norm.register_forward_hook(resume, always_call=True)

    def attend(self, x: Tensor) -> Tensor:
        """Apply the module.

        Raises:
            ValueError: If it changes the shape.
        """
        return saturate(self._apply_inner(x).to(x.dtype))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell what the sigmoids in the module return, if it multiplies the map by that alone.

        Nothing else is known of a module of somebody else. Its output is compared with the
        product; where the two differ, or a sigmoid is no module, there are no gates. Their shapes
        name them; a second one of a kind is ``'channel_2'``.
        """
        factors: list[Tensor] = []
        sigmoids = [m for m in self.modules() if type(m).__name__.lower().endswith('sigmoid')]
        hooks = [
            sigmoid.register_forward_hook(lambda *call: factors.append(as_factor(call[-1], x)))
            for sigmoid in sigmoids
        ]
        try:
            out = self._apply_inner(x)
        finally:
            for hook in hooks:
                hook.remove()
        if not factors or not all(broadcasts(factor, x) for factor in factors):
            return {}
        if not torch.allclose(out, math.prod(factors, start=widened(x)), rtol=1e-5, atol=0):
            return {}
        found: dict[str, Tensor] = {}
        for factor in factors:
            name = kind_of(factor, x)
            number = 1 + sum(other.split('_')[0] == name for other in found)
            found[name if number == 1 else f'{name}_{number}'] = factor
        return found

    def _apply_inner(self, x: Tensor) -> Tensor:
        attention = getattr(self, self.inner_name)
        out = in_float32(attention, x)
        if not isinstance(out, Tensor) or out.shape != x.shape:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(
                f'expected {type(attention).__name__} to keep the shape {tuple(x.shape)}, got {got}'
            )
        return out


def as_factor(gate: Tensor, x: Tensor) -> Tensor:
    """Copy a gate; one number per channel, in whatever shape, becomes (N, C, 1, 1)."""
    n, c = x.shape[:2]
    per_channel = gate.dim() != 4 and gate.numel() == n * c
    return gate.reshape(n, c, 1, 1).clone() if per_channel else gate.clone()


def broadcasts(factor: Tensor, x: Tensor) -> bool:
    """Tell whether each side of a factor of (N, C, H, W) is that of the map or one."""
    sides = zip(factor.shape, x.shape, strict=False)
    return factor.dim() == 4 and all(side in (1, whole) for side, whole in sides)


def kind_of(factor: Tensor, x: Tensor) -> str:
    """Name a factor by its shape."""
    _, c, h, w = factor.shape
    if c != x.shape[1] or (h > 1 and w > 1):
        return 'spatial'
    return 'rows' if h > 1 else 'columns' if w > 1 else 'channel'


@MODELS.register_module()
class TimmAttention(ForeignAttention):
    """Any attention module of timm, by the name that timm gives it.

    timm builds it with its own defaults and names its weights; here it gets the same shape check
    and the same two starts as the others. timm is imported when the first one is built.

    See `timm.layers.create_attn <https://github.com/huggingface/pytorch-image-models>`_.

    Note:
        It computes in float32, and norms rest on one value, see :class:`ForeignAttention`.

    Args:
        in_channels: Channels of the input and of the output.
        name: Name for ``timm.layers.create_attn``, such as ``'se'``, ``'eca'`` or ``'cbam'``.
        options: Further arguments of timm's module, in its own words.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        MissingPackage: If timm is not installed.
        ValueError: If ``in_channels`` is not positive, timm does not know ``name``, or its module
            changes the shape.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels``.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> TimmAttention(16, name='eca')(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'timm_attention'
    inner_name = 'attn'

    def __init__(
        self,
        in_channels: Positive,
        *,
        name: str = 'cbam',
        options: dict | None = None,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        module = timm_module(name)
        try:
            attention = module(in_channels, **(options or {}))
        except TypeError as error:
            raise InputError(
                f'TimmAttention: options {options} do not fit {name}: {error}'
            ) from error
        super().__init__(in_channels, attention, start=start, init_cfg=init_cfg)


def timm_module(name: str) -> type[nn.Module]:
    """Look up a module of timm.

    Raises:
        MissingPackage: If timm is not installed.
        ValueError: If it does not know the name.
    """
    get_attn = import_optional('timm.layers', 'TimmAttention').get_attn
    try:
        found = get_attn(name) if isinstance(name, str) else None
    except AssertionError:
        found = None
    if found is None:
        near = get_close_matches(str(name), TIMM_NAMES, cutoff=0.4) or TIMM_NAMES
        raise ValueError(
            f'expected a name that timm knows, such as {", ".join(near)}; got {name!r}'
        )
    return found


def rest(norm: Any, args: tuple[Tensor, ...]) -> None:
    """Let a batch norm that would train on one value per channel use its running statistics."""
    x = args[0]
    if norm.training and norm.running_mean is not None and x.numel() == x.shape[1]:
        norm.training = False
        norm.rests = True


def resume(norm: Any, args: tuple[Tensor, ...], out: Tensor | None) -> None:
    """Undo :func:`rest`."""
    if getattr(norm, 'rests', False):
        norm.training = True
        norm.rests = False


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
