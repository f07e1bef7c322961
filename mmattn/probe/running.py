"""Which module of a model is running."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import nn


@contextmanager
def follow(model: nn.Module) -> Iterator[list[str]]:
    """Follow the modules of a model, through calls of a module and of its ``forward`` alike.

    Hooks would not do: heads of mmseg are run by ``head.forward(x)``, which calls none.

    Args:
        model: The model, whose modules are as before in the end.

    Yields:
        The names of the modules that are running now, the innermost last; the model itself, which
        is always one of them, has the name ``''``.
    """
    running = ['']
    followed: list[tuple[nn.Module, Any]] = []
    try:
        for name, module in model.named_modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue
            followed.append((module, vars(module).get('forward')))
            module.forward = _with_name(module.forward, name, running)
        yield running
    finally:
        for module, own in followed:
            del module.forward
            if own is not None:
                module.forward = own


def _with_name(forward: Callable, name: str, running: list[str]) -> Callable:
    @wraps(forward)
    def run(*args: Any, **kwargs: Any) -> Any:
        running.append(name)
        try:
            return forward(*args, **kwargs)
        finally:
            running.pop()

    # Modules that need not be called one by one in a lean training are not called for this either.
    run.only_watches = True  # type: ignore[attr-defined]
    return run
