"""Load weights with one line of what fitted, and refuse those of another network."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import print_log
from torch import Tensor, nn

from mmattn.errors import InputError
from mmattn.weights.account import (
    Account,
    is_watched,
    match,
    watch,
)
from mmattn.weights.layouts import rename_published
from mmattn.weights.sources import register_sources


def load_accounted(
    module: nn.Module,
    state_dict: dict[str, Tensor],
    *,
    source: str,
    exact: bool = False,
    only_heads_left: bool = False,
) -> Account:
    """Load weights, published ones under their published names, and log one line of what fitted.

    Args:
        module: Receiver of the weights. It is changed only if they are not refused.
        state_dict: The weights.
        source: Where they come from, for the messages.
        exact: Whether nothing may be new or left over.
        only_heads_left: Whether only heads may be left over.

    Returns:
        What fitted.

    Raises:
        InputError: If a tensor of the host is missing or of another shape, or too much is left.
    """
    account = match(module, state_dict).account()
    account.refuse(source, exact=exact, only_heads_left=only_heads_left)
    state_dict = dict(state_dict)
    rename_published(module, state_dict)
    with watch(module):
        module.load_state_dict(state_dict, strict=False)
    print_log(account.line(source), logger='current')
    return account


@contextmanager
def accounted(module: nn.Module) -> Iterator[list[Account]]:
    """Log what the body, which initializes a module, loads into it or its parts, and check it.

    However a host converts and loads its pretrained weights: there is one line for each load, and
    weights of another network are refused unless the ``init_cfg`` that names them has
    ``strict_pretrained=False``. Within another such context it does nothing.

    Args:
        module: The module.

    Yields:
        A list that is filled with one account for each load, at the end.

    Raises:
        InputError: If weights are those of another network.
    """
    accounts = []
    if is_watched():
        yield accounts
        return
    register_sources()
    lenient = _take_lenience(module)
    with watch(module) as loads:
        try:
            yield accounts
        except (AssertionError, IndexError, KeyError) as error:
            # So ends the loader of a host that finds none of the keys that it knows.
            if loads.source is None or loads:
                raise
            raise InputError(
                f'pretrained {loads.source} has nothing that the loader of this '
                f'{type(module).__name__} finds ({type(error).__name__}: {error}); check the file, '
                'prefix, and what else converts its keys'
            ) from error
    accounts += [load.account() for load in loads]
    for load, account in zip(loads, accounts, strict=True):
        source = f'pretrained {load.source}' if load.source else 'pretrained weights'
        if load.root not in lenient:
            account.refuse(
                source,
                'use weights of this architecture, or allow it by strict_pretrained=False in '
                'init_cfg',
            )
        print_log(account.line(source), logger='current')


def _take_lenience(module: nn.Module) -> set[nn.Module]:
    """Take ``strict_pretrained``, which mmengine does not know, out of the configs.

    Returns:
        The modules that may be of another architecture than their pretrained weights.
    """
    lenient = set()
    for part in module.modules():
        cfgs = getattr(part, 'init_cfg', None) or []
        for cfg in cfgs if isinstance(cfgs, list) else [cfgs]:
            if not cfg.pop('strict_pretrained', True):
                lenient.add(part)
    return lenient
