"""The model of a config without its attention, where it is clear what that is."""

import copy
import inspect
from collections.abc import Callable
from typing import Any, get_args

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmattn.attention.base import Attention
from mmattn.insertion.insert_attention import InsertAttention

# The attention among the plug-ins that mmcv itself has.
_OF_MMCV = ('ContextBlock', 'GeneralizedAttention', 'NonLocal2d')


def without_attention(cfg: Config) -> Config | None:
    """Take out what was put into the model of a config.

    ``InsertAttention`` becomes its host, the option ``attention`` of a network None where it may
    be, ``fusion`` of a network an addition, and plug-ins of attention go. What is part of a
    network itself, such as the attention of VAN, stays.

    Args:
        cfg: The config, which is not changed.

    Returns:
        The config of the plain model, or None if nothing can be taken out.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    plain = copy.deepcopy(cfg)
    plain.model = _plain(plain.model)
    return plain if plain.model != cfg.model else None


def _plain(node: Any) -> Any:
    if isinstance(node, list | tuple):
        return type(node)(_plain(part) for part in node if not _is_plugin_of_attention(part))
    if not isinstance(node, dict):
        return node
    with MODELS.switch_scope_and_registry(node.get('_scope_')):
        kind = _class_of(node)
        if kind is InsertAttention:
            return _plain(_host_of(node))
        for option, parts in _SLOTS.items():
            parameter = inspect.signature(kind).parameters.get(option) if kind else None
            if parameter is not None and parts(parameter, node.get(option, parameter.default)):
                node[option] = None if parts is _may_be_none else dict(type='AddFusion')
        for option, value in node.items():
            node[option] = _plain(value)
    return node


def _host_of(node: dict) -> Any:
    """Give the config of a host, with what the model around added to it."""
    own = inspect.signature(InsertAttention).parameters
    host = node['host']
    added = {k: v for k, v in node.items() if k not in own and k not in ('type', '_scope_')}
    for option, value in added.items():
        if value is not None or option not in host:
            host[option] = value
    return host


def _may_be_none(parameter: inspect.Parameter, value: Any) -> bool:
    return isinstance(value, dict) and type(None) in get_args(parameter.annotation)


def _may_be_addition(parameter: inspect.Parameter, value: Any) -> bool:
    return isinstance(value, dict) and value.get('type') not in ('AddFusion', 'mmattn.AddFusion')


_SLOTS: dict[str, Callable[[inspect.Parameter, Any], bool]] = {
    'attention': _may_be_none,
    'fusion': _may_be_addition,
    'bottom_up_fusion': _may_be_addition,
    'level_fusion': _may_be_none,
}


def _is_plugin_of_attention(part: Any) -> bool:
    if not isinstance(part, dict) or 'position' not in part or 'cfg' not in part:
        return False
    kind = _class_of(part['cfg'])
    name = getattr(kind, '__name__', None)
    return (inspect.isclass(kind) and issubclass(kind, Attention)) or name in _OF_MMCV


def _class_of(node: dict) -> Any:
    kind = node.get('type')
    return MODELS.get(kind) if isinstance(kind, str) else kind
