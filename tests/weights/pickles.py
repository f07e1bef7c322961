"""Pickles and archives put together by hand, for tests of what reading them does."""

import io
import struct
import zipfile


def name(module, attribute):
    return f'c{module}\n{attribute}\n'.encode()


def text(value):
    value = value.encode('utf-8', 'surrogatepass')
    return b'X' + struct.pack('<I', len(value)) + value


def number(value):
    content = value.to_bytes(value.bit_length() // 8 + 1, 'little', signed=True)
    return b'\x8a' + bytes([len(content)]) + content


def group(*items):
    return b'(' + b''.join(items) + b't'


def call(function, *arguments):
    return function + group(*arguments) + b'R'


def build(value, state):
    return value + state + b'b'


def mapping(**values):
    return b'}(' + b''.join(text(key) + value for key, value in values.items()) + b'u'


def storage(count, key='0', kind='FloatStorage'):
    pid = group(text('storage'), name('torch', kind), text(key), text('cpu'), number(count))
    return pid + b'Q'


def tensor(shape, stride, offset=0, count=4, **options):
    return call(
        name('torch._utils', '_rebuild_tensor_v2'),
        storage(count, **options),
        number(offset),
        group(*map(number, shape)),
        group(*map(number, stride)),
        b'\x89',
        call(name('collections', 'OrderedDict')),
    )


def pickled(*values):
    """A pickle of a dict with these values."""
    return b'\x80\x02' + mapping(**{f'k{i}': value for i, value in enumerate(values)}) + b'.'


def archive(content, records=(('data/0', bytes(16)),), root='archive', **options):
    """A file as torch.save writes it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', **options) as target:
        for path, data in (('data.pkl', content), ('version', b'3\n'), *records):
            target.writestr(f'{root}/{path}', data)
    return file.getvalue()


def old_file(content, keys=(), tail=b''):
    """A file as PyTorch wrote it before 1.6: pickles one after the other, then numbers."""
    magic = number(0x1950A86A20F9469CFC6C)
    parts = [magic, number(1001), b'}', None, b'](' + b''.join(map(text, keys)) + b'e']
    return b''.join(content if p is None else b'\x80\x02' + p + b'.' for p in parts) + tail
