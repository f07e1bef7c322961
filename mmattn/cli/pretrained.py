"""The pretrained weights that a config names: had before anything is built, or left out."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process

from mmattn.errors import InputError
from mmattn.weights.pretrained import get, is_of_catalogue


def get_pretrained(cfg: Config) -> None:
    """Let all weights be on the disk that the model of a config names by ``mmattn://``.

    One rank downloads; on hosts that do not share its disk, one of each does then.

    Args:
        cfg: The config. If it goes on from a checkpoint, it needs none.

    Raises:
        InputError: If some cannot be had; on all ranks.
    """
    if cfg.get('load_from'):
        return
    names = weights_in_config(cfg)
    refusal: list[str | None] = [None]
    if is_main_process():
        refusal[0] = _refusal(names)
    broadcast_object_list(refusal)
    reason = refusal[0] or _refusal(names)
    if reason:
        raise InputError(f'{reason}; or start from random values: --from-scratch')


def weights_in_config(cfg: Config) -> dict[str, None]:
    """List what the model of a config names by ``mmattn://``, each once."""
    return dict.fromkeys(_names_in(cfg.model))


def _refusal(names: dict[str, None]) -> str | None:
    try:
        for name in names:
            get(name)
    except InputError as error:
        return str(error)
    return None


def _names_in(node: Any) -> Iterator[str]:
    for init_cfg in _init_cfgs(node):
        if is_of_catalogue(init_cfg):
            yield init_cfg['checkpoint']
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, dict | list | tuple):
            yield from _names_in(value)


def _init_cfgs(node: Any) -> list[dict]:
    init_cfg = node.get('init_cfg') if isinstance(node, dict) else None
    init_cfgs = init_cfg if isinstance(init_cfg, list) else [init_cfg]
    return [cfg for cfg in init_cfgs if isinstance(cfg, dict)]


def drop_pretrained(node: Any) -> None:
    """Take the pretrained weights out of the config of a model, so that all begins at random."""
    if isinstance(node, dict):
        kept = [cfg for cfg in _init_cfgs(node) if cfg.get('type') != 'Pretrained']
        if len(kept) < len(_init_cfgs(node)):
            node['init_cfg'] = kept or None
        if node.get('pretrained'):
            # timm's switch, or the address that mmseg's models take.
            node['pretrained'] = False if node['pretrained'] is True else None
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, dict | list | tuple):
            drop_pretrained(value)
