"""What the layers of any model hand to each other, seen in one run."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmattn.layers.folding import BatchNorm, Weighted
from mmattn.probe.structures import leaves

ELSEWHERE = 'something else'
OUTPUT = 'whoever runs the model'


@dataclass(frozen=True)
class Call:
    """One call of a layer."""

    given: int | None
    """The tensor that another layer made and that this one was given, None for any other."""
    shape: torch.Size
    """Shape of what it was given."""
    made: int
    """The tensor that it made."""


class Flow:
    """The convolutions, linear layers and batch norms of a model, and what read what they made.

    A tensor is one object in Python from the operation that makes it to the last that reads it, a
    view of it is another one; so it can be told exactly who reads it, whatever the model calls its
    layers and wherever it calls them.
    """

    def __init__(self) -> None:
        self.calls: dict[str, list[Call]] = defaultdict(list)
        """The calls of each layer, by its first name in the model."""
        self.shared: set[str] = set()
        """Layers whose weights something else has or reads as well."""
        self._readers: dict[int, set[str]] = defaultdict(set)
        self._makers: dict[int, str] = {}
        self._kept: list[Tensor] = []  # Lest another tensor gets the number of a former one.
        self._owners: dict[int, str] = {}
        self._running: list[str] = []

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Watch one run of a model, a copy for this run alone: its layers stay watched."""
        for name, module in model.named_modules():
            if not isinstance(module, Weighted | BatchNorm):
                continue
            watched: Any = module
            watched.forward = self._recording(name, watched.forward)
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                if (other := self._owners.setdefault(id(tensor), name)) != name:
                    self.shared |= {name, other}
        with _Reads(self._read):
            yield

    def returned(self, output: Any) -> None:
        """Note what the model returned."""
        for tensor in tensors_of(output):
            self._readers[id(tensor)].add(OUTPUT)
        self._kept.clear()

    def before(self, layer: str) -> str | None:
        """Name the layer that made what ``layer`` was given first; None if none did."""
        given = self.calls[layer][0].given if layer in self.calls else None
        return None if given is None else self._makers[given]

    def readers(self, layer: str) -> set[str]:
        """Tell what read what ``layer`` made: names of layers and words for all else."""
        return set().union(*(self._readers[call.made] for call in self.calls.get(layer, ())))

    def is_all_of(self, first: str, second: str) -> bool:
        """Tell whether all that ``second`` was given is what ``first`` made, to it alone."""
        made = {call.made for call in self.calls[first]}
        return {call.given for call in self.calls[second]} == made and all(
            self._readers[tensor] == {second} for tensor in made
        )

    def _recording(self, name: str, forward: Callable) -> Callable:
        def record(*args: Any, **kwargs: Any) -> Any:
            self._running.append(name)
            try:
                output = forward(*args, **kwargs)
            finally:
                self._running.pop()
            inputs = [*tensors_of((args, kwargs))]
            given = id(inputs[0]) if len(inputs) == 1 else None
            shape = inputs[0].shape if inputs else torch.Size()
            given = given if given in self._makers else None
            self.calls[name].append(Call(given, shape, id(output)))
            self._makers[id(output)] = name
            self._readers[id(output)] = set()  # Of a tensor that had this number before.
            self._kept.append(output)
            return output

        return record

    def _read(self, tensor: Tensor) -> None:
        reader = self._running[-1] if self._running else ELSEWHERE
        self._readers[id(tensor)].add(reader)
        owner = self._owners.get(id(tensor), reader)
        if owner != reader:
            self.shared.add(owner)


class _Reads(TorchDispatchMode):
    """Tells each tensor that an operation is given."""

    def __init__(self, read: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.read = read

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        for tensor in tensors_of((args, kwargs)):
            self.read(tensor)
        return func(*args, **(kwargs or {}))


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Iterate over the tensors in structures and in results of OpenMMLab."""
    for _, leaf in leaves(value):
        if isinstance(leaf, Tensor):
            yield leaf
        elif isinstance(leaf, BaseDataElement):
            for _, item in leaf.all_items():
                yield from tensors_of(item)
