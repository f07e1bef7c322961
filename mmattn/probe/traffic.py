"""What a function moves through memory and keeps for its backward pass, counted on real tensors.

docs/benchmark.md has the convention in words.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmattn.probe.memory import each_kept
from mmattn.probe.operations import is_view
from mmattn.probe.structures import leaves


class Traffic(NamedTuple):
    """What operations of PyTorch move.

    Args:
        read: Bytes that they read.
        written: Bytes that they write.
        operations: How many of them there are; those that move nothing are left out.
    """

    read: int = 0
    written: int = 0
    operations: int = 0

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return self.read + self.written

    def plus(self, other: 'Traffic') -> 'Traffic':
        """Add what else was moved."""
        return Traffic(*map(sum, zip(self, other, strict=True)))


def count_traffic(
    function: Callable[..., Any],
    *inputs: Tensor,
    backward: bool = False,
    dtype: torch.dtype | None = None,
) -> Traffic:
    """Count the bytes that a function reads and writes, by running it.

    Each operation reads each of its tensors once and writes its results once, a tensor that it
    changes in place included. Views, shapes and memory without values are free, and an axis over
    which a tensor is only expanded counts once. What an operation does inside itself, such as the
    copy of a convolution that needs another layout, cannot be seen.

    Args:
        function: Module or function of tensors.
        inputs: Its tensors, which are left as they are.
        backward: Whether its backward pass counts too, from gradients that are there already to
            those of its inputs and parameters. A module has no gradients afterwards.
        dtype: Type of the autocast that the forward pass runs in; None runs it in none. It does
            not change the inputs.

    Raises:
        ValueError: If nothing goes back though ``backward`` is asked for.

    Example:
        >>> count_traffic(torch.sigmoid, torch.rand(10))
        Traffic(read=40, written=40, operations=1)
        >>> count_traffic(torch.sigmoid, torch.rand(10), backward=True)
        Traffic(read=120, written=80, operations=2)
    """
    _forget_gradients(function)
    with torch.set_grad_enabled(backward):
        inputs = _leaves_of_graph(inputs, backward)
        with _Counter() as counter:
            out = _run(function, inputs, dtype)
        if backward:
            ends = _ends(out)
            gradients = [torch.ones_like(end) for end in ends]
            with counter:
                torch.autograd.backward(ends, gradients)
    _forget_gradients(function)
    return counter.traffic


def count_kept_bytes(
    function: Callable[..., Any], *inputs: Tensor, dtype: torch.dtype | None = None
) -> int:
    """Count the bytes that a function keeps for its backward pass, by running it.

    Each storage counts once, that of an input too where it is kept. Parameters and buffers of a
    module do not count; the copies that autocast makes of them do.

    Args:
        function: Module, or function of tensors, of which nothing is left out.
        inputs: Its tensors, which are left as they are.
        dtype: Type of the autocast that it runs in; None runs it in none.

    Example:
        >>> count_kept_bytes(torch.sigmoid, torch.rand(10))
        40
    """
    own = [*function.parameters(), *function.buffers()] if isinstance(function, nn.Module) else []
    sizes: list[int] = []
    with torch.enable_grad():
        inputs = _leaves_of_graph(inputs, True)
        with each_kept(own, lambda storage, size: sizes.append(size)):
            # What is kept lives as long as what was computed.
            out = _run(function, inputs, dtype)
    del out
    return sum(sizes)


def _run(function: Callable[..., Any], inputs: tuple[Tensor, ...], dtype: Any) -> Any:
    device = inputs[0].device.type if inputs else 'cpu'
    amp: AbstractContextManager = torch.autocast(device, dtype) if dtype else nullcontext()
    with amp:
        return function(*inputs)


def _leaves_of_graph(inputs: tuple[Tensor, ...], backward: bool) -> tuple[Tensor, ...]:
    return tuple(x.detach().requires_grad_(backward and x.is_floating_point()) for x in inputs)


def _ends(out: Any) -> list[Tensor]:
    """Give the results of a function that something goes back from."""
    tensors = [value for _, value in leaves(out) if isinstance(value, Tensor)]
    ends = [tensor for tensor in tensors if tensor.requires_grad]
    if not ends:
        raise ValueError('expected a result with a gradient, got none; count the forward pass')
    return ends


def _forget_gradients(function: Any) -> None:
    """Take the gradients of a module away: to add to one that is there is an operation more."""
    if isinstance(function, nn.Module):
        function.zero_grad()


class _Counter(TorchDispatchMode):
    """Adds up what operations read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.traffic = Traffic()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count it."""
        out = func(*args, **(kwargs or {}))
        self.traffic = self.traffic.plus(traffic_of(func, args, kwargs or {}, out))
        return out


def traffic_of(operation: Any, args: Any, kwargs: dict[str, Any], out: Any) -> Traffic:
    """Tell what an operation read and wrote.

    Args:
        operation: What a ``TorchDispatchMode`` is given, such as ``torch.ops.aten.mm.default``.
        args: Its positional arguments.
        kwargs: Its other arguments.
        out: What it gave.
    """
    name = operation._schema.name.partition('::')[2]
    if is_view(operation) or name in _FREE:
        return Traffic()
    arguments = operation._schema.arguments
    given = list(zip(arguments, args, strict=False))
    given += [(each, kwargs[each.name]) for each in arguments if each.name in kwargs]
    writes = [
        (each, value) for each, value in given if each.alias_info and each.alias_info.is_write
    ]
    changed = [value for _, value in writes]
    # What `out=` names is written only, and so is what gets new values whatever it had.
    unread = [value for each, value in writes if each.kwarg_only or name in _OVERWRITE]
    read = [value for _, value in given if not any(value is other for other in unread)]
    return Traffic(_bytes(read), _bytes([changed, out]), 1)


def _bytes(values: Any) -> int:
    """Add up the bytes of tensors in lists and tuples, each once, an expanded axis once too."""
    found = {}
    for _, tensor in _flat(values):
        sizes = [(n, s) for n, s in zip(tensor.shape, tensor.stride(), strict=True) if s != 0]
        count = 0 if tensor.numel() == 0 else torch.Size([n for n, _ in sizes]).numel()
        key = tensor.untyped_storage()._cdata, tensor.storage_offset(), *sizes
        found[key] = count * tensor.element_size()
    return sum(found.values())


def _flat(values: Any) -> Iterator[tuple[Any, Tensor]]:
    return (leaf for leaf in leaves(values) if isinstance(leaf[1], Tensor))


# What gives memory without values, or another name to values that are there.
_FREE = {
    *('empty', 'empty_like', 'empty_strided', 'new_empty', 'new_empty_strided', 'resize_', 'set_'),
    *('_unsafe_view', 'detach', 'detach_', 'lift_fresh', 'alias', '_reshape_alias'),
    *('t_', 'transpose_', 'squeeze_', 'unsqueeze_', 'as_strided_'),
}

# What changes a tensor in place without a look at the values that it had.
_OVERWRITE = {
    *('copy_', 'fill_', 'zero_', 'uniform_', 'normal_', 'bernoulli_', 'random_', 'exponential_'),
}
