"""What a file would do to a model, before it is trained or written under other names."""

from mmengine.config import ConfigDict
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmattn.errors import InputError
from mmattn.weights.account import Account, is_head, match
from mmattn.weights.files import find_state_dict
from mmattn.weights.layouts import rename_published
from mmattn.weights.loading import accounted


def find_receiver(model: nn.Module, state_dict: dict[str, Tensor]) -> str:
    """Tell which part of a model weights are for.

    Returns:
        The empty string if all parts of the model, or all but some of its heads, find something in
        the weights, or if it has no backbone; else ``'backbone'``.
    """
    renamed = dict(state_dict)
    rename_published(model, renamed)
    parts = {f'{name}.' for name, part in model.named_children() if part.state_dict()}
    found = {part for part in parts if any(key.startswith(part) for key in renamed)}
    heads = {part for part in parts if is_head(part)}
    whole = parts - heads <= found and (heads & found or not heads)
    return '' if whole or 'backbone.' not in parts else 'backbone'


def check(model: nn.Module, path: str) -> tuple[str, Account, InputError | None]:
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
    state_dict = find_state_dict(CheckpointLoader.load_checkpoint(path, 'cpu'))
    part = find_receiver(model, state_dict)
    accounts = []
    try:
        if part:
            backbone = model.get_submodule(part)
            backbone.init_cfg = _pretrained_cfg(backbone, path)
            with accounted(backbone) as found:
                accounts = found
                backbone.init_weights()
        else:
            accounts = [match(model, state_dict).account()]
            accounts[0].refuse(path, only_heads_left=True)
    except InputError as error:
        if not accounts:
            raise
        return part, accounts[-1], error
    if not accounts:
        raise InputError(f'the init_weights of {type(backbone).__name__} loads no {path}')
    return part, accounts[-1], None


def _pretrained_cfg(backbone: nn.Module, path: str) -> ConfigDict:
    """Take over what the config says of pretrained weights, with another file."""
    cfgs = getattr(backbone, 'init_cfg', None) or []
    cfgs = cfgs if isinstance(cfgs, list) else [cfgs]
    options = next((cfg for cfg in cfgs if cfg['type'] == 'Pretrained'), {})
    return ConfigDict({**options, 'type': 'Pretrained', 'checkpoint': path})
