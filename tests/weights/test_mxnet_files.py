"""MXNet's files, written byte by byte: what is read, and that damage ends in one line."""

import io
import struct
import tracemalloc

import numpy as np
import pytest
import torch
from mmengine.model import BaseModule

from mmattn import AFFResNet
from mmattn.cli.conversion import rename_weights, write_weights
from mmattn.errors import InputError
from mmattn.weights.files import read_stream
from mmattn.weights.mxnet_files import MAGIC
from mmattn.weights.reading import read_weights
from tests.backbones.test_aff_resnet import IAFF, RELEASE, released_from
from tests.helpers import randomize
from tests.weights.mxnet_bytes import V1, V2, V3, array, file, save

VALUES = np.arange(6).reshape(2, 3)


def read(content, name='a.params'):
    return read_stream(io.BytesIO(content), name)


@pytest.mark.parametrize('version', [0, V1, V2, V3], ids=['before', 'V1', 'V2', 'V3'])
@pytest.mark.parametrize(
    'kind', ['float32', 'float64', 'float16', 'uint8', 'int32', 'int8', 'int64']
)
def test_reads_every_version_and_type(version, kind):
    values = VALUES.astype(kind)
    found = read(file([array(values, version), array(values[0], version)], ['a.b', 'arg:c']))
    assert list(found) == ['a.b', 'c']
    assert found['a.b'].dtype == getattr(torch, kind)
    assert found['a.b'].tolist() == [[0, 1, 2], [3, 4, 5]] and found['c'].tolist() == [0, 1, 2]


def test_the_bytes_themselves():
    content = bytes.fromhex(
        '1201000000000000 0000000000000000 0100000000000000'  # format, reserved, arrays
        'c9fa93f9 00000000 01000000 0200000000000000'  # version 2, dense, one dimension of 2
        '02000000 03000000 00000000 0000803f 000000c0'  # on GPU 3, float32: 1 and -2
        '0100000000000000 0700000000000000 6175783a622e63'  # one name of 7 bytes
    )
    assert read(content)['b.c'].tolist() == [1.0, -2.0]


def test_a_scalar_by_the_rules_of_numpy():
    assert read(file([array(np.float32(3), V3)], ['a']))['a'].shape == ()


A, B = array(VALUES), array(VALUES.astype('float16'))
SOUND = file([A, B], ['a', 'b'])
SIZE, WHERE = 2**62, 'array 0'


def head(version=V2, *numbers):
    return struct.pack(f'<I{len(numbers)}i', version, *numbers)


# What a file says, or the file, and what is said of it.
DAMAGED = {
    'no arrays but two names': (file([], ['a', 'b']), 'it has 0 arrays and 2 names'),
    'no names': (file([A, B], []), 'it has 2 arrays and 0 names'),
    'one name': (file([A, B], ['a']), 'it has 2 arrays and 1 names'),
    'three names': (file([A, B], ['a', 'b', 'c']), 'it has 2 arrays and 3 names'),
    'one name twice': (file([A, B], ['a', 'a']), 'it has two arrays of one name'),
    'one name under two kinds': (file([A, B], ['arg:a', 'aux:a']), 'two arrays of one name'),
    'a name without letters': (file([A], ['']), "name 0 is ''"),
    'a kind without a name': (file([A], ['arg:']), "name 0 is ''"),
    'a name that is no text': (file([A], [b'\xff\xfe']), 'name 0 is no text'),
    'half a letter': (file([A], ['é'.encode()[:1]]), 'name 0 is no text'),
    'a surrogate': (file([A], [b'\xed\xa0\x80']), 'name 0 is no text'),
    'an escape': (file([A], ['\x1b[2J']), r"name 0 is '\x1b[2J'"),
    'a line end': (file([A], ['a\nb']), r"name 0 is 'a\nb'"),
    'a NUL': (file([A], ['a\0']), r"name 0 is 'a\x00'"),
    'a long name': (file([A], ['a' * 1025]), 'name 0 has 1025 bytes'),
    'a name past the end': (file([A], [])[:-8] + struct.pack('<QQ', 1, 9) + b'a', 'too early'),
    'a huge name': (
        file([A], [])[:-8] + struct.pack('<QQ', 1, 2**64 - 1),
        f'name 0 has {2**64 - 1} bytes',
    ),
    'overlapping names': (
        file([A, B], [])[:-8] + struct.pack('<QQ', 2, 9) + b'a' + struct.pack('<Q', 1) + b'b',
        'name 0 is',
    ),
    'more behind the names': (file([A, B], ['a', 'b'], after=b'\0'), '1 bytes follow'),
    'two files in one': (SOUND + SOUND, f'{len(SOUND)} bytes follow'),
    'fewer arrays than there are': (file([A, B], ['a', 'b'], count=1), 'it has 1 arrays and'),
    'more arrays than there are': (file([A, B], ['a', 'b'], count=3), ''),
    'many arrays': (file([A], ['a'], count=2**16 + 1), 'it has 65537 arrays'),
    'huge number of arrays': (file([A], ['a'], count=2**64 - 1), 'arrays, and at most 65536'),
    'many names': (file([A], ['a'], named=2**63), f'1 arrays and {2**63} names'),
    'row-sparse': (file([array(VALUES, storage=1)], ['a']), 'has the storage type 1; only dense'),
    'compressed rows': (file([array(VALUES, storage=2)], ['a']), 'has the storage type 2'),
    'undefined storage': (file([array(VALUES, storage=-1)], ['a']), 'has the storage type -1'),
    'unknown storage': (file([array(VALUES, V3, storage=7)], ['a']), 'has the storage type 7'),
    'a bool': (file([array(VALUES, kind=7)], ['a']), 'array 0 has the unknown type 7'),
    'bfloat16': (file([array(VALUES, kind=12)], ['a']), 'array 0 has the unknown type 12'),
    'a negative type': (file([array(VALUES, kind=-1)], ['a']), 'array 0 has the unknown type -1'),
    'a huge type': (file([array(VALUES, kind=2**31 - 1)], ['a']), 'the unknown type 2147483647'),
    'none': (file([array(VALUES, shape=())], ['a']), 'array 0 is empty'),
    'none of version 1': (file([array(VALUES, V1, shape=())], ['a']), 'array 0 is empty'),
    'none of before': (file([array(VALUES, 0, shape=())], ['a']), 'array 0 is empty'),
    'no size': (file([array(VALUES, shape=(2, 0))], ['a']), 'array 0 has the shape (2, 0)'),
    'no size but a huge one': (file([array(VALUES, shape=(0, SIZE))], ['a']), 'has the shape (0'),
    'a negative size': (file([array(VALUES, shape=(-2, 3))], ['a']), 'has the shape (-2, 3)'),
    'two negative sizes': (file([array(VALUES, shape=(-2, -3))], ['a']), 'the shape (-2, -3)'),
    'an unknown size': (file([array(VALUES, V3, shape=(-1,))], ['a']), 'has the shape (-1,)'),
    'a size past the end': (file([array(VALUES, shape=(2, 99))], ['a']), 'larger than the file'),
    'a huge size': (file([array(VALUES, shape=(SIZE,))], ['a']), 'larger than the file'),
    'sizes that run over': (
        file([array(VALUES, shape=(2**32, 2**32))], ['a']),
        'larger than the file',
    ),
    'sizes that run over to 6': (
        file([array(VALUES, shape=(2**63 - 1, 2**63 - 1, 6))], ['a']),
        'larger than the file',
    ),
    'a huge size of before': (
        file([array(VALUES, 0, shape=(2**32 - 1, 2**32 - 1))], ['a']),
        'larger than the file',
    ),
    'a size of version 1 past the end': (
        file([array(VALUES, V1, shape=(SIZE, 1))], ['a']),
        'larger than the file',
    ),
    'many dimensions': (file([array(VALUES, shape=(1,) * 33)], ['a']), 'array 0 has 33 dimensions'),
    'many dimensions of before': (file([array(VALUES, 0, shape=(1,) * 33)], ['a']), '33 dimens'),
    'huge number of dimensions': (file([head(V2, 0, 2**31 - 1)], ['a']), '2147483647 dimensions'),
    'negative number of dimensions': (file([head(V2, 0, -1)], ['a']), 'has -1 dimensions'),
    'another version': (file([head(0xF993FACB, 0, 1)], ['a']), f'{0xF993FACB} dimensions'),
    'big-endian version': (file([struct.pack('>I', V2) + A[4:]], ['a']), 'dimensions'),
    'less data than its shape': (file([array(VALUES, data=b'\0' * 47)], ['a']), ''),
    'more data than its shape': (file([array(VALUES, data=b'\0' * 49)], ['a']), ''),
    'no data': (file([array(VALUES, data=b'')], ['a']), 'array 0 of shape (2, 3) is larger'),
    'nothing but the format': (SOUND[:8], 'it ends too early'),
    'nothing but the numbers': (SOUND[:24], 'it ends too early'),
    'zeros': (SOUND[:16] + bytes(64), '48 bytes follow'),
}


def test_there_are_enough_of_them():
    assert len(DAMAGED) >= 50


@pytest.mark.parametrize('kind', DAMAGED)
def test_damage_is_one_line(kind):
    content, reason = DAMAGED[kind]
    tracemalloc.start()
    with pytest.raises(InputError) as raised:
        read(content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    line = str(raised.value)
    assert line.startswith(f'checkpoint a.params ({len(content)} bytes) is damaged: ')
    assert line.endswith('; copy or download it again, or use an earlier one')
    assert reason in line and line.isprintable()
    assert most < 2**20


@pytest.mark.parametrize('run_code', [False, True], ids=['as data', 'trusted'])
def test_a_file_that_is_cut_off_anywhere(run_code):
    for length in range(len(SOUND)):
        with pytest.raises(InputError) as raised:
            read_stream(io.BytesIO(SOUND[:length]), 'a.params', run_code=run_code)
        assert ('is no checkpoint but an empty file' if not length else 'is damaged') in str(
            raised.value
        )


def test_a_byte_that_is_another_one_anywhere():
    """Numbers may have any value; everything else ends in one line or gives a sound file."""
    for place in range(len(SOUND)):
        for change in (1, 0x80, 0xFF):
            damaged = bytearray(SOUND)
            damaged[place] ^= change
            try:
                found = read(bytes(damaged))
            except InputError as error:
                assert str(error).isprintable()
            else:
                assert sum(t.numel() for t in found.values()) == 12


def test_a_name_promises_a_format():
    with pytest.raises(InputError, match=r'but an MXNet file under another name \(.*\.params$'):
        read(SOUND, 'a.pth')
    buffer = io.BytesIO()
    torch.save({}, buffer)
    with pytest.raises(InputError, match=r'but a PyTorch file under another name \(.*\.pth$'):
        read(buffer.getvalue())
    # Whose header is as long as the number that a file of MXNet begins with.
    header = b'{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}'.ljust(0x112)
    content = MAGIC + header + b'\7'
    assert read(content, 'a.safetensors')['a'].tolist() == [7]


SMALL = dict(fusion=IAFF, fusion_stages=(0,), out_indices=(0,), **RELEASE)


@pytest.fixture
def released(tmp_path):
    """The file of a network that was trained in float16, whose norms stay in float32."""
    source = randomize(AFFResNet(50, **SMALL))
    p = released_from(source.state_dict(), resnext=False)
    norms = ('gamma', 'beta', 'running_mean', 'running_var')
    p = {key: value if key.endswith(norms) else value.half() for key, value in p.items()}
    p['fc.weight'], p['fc.bias'] = torch.rand(10, 2048).half(), torch.rand(10).half()
    path = tmp_path / 'aff.params'
    path.write_bytes(save(p))
    return path, source.state_dict()


def check(model, expected):
    for key, value in model.state_dict().items():
        if not key.endswith('num_batches_tracked'):
            torch.testing.assert_close(value, expected[key], rtol=1e-3, atol=1e-5)


def test_init_cfg_takes_it(released):
    path, expected = released
    model = AFFResNet(50, init_cfg=dict(type='Pretrained', checkpoint=str(path)), **SMALL)
    model.init_weights()
    check(model, expected)


def test_it_is_converted(released, tmp_path):
    path, expected = released
    out = tmp_path / 'aff.pth'
    weights = read_weights(str(path))
    assert weights.layout.name == 'released AFF-ResNet'
    write_weights(rename_weights(weights), out)
    model = AFFResNet(50, init_cfg=dict(type='Pretrained', checkpoint=str(out)), **SMALL)
    model.init_weights()
    check(model, expected)


def test_damage_stops_the_initialization(tmp_path):
    path = tmp_path / 'a.params'
    path.write_bytes(SOUND[:-1])
    with pytest.raises(InputError, match=r'a\.params \(\d+ bytes\) is damaged: it ends too early'):
        BaseModule(dict(type='Pretrained', checkpoint=str(path))).init_weights()
