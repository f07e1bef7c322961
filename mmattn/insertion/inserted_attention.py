"""What stands beside a module of a host: its attention, one module per map."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.errors import InputError
from mmattn.insertion.maps import Map
from mmattn.probe.structures import get, put
from mmattn.upsampling.base import Upsampling

AFTER = 'inserted_attention'
BEFORE = 'inserted_attention_before'


def is_inserted(key: str) -> bool:
    """Tell whether a module or tensor of this dotted name was inserted into a host."""
    return any(part in (AFTER, BEFORE) for part in key.split('.'))


def inserted_in(host: nn.Module) -> Iterator['InsertedAttention']:
    """Iterate over what was inserted into ``host``."""
    return (module for module in host.modules() if isinstance(module, InsertedAttention))


class InsertedAttention(nn.Module):
    """Attention on the maps that a module of the host takes or returns.

    It follows the mode of the host as a whole, and its parameters require gradients in training,
    whatever is frozen around it.

    Args:
        attentions: The modules by name; a module may act on several maps.
        maps: Where they lie, and the name of the module of each.
        freeze_with_host: Whether it is frozen by what freezes the host around it.
    """

    def __init__(
        self,
        attentions: Mapping[str, Attention | Upsampling],
        maps: Sequence[tuple[Map, str]],
        *,
        freeze_with_host: bool = False,
    ) -> None:
        super().__init__()
        for name, attention in attentions.items():
            self.add_module(name, attention)
        self.maps = tuple(maps)
        self.freeze_with_host = freeze_with_host
        self.has_loaded = False

    def forward(self, value: Any, args: tuple, kwargs: dict) -> Any:
        """Attend to the maps in ``value``.

        Args:
            value: What the module of the host takes or returns.
            args: Its positional arguments, which may tell the grid of tokens.
            kwargs: Its keyword arguments.

        Returns:
            The same structure with the maps exchanged.

        Raises:
            ValueError: If tokens do not fill the grid.
            InputError: If there is no map where one was in evaluation.
        """
        if self.training and not self.freeze_with_host:
            self._unfreeze()
        for feature_map, name in self.maps:
            out = self._attend(feature_map, getattr(self, name), value, (value, args, kwargs))
            value = put(value, feature_map.path, out)
        return value

    def _attend(self, feature_map: Map, attention: nn.Module, value: Any, context: tuple) -> Tensor:
        x = get(value, feature_map.path)
        if not isinstance(x, Tensor):
            raise InputError(
                'expected the module that attention was inserted at to take and return in training '
                f'what it does in evaluation, a map, got {type(x).__name__}; insert it at modules '
                'inside, tools/list_sites.py lists them'
            )
        return feature_map.from_map(attention(feature_map.to_map(x, context)), x)

    def _unfreeze(self) -> None:
        """Undo what froze a module or a parameter in here by itself."""
        for module in self.modules():
            if not module.training:
                module.training = True
        if torch.is_grad_enabled():
            for parameter in self.parameters():
                if not parameter.requires_grad:
                    parameter.requires_grad_(True)

    def train(self, mode: bool = True) -> 'InsertedAttention':
        """Do nothing, unless it is frozen with the host; :meth:`follow` is what counts."""
        return super().train(mode) if self.freeze_with_host else self

    def follow(self, mode: bool) -> None:
        """Switch to the mode of the host, and undo what it froze on the way."""
        if self.freeze_with_host:
            return
        for module in self.modules():
            module.training = mode
        self.requires_grad_(True)

    def remember(self) -> dict[str, Tensor]:
        """Copy the state, and watch whether :meth:`_load_from_state_dict` brings another."""
        self.has_loaded = False
        return deepcopy(self.state_dict())

    def put_back(self, state: dict[str, Tensor]) -> None:
        """Go back to ``state``."""
        with torch.no_grad():
            for name, tensor in self.state_dict().items():
                tensor.copy_(state[name])

    def restart(self, state: dict[str, Tensor]) -> None:
        """Go back to ``state`` and initialize from there."""
        self.put_back(state)
        for module in self.modules():
            if isinstance(module, BaseModule):
                module._is_init = False
        attention: Any
        for attention in self.children():
            attention.init_weights()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        self.has_loaded = any(key.startswith(prefix) for key in state_dict)
        super()._load_from_state_dict(state_dict, prefix, *args)
