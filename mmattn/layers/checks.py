"""One check of options and maps: what a constructor annotates is what its options have to be.

An annotation says all that can be said of one option by itself, ``reduction: Positive = 16``. What
options have to be together, a divisor of the channels, say, their constructor checks.
"""

import functools
import inspect
import math
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from reprlib import Repr
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import torch
from mmcv.cnn import build_activation_layer, build_conv_layer, build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.errors import InputError


@dataclass(frozen=True)
class Must:
    """What the annotation of an option asks for beyond its type.

    Args:
        words: The demand, as it goes on behind the type in a message.
        meets: Tells whether a value of the type meets it; an error says why not.
    """

    words: str
    meets: Callable[[Any], bool]


def within(least: float, most: float) -> Must:
    """Ask for a number from ``least`` to ``most``."""
    return Must(f' from {least} to {most}', lambda value: least <= value <= most)


NOT_EMPTY = Must(' of at least one', bool)
# No network is as wide or as long; a mistaken number would ask for all memory there is.
Positive = Annotated[int, within(1, 65536)]
# Kernels, dilations and strides.
Side = Annotated[int, within(1, 255)]
MapSide = Annotated[int, within(1, 4096)]
Odd = Annotated[Side, Must(' and odd', lambda value: value % 2 == 1)]
Finite = Annotated[float, Must(' that is finite', math.isfinite)]
Factor = Annotated[float, Must(' above 0 and at most 100', lambda value: 0 < value <= 100)]
Share = Annotated[float, within(0, 1)]
# At 1, what is kept would be divided by zero.
DropRate = Annotated[float, Must(' from 0 to below 1', lambda value: 0 <= value < 1)]


def checked(init: Callable[..., None]) -> Callable[..., None]:
    """Let a constructor check its options against their annotations before it runs.

    Args:
        init: An ``__init__``. Its annotations are types, unions, literals, lists and tuples of
            such, each with the demands that ``Annotated`` adds. Any other annotation admits
            anything, and a default needs no check.

    Returns:
        The constructor that raises an :class:`InputError` for a wrong value, and for what the
        constructor itself refuses with a ValueError.
    """
    signature = inspect.signature(init)

    @functools.wraps(init)
    def check_and_run(self: object, *args: object, **kwargs: object) -> None:
        try:
            given = signature.bind(self, *args, **kwargs).arguments
        except TypeError:  # It says itself what it misses or does not know.
            given = {}
        for option, value in given.items():
            parameter = signature.parameters[option]
            if value is not parameter.default:
                check_option(type(self).__name__, option, value, parameter.annotation)
        try:
            init(self, *args, **kwargs)
        except InputError:  # Of a module within, or already named.
            raise
        except ValueError as error:
            raise InputError(f'{type(self).__name__}: {error}') from error

    return check_and_run


def check_option(module: str, option: str, value: object, kind: object) -> None:
    """Check one value.

    Args:
        module: Name of what has the option.
        option: Name of the option.
        value: Its value.
        kind: Annotation of the option, see :func:`checked`.

    Raises:
        InputError: If the value is of another kind.
    """
    reason = _misfit(kind, value)
    if reason is not None:
        raise InputError(
            f'{module}: {option} has to be {_describe(kind)}, got {_SHORT.repr(value)}'
            + (f' ({reason})' if reason else '')
        )


def check_map(module: nn.Module, x: object, channels: int, name: str = 'x') -> None:
    """Check the input of a module.

    Args:
        module: Module, for the message.
        x: What is to be a map of shape (N, C, H, W), with any N and with H, W >= 1.
        channels: C.
        name: Name of the input.

    Raises:
        ValueError: If it has another shape or does not consist of floating-point numbers.
    """
    if not isinstance(x, Tensor):
        got = type(x).__name__
    elif x.dim() != 4 or x.shape[1] != channels or x.shape[2] == 0 or x.shape[3] == 0:
        got = str(tuple(x.shape))
    elif not x.is_floating_point():
        got = f'{tuple(x.shape)} of {x.dtype}'
    else:
        return
    raise ValueError(
        f'{type(module).__name__} expected {name} of shape (N, {channels}, H, W), floating-point '
        f'and with at least one row and column, got {got}'
    )


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 100
_NOUNS: dict[object, str] = {
    int: 'a whole number',
    float: 'a number',
    bool: 'True or False',
    str: 'a string',
    dict: 'a dict',
    type(None): 'None',
}


def _describe(kind: object, demands: str = '') -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        kind, *musts = args
        return _describe(kind, demands + ''.join(must.words for must in musts))
    if origin in (Union, types.UnionType):
        return ' or '.join(map(_describe, args))
    if origin is Literal:
        *others, last = map(repr, args)
        return f'{", ".join(others)} or {last}' if others else last
    if origin is tuple:
        return f'a list of {len(args)}{demands}, each {_describe(args[0])}'
    if origin is not None and issubclass(origin, Sequence):
        return f'a list{demands}, each {_describe(args[0])}'
    return _NOUNS.get(kind, f'of type {getattr(kind, "__name__", kind)}') + demands


def _misfit(kind: object, value: object) -> str | None:
    """Tell why a value is not of a kind, in as much as there is more to say; None if it is."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        kind, *musts = args
        reason = _misfit(kind, value)
        for must in musts:
            if reason is None:
                reason = _unmet(must, value)
        return reason
    if origin in (Union, types.UnionType):
        reasons = [_misfit(part, value) for part in args]
        told = [reason for reason in reasons if reason is not None]
        return max(told, key=len) if len(told) == len(reasons) else None
    if origin is Literal:
        same = (_is_whole(value) == _is_whole(word) and value == word for word in args)
        return None if isinstance(value, str | Real) and any(same) else ''
    if origin is not None and issubclass(origin, Sequence):
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            return ''
        if origin is tuple and len(value) != len(args):
            return ''
        of_items = (_misfit(args[0], item) for item in value)
        return next((reason for reason in of_items if reason is not None), None)
    return None if _is_of(kind, value) else ''


def _is_of(kind: object, value: object) -> bool:
    """Tell whether a value is of a type; what is no type admits anything."""
    if kind is int:
        return _is_whole(value)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    if not isinstance(kind, type) or kind is inspect.Parameter.empty:
        return True
    return isinstance(value, kind)


def _unmet(must: Must, value: object) -> str | None:
    try:
        return None if must.meets(value) else ''
    except Exception as error:
        return f'{error}'.strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _registered(cfg: dict) -> Callable:
    """Look up what a config builds."""
    kind = cfg.get('type')
    if isinstance(kind, str):
        with MODELS.switch_scope_and_registry(cfg.get('_scope_')) as registry:
            found = registry.get(kind)
        if found is None:
            raise LookupError(f'type={kind!r} is not registered')
        return found
    if not callable(kind):
        raise LookupError(f'type is {kind!r}' if 'type' in cfg else "it has no 'type'")
    return kind


def works_on_maps(
    build: Callable[[dict, int], nn.Module],
    run: Callable[[nn.Module, Tensor], Tensor] = lambda layer, x: layer(x),
) -> Callable[[dict], bool]:
    """Tell whether a config is that of a layer that keeps the shape of a map.

    Layers of PyTorch, OpenMMLab's bases and this package are tried on a map without data; others
    are only looked up.

    Args:
        build: Builds the layer from its config and the number of channels.
        run: Applies it.
    """

    def meets(cfg: dict) -> bool:
        kind = _registered(cfg)
        if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
            raise LookupError(f'{kind.__name__} is no layer')
        if kind.__module__.startswith(('torch.nn.', 'mmcv.cnn.', 'mmengine.', 'mmattn.')):
            width = cfg.get('num_groups', 4)
            with torch.device('meta'):
                x = torch.empty(2, width, 3, 3)
                return run(build(cfg, width).eval(), x).shape == x.shape
        return True

    return meets


def build_norm(cfg: dict, channels: int) -> nn.Module:
    """Build a norm layer."""
    return build_norm_layer(cfg, channels)[1]


def _takes(*names: str) -> Callable[[dict], bool]:
    """Tell whether a config is that of a module that takes options of these names, too."""

    def meets(cfg: dict) -> bool:
        kind = _registered(cfg)
        if kind.__module__.startswith('torch.'):  # Activations take anything and say so later.
            raise LookupError(f'{kind.__name__} is a layer of PyTorch')
        options = {key: value for key, value in cfg.items() if key not in ('type', '_scope_')}
        inspect.signature(kind).bind(**{**options, **dict.fromkeys(names, 1)})
        return True

    return meets


def accepts(cfg: dict, option: str) -> bool:
    """Tell whether a config is that of a module with an option of this name."""
    return option in inspect.signature(_registered(cfg)).parameters


NormCfg = Annotated[
    dict,
    Must(
        " of a norm layer, such as dict(type='BN')",
        works_on_maps(build_norm),
    ),
]
ActCfg = Annotated[
    dict,
    Must(
        " of an activation, such as dict(type='ReLU')",
        works_on_maps(lambda cfg, width: build_activation_layer(cfg)),
    ),
]
ConvCfg = Annotated[
    dict,
    Must(
        " of a convolution, such as dict(type='Conv2d')",
        works_on_maps(lambda cfg, width: build_conv_layer(cfg, width, width, 1, stride=1)),
    ),
]
ModuleCfg = Annotated[
    dict, Must(" of a module, such as dict(type='CoordAtt')", _takes('in_channels'))
]
LevelModuleCfg = Annotated[
    dict,
    Must(" of a module of three levels, such as dict(type='ASFF')", _takes('in_channels', 'level')),
]
