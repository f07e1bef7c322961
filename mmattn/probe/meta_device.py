"""Models without memory for their weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode


class _LinspaceOnCPU(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs['device'] = 'cpu'
        return func(*args, **kwargs)


@contextmanager
def meta_device() -> Iterator[None]:
    """Build models on the meta device.

    Transformers of OpenMMLab ask for the values of their drop path rates while they are built, so
    these alone get memory.

    Example:
        >>> from torch import nn
        >>> with meta_device():
        ...     layer = nn.Linear(1000000, 1000000)
        >>> layer.weight.device
        device(type='meta')
    """
    with torch.device('meta'), _LinspaceOnCPU():
        yield
