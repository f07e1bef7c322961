"""What training a model needs of memory, counted without any or measured on a GPU."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from mmattn.probe.passes import loss_of
from mmattn.probe.running import follow
from mmattn.probe.structures import leaves


class TrainingMemory(NamedTuple):
    """What one forward and backward pass needs, in bytes.

    Args:
        kept: What the forward pass keeps for the backward pass, by the name of the module that was
            the first to keep it. Each storage counts once, parameters and buffers do not.
        peak: The most that there is at a time: parameters, buffers, gradients and all maps.
    """

    kept: dict[str, int]
    peak: int


def count_training_memory(model: nn.Module, *shapes: tuple[int, ...]) -> TrainingMemory:
    """Count what a training step needs, by running it on the meta device.

    Of both passes all tensors are counted from the operation that gives them to their end. What an
    operation needs only while it runs, such as the workspace of cuDNN, cannot be seen there, nor
    can what the allocator of a GPU rounds up.

    Args:
        model: Module or whole model on the meta device, which is put in training mode and has no
            gradients afterwards.
        shapes: Shape (N, C, H, W) of each of the maps that it takes, or of the images.
    """
    model.train()
    inputs = [torch.empty(shape, device='meta') for shape in shapes]
    with _LiveBytes([*model.parameters(), *model.buffers(), *inputs]) as live:
        with _kept_bytes(model, live) as kept:
            loss = loss_of(model, *inputs)
        # Nothing goes back where all is frozen.
        if loss.requires_grad:
            loss.backward()
    model.zero_grad()
    return TrainingMemory(dict(kept), live.peak)


def measure_training_memory(model: nn.Module, *shapes: tuple[int, ...]) -> int:
    """Measure the most bytes that PyTorch has on the GPU in a forward and backward pass.

    Args:
        model: Module or whole model on a CUDA device, which is put in training mode and has no
            gradients afterwards.
        shapes: Shape (N, C, H, W) of each of the maps that it takes, or of the images.
    """
    model.train()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    own = sum(size for _, size in _storages([*model.parameters(), *model.buffers()]))
    torch.cuda.reset_peak_memory_stats()
    loss_of(model, *[torch.rand(shape, device='cuda') for shape in shapes]).backward()
    torch.cuda.synchronize()
    model.zero_grad()
    return torch.cuda.max_memory_allocated() - before + own


@contextmanager
def _kept_bytes(model: nn.Module, live: '_LiveBytes') -> Iterator[Counter[str]]:
    """Count what is kept for the backward pass of what runs within."""
    kept: Counter[str] = Counter()
    with follow(model) as running:

        def count(storage: torch.UntypedStorage, size: int) -> None:
            kept[running[-1]] += size
            live.hold(storage)

        with each_kept([*model.parameters(), *model.buffers()], count):
            yield kept
    live.release()


@contextmanager
def each_kept(
    own: list[Tensor], found: Callable[[torch.UntypedStorage, int], None]
) -> Iterator[None]:
    """Give each storage that is kept for the backward pass of what runs within, once.

    Args:
        own: Tensors that are there anyway, such as parameters.
        found: Is given the storage, at the moment when it is kept, and its bytes.
    """
    seen = {storage._cdata: storage for storage, _ in _storages(own)}

    def keep(tensor: Tensor) -> Tensor:
        [(storage, size)] = _storages([tensor])
        if storage._cdata not in seen:
            # Whose storage goes has its address given to another one.
            seen[storage._cdata] = storage
            found(storage, size)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield


def _storages(tensors: list[Tensor]) -> list[tuple[torch.UntypedStorage, int]]:
    """Give the storages of tensors with their bytes, each once."""
    found = {t.untyped_storage()._cdata: t.untyped_storage() for t in tensors}
    return [(storage, storage.nbytes()) for storage in found.values()]


class _LiveBytes(TorchDispatchMode):
    """Follows all storages from the operation that gives them until nobody has them any more."""

    def __init__(self, there: list[Tensor]) -> None:
        super().__init__()
        self.sizes: dict[int, tuple[StorageWeakRef, int]] = {}
        self.held: dict[int, tuple[StorageWeakRef, int]] = {}
        # Those that were there before stay.
        self.own = {storage._cdata: storage for storage, _ in _storages(there)}
        self.total = self.peak = sum(storage.nbytes() for storage in self.own.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and add what it gave."""
        out = func(*args, **(kwargs or {}))
        self._add([value for _, value in leaves(out) if isinstance(value, Tensor)])
        return out

    def hold(self, storage: torch.UntypedStorage) -> None:
        """Take for granted that a storage is there, until :meth:`release`; this saves time."""
        if storage._cdata in self.sizes:
            self.held[storage._cdata] = self.sizes.pop(storage._cdata)

    def release(self) -> None:
        """Look at all storages again."""
        self.sizes |= self.held
        self.held = {}

    def _add(self, tensors: list[Tensor]) -> None:
        for storage, size in _storages(tensors):
            if not any(storage._cdata in known for known in (self.sizes, self.held, self.own)):
                # It keeps the address from being given to another storage.
                self.sizes[storage._cdata] = StorageWeakRef(storage), size
                self.total += size
        # To look at all of them takes time, and the peak can only be higher where the sum is.
        if self.total > self.peak:
            gone = [key for key, (storage, _) in self.sizes.items() if storage.expired()]
            self.total -= sum(self.sizes.pop(key)[1] for key in gone)
            self.peak = max(self.peak, self.total)
