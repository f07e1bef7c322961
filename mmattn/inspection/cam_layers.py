"""The maps that a class activation map is made of: which layers they come from, and noting them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmattn.errors import InputError
from mmattn.insertion.sites import nearest
from mmattn.prediction.model import Model
from mmattn.probe.structures import map_structure


def find_layers(model: Model, pattern: str | None) -> dict[str, nn.Module]:
    """Find the layers whose maps are looked at.

    Args:
        model: The model.
        pattern: Regular expression that the whole name of a layer matches; None for the backbone,
            and of a detector for its neck if it has one.

    Raises:
        InputError: If there is none; it tells the nearest names.
    """
    layers = {name: layer for name, layer in model.module.named_modules() if name}
    if pattern is None:
        is_detector = model.task not in ('classification', 'segmentation')
        names = ('neck', 'backbone') if is_detector else ('backbone',)
        found = {name: layers[name] for name in names if name in layers}
        if not found:
            raise InputError(
                f'{type(model.module).__name__} has no backbone; name the layer whose maps are '
                'looked at: --layer NAME'
            )
        return dict([*found.items()][:1])
    try:
        matches = re.compile(pattern).fullmatch
    except re.error as error:
        raise InputError(f'--layer {pattern!r} is no regular expression ({error})') from error
    found = {name: layer for name, layer in layers.items() if matches(name)}
    if not found:
        raise InputError(
            f'--layer {pattern!r} matches no layer of the model; {nearest(pattern, layers)}'
        )
    return found


class Maps:
    """What layers returned while a model ran on one image.

    Attributes:
        names: Name of the layer of each map.
        values: The maps (1, C, H, W), in the order in which they were made. They are what the
            layer returned, whatever is done in place behind it.
        others: Shapes of what else the layers returned.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.values: list[Tensor] = []
        self.others: list[tuple[int, ...]] = []

    def _note(self, name: str, value: Tensor) -> Tensor:
        if value.ndim != 4 or len(value) != 1 or not value.is_floating_point():
            self.others.append(tuple(value.shape))
            return value
        if torch.is_grad_enabled() and not value.requires_grad:
            # All that is ahead of it may be frozen.
            value = value.detach().requires_grad_()
        self.names.append(name)
        self.values.append(value)
        return value.clone()

    def keep(self, indices: list[int]) -> None:
        """Keep some of the maps."""
        self.names = [self.names[i] for i in indices]
        self.values = [self.values[i] for i in indices]

    def check(self, layers: dict[str, nn.Module]) -> None:
        """Refuse layers that returned no map.

        Raises:
            InputError: If no layer returned one.
        """
        if self.values:
            return
        names = ', '.join([*layers][:3])
        if not self.others:
            raise InputError(
                f'layer {names} is never called, as a list of layers is not; name one inside of it'
            )
        raise InputError(
            f'layer {names} returns no map of the image: expected the shape (1, C, H, W), got '
            f'{", ".join(map(str, self.others[:3]))}; name another --layer'
        )


@contextmanager
def noting(layers: dict[str, nn.Module]) -> Iterator[Maps]:
    """Note the maps that layers return."""
    maps = Maps()

    def hook(name: str, layer: nn.Module, args: Any, output: Any) -> Any:
        return map_structure(partial(maps._note, name), output, Tensor)

    hooks = [layer.register_forward_hook(partial(hook, name)) for name, layer in layers.items()]
    try:
        yield maps
    finally:
        for handle in hooks:
            handle.remove()
