"""Files of MXNet put together by hand from its format, for tests of what reading them does."""

import struct

import numpy as np

V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
TYPES = dict(float32=0, float64=1, float16=2, uint8=3, int32=4, int8=5, int64=6)
ON_CPU = struct.pack('<ii', 1, 0)


def array(values, version=V2, *, storage=0, kind=None, shape=None, data=None):
    """Write one array, with what it says of itself replaced where a test wants that."""
    values = np.asarray(values)
    shape = values.shape if shape is None else shape
    kind = TYPES[values.dtype.name] if kind is None else kind
    data = values.tobytes() if data is None else data
    if version == 0:  # before there were versions
        head = struct.pack(f'<I{len(shape)}I', len(shape), *shape)
    else:
        head = struct.pack('<I', version)
        head += struct.pack('<i', storage) if version in (V2, V3) else b''
        head += struct.pack(f'<i{len(shape)}q', len(shape), *shape)
    return head + ON_CPU + struct.pack('<i', kind) + data


def name(text):
    text = text if isinstance(text, bytes) else text.encode()
    return struct.pack('<Q', len(text)) + text


def file(arrays, names, *, magic=0x112, count=None, named=None, after=b''):
    """Write a list of arrays and one of names."""
    count = len(arrays) if count is None else count
    named = len(names) if named is None else named
    parts = [struct.pack('<QQQ', magic, 0, count), *arrays, struct.pack('<Q', named)]
    return b''.join([*parts, *map(name, names), after])


def save(tensors, version=V2):
    """Write tensors as ``save_parameters`` of Gluon does."""
    return file([array(tensor.numpy(), version) for tensor in tensors.values()], [*tensors])
