"""What a file would do to a model, before it is trained or written under other names."""

from typing import Any

from mmengine.config import ConfigDict
from torch import nn

from mmattn.errors import InputError
from mmattn.weights.fit import fit_weights
from mmattn.weights.layouts import rename_published
from mmattn.weights.reading import Weights, read_weights
from mmattn.weights.report import Report, is_head
from mmattn.weights.watch import report_loads


def find_receiver(model: nn.Module, weights: Weights) -> str:
    """Tell which part of a model weights are for.

    Returns:
        The empty string if all parts of the model, or all but some of its heads, find something in
        the weights, or if it has no backbone; else ``'backbone'``.
    """
    renamed = dict(weights.tensors)
    rename_published(model, renamed)
    parts = {f'{name}.' for name, part in model.named_children() if part.state_dict()}
    found = {part for part in parts if any(key.startswith(part) for key in renamed)}
    heads = {part for part in parts if is_head(part)}
    whole = parts - heads <= found and (heads & found or not heads)
    return '' if whole or 'backbone.' not in parts else 'backbone'


def check_weights(model: nn.Module, path: str) -> tuple[str, Report, InputError | None]:
    """Load a file as a training would: a backbone by its ``init_cfg``, else by ``load_from``.

    Args:
        model: The model. If the file is for its backbone, that is initialized with it.
        path: The file, or an address.

    Returns:
        The part of the model that it is for, as :func:`find_receiver` tells, what fits, and why a
        training would refuse it, if it would.

    Raises:
        InputError: If the file cannot be read, or nothing in it can be loaded.
    """
    weights = read_weights(path)
    part = find_receiver(model, weights)
    reports: list[Report] = []
    try:
        if part:
            backbone: Any = model.get_submodule(part)
            backbone.init_cfg = _pretrained_cfg(backbone, path)
            with report_loads(backbone) as reports:
                backbone.init_weights()
        else:
            fit = fit_weights(weights, model)
            reports = [fit.report]
            fit.refuse_or_report(only_heads_left=True)
    except InputError as error:
        if not reports:
            raise
        return part, reports[-1], error
    if not reports:
        raise InputError(f'the init_weights of {type(backbone).__name__} loads no {path}')
    return part, reports[-1], None


def _pretrained_cfg(backbone: nn.Module, path: str) -> ConfigDict:
    """Take over what the config says of pretrained weights, with another file."""
    cfgs = getattr(backbone, 'init_cfg', None) or []
    cfgs = cfgs if isinstance(cfgs, list) else [cfgs]
    options: dict = next((cfg for cfg in cfgs if cfg['type'] == 'Pretrained'), {})
    return ConfigDict({**options, 'type': 'Pretrained', 'checkpoint': path})
