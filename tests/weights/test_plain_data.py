"""Checkpoints are data: hostile and damaged ones are refused, honest ones are read."""

import argparse
import collections
import io
import itertools
import pickle
import random
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from safetensors.torch import save as save_safetensors
from torch import nn

from mmattn.errors import InputError
from mmattn.weights.files import read_stream
from mmattn.weights.plain_data import _BUILDERS, _SHORT
from tests.helpers import needs_torch
from tests.weights.pickles import (
    archive,
    build,
    call,
    group,
    mapping,
    name,
    number,
    old_file,
    pickled,
    storage,
    tensor,
    text,
)

# ---- What runs while a file is read ----

_watching = False
_seen = []
# Python reports these before they happen, whoever asks for them.
_EVENTS = ('exec', 'compile', 'import', 'os.', 'subprocess.', 'socket.', 'shutil.', 'open')


def _watch(event, arguments):
    if _watching and event.startswith(_EVENTS):
        _seen.append((event, arguments))


sys.addaudithook(_watch)


def read(content, path='a.pth'):
    """Read a file, and make sure that nothing is run on the way."""
    global _watching
    _seen.clear()
    _watching = True
    try:
        return read_stream(io.BytesIO(content), path)
    finally:
        _watching = False
        assert not _seen


def read_or_refuse(content):
    """Give None for a file that is refused; whatever else is raised is a fault."""
    try:
        return read(content)
    except InputError as error:
        assert '\n' not in str(error)
        assert str(error).startswith(('checkpoint a.pth ', 'a.pth is no checkpoint but '))
        return None


def test_the_watch_sees_code():
    class Attacker:
        def __reduce__(self):
            return eval, ('len([])',)

    global _watching
    _watching = True
    pickle.loads(pickle.dumps(Attacker()))
    _watching = False
    assert _seen
    _seen.clear()


@pytest.fixture(autouse=True, scope='module')
def _loaded():
    """What Python loads when it opens the first archive."""
    read_stream(io.BytesIO(archive(pickled(tensor([4], [1])))), 'a.pth')


# ---- Names ----

# As pickles of every version of Python and of the libraries spell them.
SPELLED = {}
for _full in _BUILDERS:
    _module, _, _attribute = _full.rpartition('.')
    if _module.startswith('mmengine.'):
        _module, _attribute = 'mmengine', f'HistoryBuffer.{_attribute}'
    _modules = [long for long, short in _SHORT.items() if short == _module] or [_module]
    SPELLED[_full] = name(_modules[0], _attribute)
REBUILD = ('_rebuild_tensor', '_rebuild_tensor_v2', '_rebuild_tensor_v3')
SPELLED.update({f'torch._utils.{n}': name('torch._utils', n) for n in REBUILD})
HUGE = number(2**40)


@pytest.mark.parametrize('allowed', SPELLED)
def test_each_allowed_name_misused(allowed):
    it = SPELLED[allowed]
    misuses = [
        it,
        call(it),
        call(it, HUGE),
        call(it, HUGE, HUGE),
        call(it, text('os.system'), text('ls')),
        call(it, group(HUGE, HUGE), group(number(0), number(0))),
        call(it, b'](' + HUGE + HUGE + b'e'),
        call(it, mapping(a=HUGE)),
        call(it, storage(4), number(0), group(HUGE), group(number(1))),
        build(it, mapping(__class__=HUGE, __code__=HUGE)),
        build(it, group(b'N', mapping(__defaults__=group(HUGE)))),
        build(call(it), mapping(__class__=it, __dict__=it)),
        build(call(it), group(b'N', mapping(__class__=it))),
        build(call(it), group(*[HUGE] * 5)),
        it + text('a') + HUGE + b's',
        it + HUGE + b'a',
        it + b'(' + HUGE + b'e',
        it + b')\x81',
        it + group(HUGE) + b'\x81',
    ]
    for misuse in misuses:
        read_or_refuse(archive(pickled(misuse)))
        read_or_refuse(old_file(pickled(misuse)))
    # A name by itself is no data, unless it is that of a type of numbers.
    with pytest.raises(InputError, match='is not plain data'):
        read(archive(pickled(it)))


def test_allowed_names_misused_in_pairs():
    for one, other in itertools.product(SPELLED.values(), repeat=2):
        for misuse in (
            call(one, other),
            call(one, other, text('__init__')),
            call(one, other, other, group(HUGE), mapping(a=other)),
            call(call(one, other), other),
            build(call(one), mapping(_metadata=other, a=other)),
            build(call(one, other), other),
        ):
            read_or_refuse(archive(pickled(misuse)))


@pytest.mark.parametrize(
    ('module', 'attribute'),
    [
        ('os', 'system'),
        ('posix', 'system'),
        ('builtins', 'eval'),
        ('builtins', 'exec'),
        ('builtins', '__import__'),
        ('builtins', 'globals'),
        ('builtins', 'bytearray'),
        ('__builtin__', 'eval'),
        ('operator', 'attrgetter'),
        ('functools', 'partial'),
        ('importlib', 'import_module'),
        ('pickle', 'loads'),
        ('_codecs', 'decode'),
        ('copyreg', '_reconstructor'),
        ('collections', 'OrderedDict.fromkeys'),
        ('collections', 'OrderedDict.__init__.__globals__'),
        ('mmengine.logging.history_buffer', 'HistoryBuffer.register_statistics'),
        ('mmengine.config', 'Config.fromstring'),
        ('mmengine.config.config', 'Config'),
        ('numpy', 'load'),
        ('numpy', 'fromfile'),
        ('numpy.core.multiarray', 'fromstring'),
        ('torch', 'load'),
        ('torch', '_utils'),
        ('torch.storage', '_load_from_bytes'),
        ('torch.hub', 'load'),
        ('torch.jit', 'load'),
        ('torch.ops', 'load_library'),
        ('torch._utils', '_rebuild_wrapper_subclass'),
        ('torch._utils', '_rebuild_device_tensor_from_numpy'),
        ('torch._utils', '_rebuild_sparse_tensor'),
        ('torch._utils', '_rebuild_qtensor'),
        ('torch._utils', '_rebuild_meta_tensor_no_storage'),
        ('torch.nn.modules.linear', 'Linear'),
    ],
)
def test_other_names_are_refused(module, attribute):
    found = name(module, attribute)
    by_stack = text(module) + text(attribute) + b'\x93'
    for misuse in (found, call(found, text('1')), call(by_stack, text('1'))):
        for file in (archive(pickled(misuse)), old_file(pickled(misuse))):
            with pytest.raises(InputError, match='would run .*; if you trust .*--trust-ch'):
                read(file)


def test_getattr_gives_the_methods_of_a_history_and_nothing_else():
    getattr_ = name('builtins', 'getattr')
    history = name('mmengine.logging.history_buffer', 'HistoryBuffer')
    for owner, attribute in (
        (history, '__init__'),
        (history, 'register_statistics'),
        (name('torch._utils', '_rebuild_tensor_v2'), '__globals__'),
        (name('collections', 'OrderedDict'), 'min'),
        (call(history), 'min'),
        (text('mmengine.HistoryBuffer'), 'min'),
    ):
        with pytest.raises(InputError, match='would run getattr'):
            read(archive(pickled(call(getattr_, owner, text(attribute)))))


def test_a_tensor_class_of_somebody_is_refused():
    kind = name('torch.nn', 'Linear')
    with pytest.raises(InputError, match=r'would run torch\.nn\.Linear'):
        read(archive(pickled(call(name('torch._tensor', '_rebuild_from_type_v2'), kind))))


@pytest.mark.parametrize(
    'instruction',
    [
        b'(ios\nsystem\n',  # INST
        b'(' + name('builtins', 'bytes') + text('ls') + b'o',  # OBJ
        b'\x82\x01',  # EXT1
        b'Pkey\n',  # PERSID
        b'\x96' + struct.pack('<Q', 2**40),  # BYTEARRAY8
        b'\x97',  # NEXT_BUFFER
        b"S'abc'\n",  # STRING
        b'I1\n',  # INT
        b'2',  # DUP
    ],
)
def test_instructions_that_no_checkpoint_has(instruction):
    with pytest.raises(InputError, match='would run the pickle instruction'):
        read(archive(pickled(instruction)))


# ---- Sizes ----

NESTED = pickled(b']' * 10**5 + b'a' * (10**5 - 1))
LAUGHS = pickled(b']' + b''.join(b'q%c](h%ch%ce' % (i, i, i) for i in range(40)))
ITSELF = pickled(b']q\x01h\x01a')
OVERSIZED = {
    'shape': archive(pickled(tensor([2**40], [1]))),
    'stride': archive(pickled(tensor([2, 2], [2**40, 1]))),
    'offset': archive(pickled(tensor([1], [1], offset=4))),
    'negative stride': archive(pickled(tensor([2], [-1], offset=3))),
    'negative shape': archive(pickled(tensor([-1], [1]))),
    'overflow': archive(pickled(tensor([2**63, 2], [0, 0]))),
    'repeated': archive(pickled(tensor([2**20, 2**20], [0, 0]))),
    'repeated often': archive(pickled(*[tensor([2**22], [0])] * 9)),
    'storage': archive(pickled(tensor([1], [1], count=2**40))),
    'no storage': archive(pickled(tensor([1], [1], key='7'))),
    'storage elsewhere': archive(pickled(tensor([1], [1], key='../../data.pkl'))),
    'storage of another type': archive(pickled(tensor([1], [1], kind='DoubleStorage'))),
    'old storage': old_file(pickled(tensor([1], [1], count=2**40)), '0', bytes(24)),
    'old numbers': old_file(pickled(tensor([1], [1])), '0', struct.pack('<q', 2**40) + bytes(16)),
    'old numbers missing': old_file(pickled(tensor([4], [1])), '0', struct.pack('<q', 4)),
    'old numbers not listed': old_file(pickled(tensor([4], [1]))),
    'text': archive(b'\x80\x04\x8d' + struct.pack('<Q', 2**40) + b'.'),
    'old text': old_file(b'\x80\x04\x8d' + struct.pack('<Q', 2**40) + b'.'),
    'frame': archive(b'\x80\x04\x95' + struct.pack('<Q', 2**40) + b'}.'),
    'levels': archive(NESTED),
    'old levels': old_file(NESTED),
    'laughs': archive(LAUGHS),
    'itself': archive(ITSELF),
    'many lists': archive(pickled(b'](' + b']' * 10**6 + b'e')),
    'many sets': archive(pickled(b'](' + b'\x8f' * 10**6 + b'e')),
    'array': archive(
        pickled(
            build(
                call(name('numpy.core.multiarray', '_reconstruct'), name('numpy', 'ndarray')),
                group(
                    number(1),
                    group(HUGE),
                    call(name('numpy', 'dtype'), text('f8')),
                    b'\x89',
                    call(name('_codecs', 'encode'), text('12345678'), text('latin1')),
                ),
            )
        )
    ),
    'bytes': archive(pickled(call(name('builtins', 'bytes'), HUGE))),
    'compressed': archive(
        pickled(tensor([2**28], [1], count=2**28)),
        [('data/0', bytes(2**30))],
        compression=zipfile.ZIP_DEFLATED,
        compresslevel=1,
    ),
    'compressed pickle': archive(pickled(text('a' * 2**28)), compression=zipfile.ZIP_DEFLATED),
    'objects': archive(pickled(call(name('numpy', 'dtype'), text('O8')))),
}


@pytest.mark.parametrize('how', OVERSIZED)
def test_oversized(how):
    with pytest.raises(InputError, match=r'a\.pth .*is damaged'):
        read(OVERSIZED[how])


def test_a_large_index_makes_no_large_table():
    assert read(archive(b'\x80\x02Nr\xff\xff\xff\x7f0}.')) == {}


MEMORY = """
import resource, sys
from mmattn.weights.files import read_checkpoint
from mmattn.errors import InputError
import torch
torch.load(sys.argv[1], weights_only=True)  # what libraries take once
read_checkpoint(sys.argv[1])
for path in sys.argv[2:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read_checkpoint(path)
    except InputError:
        pass
    print(path, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_is_bounded(tmp_path):
    torch.save({'a': torch.zeros(2)}, tmp_path / 'first.pth')
    torch.save({'a': torch.zeros(2**25)}, tmp_path / 'honest.pth')  # 128 MiB
    paths = [tmp_path / 'first.pth']
    for number_, (how, content) in enumerate(OVERSIZED.items()):
        paths.append(tmp_path / f'{number_}-{how.replace(" ", "-")}.pth')
        paths[-1].write_bytes(content)
    paths.append(tmp_path / 'honest.pth')
    done = subprocess.run(
        [sys.executable, '-c', MEMORY, *map(str, paths)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    grown = dict(line.rsplit(' ', 1) for line in done.stdout.splitlines())
    # KiB. The structure of a file may take as much as the honest one's numbers.
    assert len(grown) == len(OVERSIZED) + 1
    assert sum(map(int, grown.values())) < 2 * 2**17, grown


# ---- Formats ----


def with_two_records(first, second):
    with pytest.warns(UserWarning, match='Duplicate name'):
        return archive(first, [('data.pkl', second)])


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: with_two_records(pickled(), pickled()), 'two records of one name'),
        (lambda: archive(pickled(), root='../../tmp'), 'not one that torch.save writes'),
        (lambda: archive(pickled(), [('../../x', b'x')], root='a/..'), 'not one that torch.save'),
        (lambda: archive(archive(pickled()), [('b/data.pkl', b'')]), 'not one that torch.save'),
        (lambda: archive(archive(pickled())), 'is not plain data'),
        (lambda: archive(pickled(), [('byteorder', b'big')]), 'not little-endian'),
        (lambda: b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.', 'ends too early'),
    ],
    ids=lambda value: '' if callable(value) else value[:20],
)
def test_other_formats(make, message):
    with pytest.raises(InputError, match=message):
        read(make())


def test_names_do_not_reach_the_terminal_as_they_are():
    with pytest.raises(InputError) as raised:
        read(archive(pickled(name('os', '\x1b[2J'))))
    assert str(raised.value).isprintable()


# ---- Damage ----


def content_of(data, **options):
    file = io.BytesIO()
    torch.save(data, file, **options)
    return file.getvalue()


def sample():
    layer = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.rand(2, 2, 5, 5)).sum().backward()
    optimizer.step()
    return dict(
        state_dict=layer.state_dict(),
        optimizer=optimizer.state_dict(),
        message_hub=dict(log_buffers=collections.OrderedDict(loss=HistoryBuffer([1.0], [1]))),
        meta=dict(iter=3, seed=np.int64(1)),
    )


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, HistoryBuffer):
        return all(map(np.array_equal, one.data, other.data))
    return type(one) is type(other) and bool(np.all(one == other))


def test_flipped_bits_are_noticed():
    data = sample()
    content = content_of(data)
    draw = random.Random(0)
    refused = 0
    for _ in range(600):
        damaged = bytearray(content)
        damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        found = read_or_refuse(bytes(damaged))
        refused += found is None
        assert found is None or same(found, data)
    assert refused > 300  # the rest are padding and records that nobody needs


def test_a_damaged_end_of_an_archive_ends_in_no_traceback():
    content = content_of({'a': torch.zeros(1)})
    for place in range(len(content) - 98, len(content)):  # three records of 56, 20 and 22 bytes
        for bit in (0, 7):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            read_or_refuse(bytes(damaged))


def test_old_files_have_no_check_sum_and_end_in_no_traceback():
    content = content_of(sample(), _use_new_zipfile_serialization=False)
    draw = random.Random(0)
    for _ in range(300):
        damaged = bytearray(content)
        damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        read_or_refuse(bytes(damaged))


def test_damaged_safetensors_end_in_no_traceback():
    content = save_safetensors(sample()['state_dict'])
    draw = random.Random(0)
    for i in range(200):
        damaged = bytearray(content)
        damaged[draw.randrange(min(len(content), 300))] ^= 1 << draw.randrange(8)
        for broken in (damaged, content[: draw.randrange(len(content))]):
            try:
                read_stream(io.BytesIO(bytes(broken)), 'a.safetensors')
            except InputError as error:
                assert 'a.safetensors' in str(error), i


# ---- Honest files ----


@pytest.mark.parametrize(
    'options',
    [{}, dict(_use_new_zipfile_serialization=False), dict(pickle_protocol=4)],
    ids=['zip', 'before 1.6', 'protocol 4'],
)
def test_all_that_checkpoints_are_made_of(options):
    whole = torch.arange(12.0)
    data = dict(
        sample(),
        args=argparse.Namespace(lr=0.1, layers=[1, 2]),
        milestones=collections.Counter([3, 5]),
        tied=(whole, whole[2:8:2], whole.view(3, 4).t()),
        kinds=[
            torch.ones(2).to(kind)
            for kind in (torch.bfloat16, torch.float16, torch.int8, torch.bool, torch.complex64)
        ],
        empty=torch.zeros(0, 3),
        scalar=torch.tensor(3),
        random=(random.getstate(), np.random.get_state(), torch.get_rng_state()),
        arrays=[np.ones(2, k) for k in (np.uint8, np.float32, '>i4', bool, complex, 'U3', 'S2')],
        square=np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        numbers=[np.float64(1.5), np.int64(-1), np.bool_(True), np.str_('a')],
        others=[{1, 2}, frozenset([3]), 1 + 2j, b'\x00\xff', b'', slice(1, None), 2**100, None],
        beside=[torch.Size([1, 2]), torch.float16, torch.device('cuda', 1)],
    )
    found = read(content_of(data, **options))
    assert same(found, {**data, 'args': found['args']})
    assert vars(found['args']) == vars(data['args'])
    assert found['state_dict']._metadata == data['state_dict']._metadata
    assert found['message_hub']['log_buffers']['loss'].mean() == 1
    assert found['tied'][0].untyped_storage().data_ptr() == (
        found['tied'][1].untyped_storage().data_ptr()
    )


@needs_torch('2.2', 'a file of float8')
def test_numbers_of_eight_bits():
    data = dict(state_dict=torch.ones(2).to(torch.float8_e4m3fn))
    assert same(read(content_of(data)), data)


def test_what_is_no_plain_data_becomes_it():
    tensor_ = torch.ones(2)
    tensor_.note = 'a'
    parameter = nn.Parameter(torch.ones(2))
    noted = nn.Parameter(torch.ones(2))
    noted.note = 'a'
    data = dict(
        tensor=tensor_,
        parameters=[parameter, noted],
        config=ConfigDict(classes=('a', 'b'), inner=dict(a=1)),
        groups=collections.defaultdict(list, a=[1]),
    )
    found = read(content_of(data))
    assert not hasattr(found['tensor'], 'note')
    assert all(
        type(each) is nn.Parameter and torch.equal(each, tensor_) for each in found['parameters']
    )
    assert type(found['config']) is dict and found['config'] == data['config'].to_dict()
    assert type(found['groups']) is dict and found['groups'] == {'a': [1]}


def test_a_dict_that_is_built_from_another_is_one_of_its_own():
    class Copied:
        def __init__(self, items):
            self.items = items

        def __reduce__(self):
            return dict, (self.items,)

    items = {'a': 1}
    one, other = read(content_of(dict(pair=[Copied(items), Copied(items)])))['pair']
    assert one == other == items
    assert one is not other


def test_reading_changes_no_class():
    # The first one of a process sets the methods of its class.
    before = dict(HistoryBuffer()._statistics_methods)
    state = mapping(
        _log_history=number(1), _count_history=number(1), max_length=number(1),
        statistics_methods=mapping(mean=number(1)),
    )  # fmt: skip
    history = name('mmengine.logging.history_buffer', 'HistoryBuffer')
    assert read_or_refuse(archive(pickled(build(call(history), state)))) is None
    assert HistoryBuffer._statistics_methods == before


def test_a_checkpoint_of_timm_is_read(tmp_path):
    timm = pytest.importorskip('timm')
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    saver = timm.utils.CheckpointSaver(
        model,
        optimizer,
        args=argparse.Namespace(model='linear', lr=0.1),
        checkpoint_dir=str(tmp_path),
        recovery_dir=str(tmp_path),
    )
    saver.save_checkpoint(0, metric=1.0)
    found = read((tmp_path / 'last.pth.tar').read_bytes())
    assert same(found['state_dict'], model.state_dict())
    assert found['args'].lr == 0.1


def test_a_checkpoint_of_torchvision_is_read():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    model(torch.rand(1, 2)).sum().backward()
    optimizer.step()
    data = dict(
        model=model.state_dict(),
        optimizer=optimizer.state_dict(),
        lr_scheduler=schedule.state_dict(),
        epoch=1,
        args=argparse.Namespace(device='cuda', opt='sgd'),
        scaler=dict(scale=65536.0, growth_factor=2.0, growth_interval=2000, _growth_tracker=0),
    )
    found = read(content_of(data))
    assert same({**found, 'args': None}, {**data, 'args': None})
