"""Files of MXNet's parameters, read as data and without MXNet: a list of arrays, then their names.

As ``src/ndarray/ndarray.cc`` of MXNet 1 writes them: the number of the format and a reserved one,
the number of arrays and each array, the number of names and each name; all little-endian. Whatever
the file says of itself is compared with its size before memory is taken for it.
"""

import io
import struct
from math import prod
from typing import BinaryIO

import torch
from torch import Tensor

from mmattn.weights.plain_data import BadDataError

# The number that a file begins with.
MAGIC = (0x112).to_bytes(8, 'little')

# What an array begins with: versions 1 to 3 of the format of one. Before, it was the number of its
# dimensions.
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
# By MXNet's number of a type; weights have no others.
_DTYPES = {
    0: torch.float32,
    1: torch.float64,
    2: torch.float16,
    3: torch.uint8,
    4: torch.int32,
    5: torch.int8,
    6: torch.int64,
}
# Of arrays, which take memory beside their numbers, of dimensions, and of the bytes of a name. The
# largest networks have some thousands, four, and a hundred.
_MOST_ARRAYS = 2**16
_MOST_DIMENSIONS = 32
_MOST_LETTERS = 1024


def read(file: BinaryIO) -> dict[str, Tensor]:
    """Read what ``mxnet.ndarray.save`` or Gluon's ``save_parameters`` has written.

    Args:
        file: The file, which can be sought in, and begins as one of MXNet.

    Returns:
        The arrays by their names, without the ``arg:`` and ``aux:`` that tell parameters from
        statistics in the files of symbols.

    Raises:
        BadDataError: If the file contradicts itself, or has arrays that are not dense numbers.
        EOFError: If it ends too early.
    """
    return _Reader(file).read()


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = file.seek(0, io.SEEK_END)
        file.seek(0)

    def read(self) -> dict[str, Tensor]:
        if self._take(8) != MAGIC:
            raise BadDataError('it does not begin as a file of MXNet')
        self._take(8)  # reserved
        count = self._number('Q')
        if count > _MOST_ARRAYS:
            raise BadDataError(f'it has {count} arrays, and at most {_MOST_ARRAYS} are read')
        arrays = [self._array(f'array {i}') for i in range(count)]
        named = self._number('Q')
        if named != count:
            raise BadDataError(f'it has {count} arrays and {named} names')
        names = [self._name(f'name {i}') for i in range(count)]
        if self._left:
            raise BadDataError(f'{self._left} bytes follow its last name')
        if len(set(names)) < count:
            raise BadDataError('it has two arrays of one name')
        return dict(zip(names, arrays, strict=True))

    def _array(self, where: str) -> Tensor:
        version = self._number('I')
        if version in (_V2, _V3):
            storage = self._number('i')
            if storage != 0:
                raise BadDataError(f'{where} has the storage type {storage}; only dense is read')
        if version in (_V1, _V2, _V3):
            shape = self._shape(self._number('i'), 'q', where)
        else:
            shape = self._shape(version, 'I', where)
        # Without a dimension there is no array, except where NumPy's rules hold.
        if not shape and version != _V3:
            raise BadDataError(f'{where} is empty')
        self._take(8)  # the device that it was on
        kind = self._number('i')
        if kind not in _DTYPES:
            raise BadDataError(f'{where} has the unknown type {kind}')
        dtype = _DTYPES[kind]
        size = prod(shape) * dtype.itemsize
        if size > self._left:
            raise BadDataError(f'{where} of shape {shape} is larger than the file')
        return torch.frombuffer(bytearray(self._take(size)), dtype=dtype).reshape(shape)

    def _shape(self, count: int, form: str, where: str) -> tuple[int, ...]:
        if not 0 <= count <= _MOST_DIMENSIONS:
            raise BadDataError(f'{where} has {count} dimensions')
        shape = self._numbers(f'{count}{form}')
        # 0 stands for an unknown size, and -1 where NumPy's rules hold.
        if any(size <= 0 for size in shape):
            raise BadDataError(f'{where} has the shape {shape}')
        return shape

    def _name(self, where: str) -> str:
        length = self._number('Q')
        if length > _MOST_LETTERS:
            raise BadDataError(f'{where} has {length} bytes, and at most {_MOST_LETTERS} are read')
        try:
            name = self._take(length).decode()
        except UnicodeDecodeError as error:
            raise BadDataError(f'{where} is no text') from error
        name = name.removeprefix('arg:').removeprefix('aux:')
        if not name or not name.isprintable():
            raise BadDataError(f'{where} is {name!a}')
        return name

    def _number(self, form: str) -> int:
        [number] = self._numbers(form)
        return number

    def _numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack(f'<{form}', self._take(struct.calcsize(f'<{form}')))

    def _take(self, count: int) -> bytes:
        # Python sets memory aside for what is asked for.
        if count > self._left:
            raise EOFError('it ends too early')
        self._left -= count
        content = self._file.read(count)
        if len(content) < count:
            raise EOFError('it ends too early')
        return content
