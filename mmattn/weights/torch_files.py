"""The two formats of PyTorch's files, read as data: zip archives, and a row of pickles before 1.6.

All that a file says of itself is checked against the file: records against their check sums, sizes
against what is there.
"""

import io
import struct
import zipfile
from collections.abc import Iterable
from typing import Any, BinaryIO, NoReturn

import torch

from mmattn.weights.other_files import MAGIC
from mmattn.weights.plain_data import BadDataError, DataUnpickler


def read(file: BinaryIO) -> Any:
    """Read what :func:`torch.save` has written, if it is data.

    Args:
        file: The file, which can be sought in, and begins as one of PyTorch.

    Returns:
        What was saved, with all tensors on the CPU.

    Raises:
        NotPlainDataError: If it is more than data.
        BadDataError: If the file contradicts itself.
        Exception: Of whatever kind, if the file is damaged.
    """
    size = file.seek(0, io.SEEK_END)
    if zipfile.is_zipfile(file):
        return _read_zip(file, size)
    file.seek(2)
    if file.read(len(MAGIC)) != MAGIC:
        raise EOFError('it ends too early')
    file.seek(0)
    return _read_pickles(_Bounded(file, size), size)


def _read_zip(file: BinaryIO, size: int) -> Any:
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        names = {record.filename: record for record in records}
        root = _root_of(names)
        if len(names) < len(records):
            raise BadDataError('it has two records of one name')
        # torch.save never compresses: what is in the archive cannot be larger than the file.
        if any(r.compress_type != zipfile.ZIP_STORED or r.flag_bits & 1 for r in records):
            raise BadDataError('its records are compressed or encrypted')
        if sum(record.file_size for record in records) > size:
            raise BadDataError('its records are larger than the file')
        byte_order = f'{root}/byteorder'
        if byte_order in names and archive.read(byte_order) != b'little':
            raise BadDataError('its numbers are not little-endian')
        memory: dict[str, torch.UntypedStorage] = {}

        def find_storage(dtype: torch.dtype, key: str, device: str, count: int) -> Any:
            if key not in memory:
                record = names[f'{root}/data/{key}']
                if record.file_size != count * dtype.itemsize:
                    raise BadDataError(f'record {key} has another size than its tensor')
                with archive.open(record) as source:
                    memory[key] = _fill(source, torch.UntypedStorage(record.file_size))
            if memory[key].nbytes() != count * dtype.itemsize:
                raise BadDataError(f'record {key} has another size than its tensor')
            return memory[key]

        structure = io.BytesIO(archive.read(f'{root}/data.pkl'))
        return DataUnpickler(_Bounded(structure, size), size, find_storage).load()


def _root_of(names: Iterable[str]) -> str:
    """Give the folder that all records lie in, if :func:`torch.save` has written them."""
    roots = [name.removesuffix('/data.pkl') for name in names if name.endswith('/data.pkl')]
    if len(roots) != 1 or '/' in roots[0]:
        raise BadDataError('it is a zip archive, but not one that torch.save writes')
    return roots[0]


def _read_pickles(file: '_Bounded', size: int) -> Any:
    def find_none(*_: Any) -> NoReturn:
        raise BadDataError('it has a tensor where there is none')

    memory: dict[str, torch.UntypedStorage] = {}
    dtypes: dict[str, torch.dtype] = {}
    left = size

    def find_storage(dtype: torch.dtype, key: str, device: str, count: int) -> Any:
        nonlocal left
        if key not in memory:
            left -= count * dtype.itemsize
            if left < 0:
                raise BadDataError('its tensors are larger than the file')
            memory[key], dtypes[key] = torch.UntypedStorage(count * dtype.itemsize), dtype
        return memory[key]

    # The number it begins with, the version, and the machine that it was written on.
    _, version, _ = (DataUnpickler(file, size, find_none).load() for _ in range(3))
    if version != 1001:
        raise BadDataError(f'it is of version {version}')
    data = DataUnpickler(file, size, find_storage).load()
    # The numbers come last.
    for key in DataUnpickler(file, size, find_none).load():
        storage = memory.pop(str(key))
        [count] = struct.unpack('<q', file.read(8))
        if count * dtypes[str(key)].itemsize != storage.nbytes():
            raise BadDataError(f'record {key} has another size than its tensor')
        _fill(file, storage)
    if memory:
        raise BadDataError('some of its tensors have no numbers')
    return data


def _fill(source: Any, storage: torch.UntypedStorage) -> torch.UntypedStorage:
    """Read numbers into memory; at the end of a record its check sum is compared."""
    numbers = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()
    # In NumPy's stub an array is a buffer from Python 3.12 on.
    view = memoryview(numbers)  # type: ignore[arg-type]
    while view:
        count = source.readinto(view[: 2**24])
        if not count:
            raise EOFError('it ends too early')
        view = view[count:]
    return storage


class _Bounded:
    """A file that gives nothing where it has less than it is asked for.

    Python sets memory aside for what is asked for.
    """

    def __init__(self, file: Any, size: int) -> None:
        self._file = file
        self._size = size

    def read(self, count: int) -> bytes:
        if count > self._size - self._file.tell():
            raise EOFError('it ends too early')
        return self._file.read(count)

    def readinto(self, target: memoryview) -> int:
        return self._file.readinto(target)

    def readline(self) -> bytes:
        # A name.
        line = self._file.readline(1024)
        if not line.endswith(b'\n'):
            raise EOFError('it ends within a name')
        return line
