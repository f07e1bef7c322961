"""Models from configs, without data and, as a rule, without memory for their weights."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch.overrides import TorchFunctionMode

from mmattn.probe.config_check import check_model


def build(cfg: Config, *, meta: bool = True) -> nn.Module:
    """Build the model of a config, to look at it.

    Args:
        cfg: Config with a ``model``, which is built in its ``default_scope``.
        meta: Whether its weights have shapes only, on the meta device. Otherwise they are on the
            CPU and have the values that they are built with.

    Raises:
        InputError: If the config has no model, or one that cannot be built.
    """
    check_model(cfg)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    with meta_device() if meta else nullcontext():
        return MODELS.build(cfg.model)


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
