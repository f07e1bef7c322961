"""Read a pickle as data: an unpickler that knows what checkpoints are made of, and nothing else.

A pickle is a program: it looks up names, calls what it finds and sets attributes. Here no name is
looked up. The names that occur in checkpoints stand in one table, at the end, each with a function
of this file that builds the value and checks its arguments; whatever else a pickle asks for is
refused.
"""

import argparse
import pickle
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

# Bytes of memory for what is neither tensor nor text; the random numbers of a thousand processes,
# or a few hundred thousand tensors, take less.
_MOST_STRUCTURE = 2**27
# Containers within containers; a state dict is the third.
_MOST_LEVELS = 64
# Values in all, those of a container counted wherever it occurs.
_MOST_VALUES = 2**24

FindStorage = Callable[[torch.dtype, str, str, int], torch.UntypedStorage]


class NotPlainDataError(Exception):
    """A pickle asks for more than data; the message names what it asks for."""


class BadDataError(Exception):
    """A pickle describes what cannot be, or needs more memory than its file can honestly need."""


@dataclass(frozen=True)
class _Storage:
    """Memory of a type, which tensors are views of."""

    dtype: torch.dtype
    memory: torch.UntypedStorage


@dataclass(frozen=True)
class _Name:
    """What stands in a pickle for a function or a class.

    Args:
        name: Its name.
        build: Makes the value from the arguments that the pickle gives; None for a name that
            itself is an argument.
    """

    name: str
    build: Callable[..., Any] | None = None


class DataUnpickler(pickle._Unpickler):
    """Build what a pickle describes if that is data: numbers, text, containers and tensors.

    It stands on the unpickler that the standard library has in Python. The one in C cannot be told
    which instructions to refuse, and sizes its tables by what the pickle says.

    Args:
        file: The pickle, which is read from where it is, by ``read`` and ``readline``.
        size: Bytes of the file that the pickle is a part of. They bound what is built.
        find_storage: Gives the memory for a dtype, a key, a device and a size in numbers.
        encoding: That of the text of Python 2, which has bytes for it. ``'latin1'`` if arrays of
            that time are among it, whose numbers are text as well.
    """

    # Of the unpickler, but not of its stub.
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    stack: list[Any]

    def __init__(
        self, file: Any, size: int, find_storage: FindStorage, encoding: str = 'utf-8'
    ) -> None:
        super().__init__(file, encoding=encoding)
        self._find_storage = find_storage
        self._structure = min(_MOST_STRUCTURE, 2**24 + 16 * size)
        # Views share memory, until somebody writes them one by one.
        self._tensors = 2**24 + 4 * size

    def load(self) -> Any:
        """Build it.

        Raises:
            NotPlainDataError: If the pickle asks for more than data.
            BadDataError: If it needs more memory than its size allows.
        """
        data = super().load()
        _check_data(data)
        return data

    def spend(self, cost: int) -> None:
        """Take memory for a step, in bytes."""
        self._structure -= cost
        if self._structure < 0:
            raise BadDataError('it takes far more memory than a file of its size needs')

    def find_class(self, module: str, name: str) -> Any:
        """Give what stands for a name."""
        if module == 'torch._utils' and name in _REBUILD_TENSOR:
            return _Name(name, self._build_tensor)
        found = _TABLE.get(f'{_SHORT.get(module, module)}.{name}')
        if found is None:
            raise NotPlainDataError(f'{module}.{name}')
        return found

    def persistent_load(self, pid: Any) -> _Storage:
        """Give the memory that a pickle names beside itself."""
        kind, dtype, key, device, size, *view = pid
        if kind != 'storage' or not isinstance(dtype, torch.dtype):
            raise NotPlainDataError(f'an object of kind {kind}')
        _check(_are_counts(size), 'a storage')
        memory = self._find_storage(dtype, str(key), str(device), size)
        if view and view[0] is not None:
            _, first, size = view[0]
            _check(_are_counts(first, size), 'a part of a storage')
            memory = memory[first * dtype.itemsize : (first + size) * dtype.itemsize]
        return _Storage(dtype, memory)

    def _build_tensor(
        self,
        storage: _Storage,
        offset: int,
        size: tuple[int, ...],
        stride: tuple[int, ...],
        requires_grad: bool = False,
        hooks: Any = None,
        *options: Any,
    ) -> Tensor:
        """Make a view of a storage; PyTorch would let the storage grow where it is too small."""
        dtype = storage.dtype
        if options and isinstance(options[0], torch.dtype):
            dtype, options = options[0], options[1:]
        _check(not any(options), 'a tensor')
        _check(_are_counts(offset, *size, *stride) and len(size) == len(stride), 'a shape')
        count = prod(size)
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if count else -1
        _check((last + 1) * dtype.itemsize <= storage.memory.nbytes(), 'a shape')
        self._tensors -= count * dtype.itemsize
        if self._tensors < 0:
            raise BadDataError('its tensors together are far larger than the file')
        tensor = torch.empty(0, dtype=dtype, device=storage.memory.device)
        tensor.set_(storage.memory, offset, tuple(size), tuple(stride))
        return tensor.requires_grad_(bool(requires_grad))


# ---- Instructions ----


def _run_stack_global(unpickler: DataUnpickler) -> None:
    name, module = unpickler.stack.pop(), unpickler.stack.pop()
    unpickler.append(unpickler.find_class(str(module), str(name)))


def _run_call(unpickler: DataUnpickler) -> None:
    arguments, called = unpickler.stack.pop(), unpickler.stack.pop()
    if not isinstance(called, _Name) or called.build is None:
        raise NotPlainDataError(getattr(called, 'name', f'a {type(called).__name__}'))
    unpickler.append(called.build(*arguments))


def _run_build(unpickler: DataUnpickler) -> None:
    state, built = unpickler.stack.pop(), unpickler.stack[-1]
    set_state = _STATES.get(type(built))
    if set_state is None:
        raise NotPlainDataError(f'attributes of {getattr(built, "name", type(built).__name__)}')
    set_state(built, state)


def _run_items(unpickler: DataUnpickler) -> None:
    items = unpickler.pop_mark()
    _check(type(unpickler.stack[-1]) in _DICTS and len(items) % 2 == 0, 'a dict')
    unpickler.stack[-1].update(zip(items[::2], items[1::2], strict=True))


def _run_item(unpickler: DataUnpickler) -> None:
    value, key = unpickler.stack.pop(), unpickler.stack.pop()
    _check(type(unpickler.stack[-1]) in _DICTS, 'a dict')
    unpickler.stack[-1][key] = value


def _run_appends(unpickler: DataUnpickler) -> None:
    items = unpickler.pop_mark()
    _check(type(unpickler.stack[-1]) is list, 'a list')
    unpickler.stack[-1].extend(items)


def _run_append(unpickler: DataUnpickler) -> None:
    item = unpickler.stack.pop()
    _check(type(unpickler.stack[-1]) is list, 'a list')
    unpickler.stack[-1].append(item)


def _run_add(unpickler: DataUnpickler) -> None:
    items = unpickler.pop_mark()
    _check(type(unpickler.stack[-1]) is set, 'a set')
    unpickler.stack[-1].update(items)


class _Instructions(dict):
    """What is done at each instruction, by its code."""

    def __missing__(self, code: int) -> None:
        _check(code in pickle._Unpickler.dispatch, 'a pickle instruction')
        raise NotPlainDataError(f'the pickle instruction {bytes([code])!r}')

    def add(self, names: str, cost: int, run: Callable | None = None) -> None:
        """Add instructions.

        Args:
            names: Their names in :mod:`pickle`.
            cost: Bytes of memory that they take, about.
            run: What is done; None for what the standard library does.
        """
        for name in names.split():
            code = getattr(pickle, name)[0]
            self[code] = _charged(run or pickle._Unpickler.dispatch[code], cost)


def _charged(run: Callable, cost: int) -> Callable:
    def run_charged(unpickler: DataUnpickler) -> None:
        unpickler.spend(cost)
        run(unpickler)

    return run_charged


_instructions = _Instructions()
_instructions.add('PROTO FRAME STOP POP POP_MARK BINGET LONG_BINGET', 0)
_instructions.add('NONE NEWTRUE NEWFALSE BININT1', 8)
_instructions.add('BININT BININT2 LONG1 LONG4 BINFLOAT', 40)
_instructions.add('BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINSTRING SHORT_BINSTRING', 60)
_instructions.add('BINBYTES SHORT_BINBYTES BINBYTES8 BINPERSID', 60)
_instructions.add('MARK EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST EMPTY_DICT', 80)
_instructions.add('BINPUT LONG_BINPUT MEMOIZE', 80)  # an entry of the memo
_instructions.add('EMPTY_SET FROZENSET GLOBAL', 240)
_instructions.add('STACK_GLOBAL', 240, _run_stack_global)
_instructions.add('REDUCE NEWOBJ', 300, _run_call)
_instructions.add('BUILD', 0, _run_build)
_instructions.add('SETITEM', 80, _run_item)
_instructions.add('SETITEMS', 80, _run_items)
_instructions.add('APPEND', 8, _run_append)
_instructions.add('APPENDS', 8, _run_appends)
_instructions.add('ADDITEMS', 80, _run_add)
DataUnpickler.dispatch = _instructions

_DICTS = (dict, OrderedDict, Counter)


# ---- Values ----


class _DType:
    """A type of NumPy's numbers. A pickle gives the byte order after it."""

    def __init__(self, code: str, *flags: bool) -> None:
        # Objects would be pickles again, and records have fields of any type.
        is_plain = re.fullmatch('[<>|=]?([?]|[biufcSU][0-9]{1,9})', code)
        _check(is_plain, 'an array of other things than numbers and text')
        self.numpy = np.dtype(code)

    def set_state(self, state: tuple) -> None:
        """Set the byte order."""
        _check(state[1] in ('<', '>', '|', '='), 'a byte order')
        if state[1] in '<>':
            self.numpy = self.numpy.newbyteorder(state[1])


def _check(condition: Any, what: str) -> None:
    # The value itself is not shown: it may be of any size.
    if not condition:
        raise BadDataError(f'{what} is impossible')


def _are_counts(*values: Any) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def _build_parameter(data: Tensor, requires_grad: bool, *hooks_and_attributes: Any) -> nn.Parameter:
    # Hooks are empty, and attributes that somebody gave a parameter are none of its numbers.
    _check(isinstance(data, Tensor), 'a parameter')
    return nn.Parameter(data.detach(), bool(requires_grad))


def _build_with_attributes(rebuild: Any, kind: Any, arguments: Any, *_: Any) -> Tensor:
    # So are tensors written that somebody gave attributes, and classes of tensors, which are code.
    if getattr(kind, 'name', '') not in ('torch.Tensor', 'torch.nn.Parameter'):
        raise NotPlainDataError(f'a tensor of class {getattr(kind, "name", kind)}')
    tensor = rebuild.build(*arguments)
    _check(isinstance(tensor, Tensor), 'a tensor')
    return tensor


def _build_bytes(text: str = '', encoding: str = 'latin1') -> bytes:
    _check(type(text) is str and encoding == 'latin1', 'text')
    return text.encode('latin1')


def _build_ordered_dict(pairs: list | tuple | dict = ()) -> OrderedDict:
    _check(type(pairs) in (list, tuple, dict, OrderedDict), 'an ordered dict')
    return OrderedDict(pairs)


def _build_dict(values: dict = {}) -> dict:
    _check(type(values) is dict, 'a dict')
    return dict(values)


def _build_default_dict(kind: _Name | None = None) -> dict:
    # It is a plain dict from here on.
    _check(kind is None or isinstance(kind, _Name), 'a dict')
    return {}


def _build_counter(counts: dict) -> Counter:
    _check(type(counts) is dict, 'a counter')
    return Counter(counts)


def _build_set(values: list | tuple = ()) -> set:
    _check(type(values) in (list, tuple), 'a set')
    return set(values)


def _build_complex(real: float, imaginary: float) -> complex:
    _check(type(real) is float and type(imaginary) is float, 'a complex number')
    return complex(real, imaginary)


def _build_slice(*bounds: int | None) -> slice:
    _check(all(bound is None or type(bound) is int for bound in bounds), 'a slice')
    return slice(*bounds)


def _build_size(lengths: tuple[int, ...]) -> torch.Size:
    _check(type(lengths) is tuple and _are_counts(*lengths), 'a shape')
    return torch.Size(lengths)


def _build_device(kind: str, *index: int) -> torch.device:
    _check(type(kind) is str and _are_counts(*index), 'a device')
    return torch.device(kind, *index)


def _build_number(dtype: _DType, content: bytes) -> np.generic:
    _check(type(dtype) is _DType and type(content) is bytes, 'a number')
    _check(len(content) == dtype.numpy.itemsize, 'a number')
    return np.frombuffer(content, dtype.numpy)[0]


def _build_array(*_: Any) -> np.ndarray:
    # What is in it comes after it.
    return np.empty(0)


def _set_array(array: np.ndarray, state: tuple) -> None:
    _, shape, dtype, in_columns, content = state
    content = content.encode('latin1') if type(content) is str else content  # of Python 2
    _check(type(dtype) is _DType and type(content) is bytes, 'an array')
    _check(type(shape) is tuple and _are_counts(*shape), 'an array')
    _check(prod(shape) * dtype.numpy.itemsize == len(content), 'an array')
    # The stub asks for a bool of NumPy.
    array.__setstate__((1, shape, dtype.numpy, bool(in_columns), content))  # type: ignore[arg-type]


def _build_history() -> HistoryBuffer:
    return HistoryBuffer()


def _set_history(buffer: HistoryBuffer, state: dict) -> None:
    # The methods in the state are those of the class.
    history, counts, length = (state[k] for k in ('_log_history', '_count_history', 'max_length'))
    for values in (history, counts):
        _check(type(values) is np.ndarray and values.dtype.kind in 'biuf', 'a history of losses')
    _check(history.shape == (len(counts),) and _are_counts(length), 'a history of losses')
    buffer._log_history, buffer._count_history, buffer.max_length = history, counts, length


def _build_statistic(owner: _Name, method: str) -> _Name:
    # What mmengine asks of `getattr`: the methods of a history, which it writes beside it.
    found = _TABLE.get(f'{getattr(owner, "name", owner)}.{method}')
    if owner is not _TABLE['mmengine.HistoryBuffer'] or found is None:
        raise NotPlainDataError(f'getattr of {getattr(owner, "name", type(owner).__name__)}')
    return found


def _build_namespace() -> argparse.Namespace:
    return argparse.Namespace()


def _set_namespace(namespace: argparse.Namespace, state: dict) -> None:
    _check(type(state) is dict and all(type(key) is str for key in state), 'a namespace')
    vars(namespace).update(state)


def _set_metadata(state_dict: OrderedDict, state: dict) -> None:
    # PyTorch keeps the versions of modules in an attribute of a state dict.
    metadata = state.get('_metadata')
    if isinstance(metadata, dict):
        state_dict._metadata = metadata  # type: ignore[attr-defined]


_STATES: dict[type, Callable[[Any, Any], None]] = {
    OrderedDict: _set_metadata,
    argparse.Namespace: _set_namespace,
    HistoryBuffer: _set_history,
    np.ndarray: _set_array,
    _DType: _DType.set_state,
}


# ---- The result ----

_LEAVES = (
    *(type(None), bool, int, float, complex, str, bytes, slice, np.generic, np.ndarray),
    *(Tensor, torch.Size, torch.dtype, torch.device, HistoryBuffer),
)


def _check_data(data: Any) -> None:
    """Make sure that nothing but data came out, and nothing that whoever walks it is lost in."""
    # How many values each container holds in all, by its identity; 0 while it is being counted.
    counts: dict[int, int] = {}
    path: list[tuple[Any, Iterator[Any], int]] = [(None, iter([data]), 1)]
    while True:
        container, children, count = path.pop()
        child = next(children, path)  # the list itself stands for the end
        if child is path:
            if not path:
                return
            counts[id(container)] = count
            _check(count <= _MOST_VALUES, 'a structure that holds itself so often')
            outer, others, total = path.pop()
            path.append((outer, others, total + count))
            continue
        inner = _children(child)
        if inner is None:
            path.append((container, children, count + 1))
        elif id(child) in counts:
            _check(counts[id(child)], 'a container that holds itself')
            path.append((container, children, count + counts[id(child)]))
        else:
            _check(len(path) < _MOST_LEVELS, 'a structure of so many levels')
            counts[id(child)] = 0
            path += [(container, children, count), (child, inner, 1)]


def _children(value: Any) -> Iterator[Any] | None:
    """Give what a container holds; None for what is no container."""
    if isinstance(value, dict):
        attributes = getattr(value, '__dict__', {})
        return iter([*value.keys(), *value.values(), *attributes.values()])
    if isinstance(value, argparse.Namespace):
        return iter(vars(value).values())
    if type(value) in (list, tuple, set, frozenset):
        return iter(value)
    if not isinstance(value, _LEAVES):
        raise NotPlainDataError(getattr(value, 'name', f'a {type(value).__name__}'))
    return None


# ---- The table ----

# Modules that have had other names, or whose name depends on a version.
_SHORT = {
    '__builtin__': 'builtins',
    'mmengine.config.config': 'mmengine',
    'mmengine.logging.history_buffer': 'mmengine',
    'numpy._core.multiarray': 'numpy',
    'numpy.core.multiarray': 'numpy',
    'torch._tensor': 'torch',
    'torch.cuda': 'torch',
    'torch.nn.parameter': 'torch.nn',
    'torch.storage': 'torch',
}

# All tensors of state dicts and optimizers are written by one of these.
_REBUILD_TENSOR = ('_rebuild_tensor', '_rebuild_tensor_v2', '_rebuild_tensor_v3')

_BUILDERS: dict[str, Callable[..., Any] | None] = {
    # State dicts; the milestones of schedules; what else gathers by keys.
    'collections.OrderedDict': _build_ordered_dict,
    'collections.Counter': _build_counter,
    'collections.defaultdict': _build_default_dict,
    'builtins.dict': _build_dict,
    'builtins.list': None,
    'builtins.int': None,
    # A data set as a config of mmengine describes it.
    'mmengine.ConfigDict': _build_dict,
    # The arguments that training scripts of timm and torchvision keep.
    'argparse.Namespace': _build_namespace,
    # Plain data that protocol 2 has no instruction for.
    '_codecs.encode': _build_bytes,
    'builtins.bytes': _build_bytes,
    'builtins.set': _build_set,
    'builtins.frozenset': lambda *values: frozenset(_build_set(*values)),
    'builtins.complex': _build_complex,
    'builtins.slice': _build_slice,
    # Scores, palettes and random states that are NumPy's.
    'numpy.scalar': _build_number,
    'numpy.dtype': _DType,
    'numpy._reconstruct': _build_array,
    'numpy.ndarray': None,
    # The losses that mmengine's message hub remembers.
    'mmengine.HistoryBuffer': _build_history,
    'mmengine.HistoryBuffer.min': None,
    'mmengine.HistoryBuffer.max': None,
    'mmengine.HistoryBuffer.current': None,
    'mmengine.HistoryBuffer.mean': None,
    'builtins.getattr': _build_statistic,
    # Parameters that were saved as such, and tensors with attributes.
    'torch._utils._rebuild_parameter': _build_parameter,
    'torch._utils._rebuild_parameter_with_state': _build_parameter,
    'torch._rebuild_from_type_v2': _build_with_attributes,
    'torch.Tensor': None,
    'torch.nn.Parameter': None,
    # What stands beside tensors.
    'torch.Size': _build_size,
    'torch.device': _build_device,
}

_TABLE: dict[str, Any] = {name: _Name(name, build) for name, build in _BUILDERS.items()}
# The types of numbers, and of the memory that holds them.
_TABLE.update({str(v): v for v in vars(torch).values() if isinstance(v, torch.dtype)})
_STORAGES = {
    'Bool': torch.bool,
    'Byte': torch.uint8,
    'Char': torch.int8,
    'Short': torch.int16,
    'Int': torch.int32,
    'Long': torch.int64,
    'Half': torch.float16,
    'BFloat16': torch.bfloat16,
    'Float': torch.float32,
    'Double': torch.float64,
    'ComplexFloat': torch.complex64,
    'ComplexDouble': torch.complex128,
    'Untyped': torch.uint8,
}
_TABLE.update({f'torch.{name}Storage': dtype for name, dtype in _STORAGES.items()})
