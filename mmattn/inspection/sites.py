"""Where a model has attention, by the names that pictures show."""

import re
from collections import Counter
from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn

from mmattn.attention.base import Attention
from mmattn.errors import InputError
from mmattn.fusion.base import Fusion
from mmattn.insertion.inserted_attention import AFTER, BEFORE
from mmattn.insertion.sites import nearest


def unwrapped(model: nn.Module) -> nn.Module:
    """Give the model itself that DDP or ``torch.compile`` has wrapped."""
    inner: Any = model
    while True:
        if hasattr(inner, '_orig_mod'):
            inner = inner._orig_mod
        elif is_model_wrapper(inner):
            inner = inner.module
        else:
            return inner


def attention_sites(model: nn.Module, pattern: str = '.*') -> dict[str, Attention | Fusion]:
    """Find the attention and fusion modules of a model.

    Args:
        model: Any model, also inside of DDP.
        pattern: Regular expression that the whole name of a module has to match: the one that is
            given here or the one in ``named_modules()``.

    Returns:
        The modules by name. ``inserted_attention`` is left out of a name and
        ``inserted_attention_before`` is ``before`` there, unless two modules had one name then.

    Raises:
        InputError: If the pattern is no regular expression, the model has no such module, or none
            of such a name.
    """
    try:
        matches = re.compile(pattern).fullmatch
    except re.error as error:
        raise InputError(f'--site {pattern!r} is no regular expression ({error})') from error
    model = unwrapped(model)
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Attention | Fusion)
    }
    if not found:
        raise InputError(
            f'{type(model).__name__} has no attention and no fusion module of mmattn, so there is '
            "nothing to draw; type='InsertAttention' in its config puts some in"
        )
    counts = Counter(map(_shown, found))
    names = {name: _shown(name) if counts[_shown(name)] == 1 else name for name in found}
    sites = {
        names[name]: module
        for name, module in found.items()
        if matches(name) or matches(names[name])
    }
    if not sites:
        raise InputError(
            f'--site {pattern!r} matches no attention and no fusion module; '
            f'{nearest(pattern, map(_shown, found))}'
        )
    return sites


def _shown(name: str) -> str:
    parts = ['before' if part == BEFORE else part for part in name.split('.') if part != AFTER]
    return '.'.join(parts) or '(the model)'


def blend_factors(model: nn.Module) -> dict[str, list[float]]:
    """Give the blend factor of every module that started as the identity, by its name.

    Zero is the host as it would be without the module, one is the module as published.

    Args:
        model: A model with attention.

    Returns:
        A list for each module: one factor, or one for each channel.
    """
    return {
        name: module.blend.detach().float().flatten().tolist()
        for name, module in attention_sites(model).items()
        if module.blend is not None
    }
