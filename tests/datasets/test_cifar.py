"""CIFAR-100's pickles, as they are published and damaged."""

import os
import pickle
import struct

import numpy as np
import pytest
from mmengine.registry import DATASETS

from mmattn import CIFAR100Superclasses
from mmattn.datasets.audit.run import inspect_dataset
from mmattn.datasets.benchmarks import BENCHMARKS
from mmattn.datasets.cifar import read_split
from mmattn.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3072), dtype=np.uint8)
SPLIT = dict(data=PIXELS, coarse_labels=[0, 19, 7], fine_labels=[1, 99, 3])


def short(text):
    return b'U' + bytes([len(text)]) + text.encode()


def of_python_2():
    """The file of three images as Python 2 and its NumPy have written it."""
    array = (
        b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0t' + short('b') + b'tR'
        b'(K\1(K\3M\0\x0ct' + b'cnumpy\ndtype\n(' + short('u1') + b'K\0K\1tR'
        b'(K\3' + short('|') + b'NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb'
        b'\x89T' + struct.pack('<I', PIXELS.size) + PIXELS.tobytes() + b'tb'
    )
    names = b'](' + short('a.png') + short('b.png') + b'U\5\xe9.png' + b'e'
    return (
        b'\x80\2}('
        + short('filenames')
        + names
        + short('batch_label')
        + short('1 of 1')
        + short('fine_labels')
        + b'](K\1K\x63K\3e'
        + short('coarse_labels')
        + b'](K\0K\x13K\7e'
        + short('data')
        + array
        + b'u.'
    )


def write(root, split, content):
    folder = root / 'cifar-100-python'
    folder.mkdir(exist_ok=True)
    content = content if isinstance(content, bytes) else pickle.dumps(content, protocol=2)
    (folder / split).write_bytes(content)
    return folder / split


@pytest.mark.parametrize('content', [of_python_2(), SPLIT], ids=['Python 2', 'Python 3'])
def test_reads_the_superclasses_in_bgr(tmp_path, content):
    write(tmp_path, 'test', content)
    cfg = dict(type='CIFAR100Superclasses', data_root=str(tmp_path), split='test', pipeline=[])
    dataset = DATASETS.build(cfg)
    assert [dataset[i]['gt_label'] for i in range(len(dataset))] == [0, 19, 7]
    for i in range(3):
        red_first = PIXELS[i].reshape(3, 32, 32)
        for channel in range(3):
            assert np.array_equal(dataset[i]['img'][..., channel], red_first[2 - channel])
        assert dataset[i]['ori_shape'] == (32, 32)


def test_the_classes_are_those_that_the_fine_ones_belong_to():
    """MXNet and the authors of CIFAR count the superclasses by the alphabet."""
    classes = CIFAR100Superclasses.METAINFO['classes']
    assert len(classes) == 20 and list(classes) == sorted(classes)
    assert (classes[2], classes[14], classes[19]) == ('flowers', 'people', 'vehicles_2')


class Harm:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_runs_nothing(tmp_path):
    path = write(tmp_path, 'train', {**SPLIT, 'extra': Harm(tmp_path / 'harm')})
    with pytest.raises(InputError) as raised:
        read_split(path)
    assert str(raised.value) == (
        f'{path} is not plain data: reading it would run {os.mkdir.__module__}.mkdir; get the file '
        'of CIFAR-100'
    )
    assert not (tmp_path / 'harm').exists()


NONE = 'is no file of CIFAR-100: expected data, 3072 numbers'


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'', 'is damaged; copy or download it again'),
        (b'\x80\2}', 'is damaged'),
        (of_python_2()[:-100], 'is damaged'),
        (of_python_2().replace(b'T\0$\0\0', b'T\xff\xff\xff\x7f'), 'is damaged'),
        (of_python_2().replace(b'M\0\x0c', b'M\0\x0d'), 'is damaged'),
        ([1, 2], NONE),
        ({'fine_labels': [1], 'data': PIXELS[:1]}, NONE),
        ({**SPLIT, 'data': PIXELS[:2]}, NONE),
        ({**SPLIT, 'data': PIXELS.astype('int16')}, NONE),
        ({**SPLIT, 'data': PIXELS[:, 1:]}, NONE),
        ({**SPLIT, 'data': PIXELS[0]}, NONE),
        ({**SPLIT, 'data': 'x'}, NONE),
        ({**SPLIT, 'coarse_labels': ['a', 'b', 'c']}, NONE),
        ({**SPLIT, 'coarse_labels': 7}, NONE),
        (dict(data=PIXELS[:0], coarse_labels=[]), NONE),
    ],
)
def test_damage_is_one_line(tmp_path, content, reason):
    path = write(tmp_path, 'train', content)
    with pytest.raises(InputError) as raised:
        read_split(path)
    line = str(raised.value)
    assert line.startswith(f'{path} {reason}') and line.isprintable()
    report = inspect_dataset('cifar100', tmp_path, workers=1)
    assert [fault.kind for fault in report.faults] == ['unreadable file']


def test_a_file_that_is_missing_or_too_large(tmp_path):
    with pytest.raises(InputError, match=r'train cannot be read \(No such file or directory\)'):
        CIFAR100Superclasses(str(tmp_path))
    path = write(tmp_path, 'train', b'')
    os.truncate(path, 2**30)
    with pytest.raises(InputError, match=r'has 1073741824 bytes; expected a file of CIFAR-100'):
        read_split(path)


def test_another_split(tmp_path):
    with pytest.raises(InputError, match="expected split 'train' or 'test', got 'val'"):
        CIFAR100Superclasses(str(tmp_path), split='val')


def test_a_label_that_is_no_superclass(tmp_path):
    write(tmp_path, 'test', {**SPLIT, 'coarse_labels': [0, 20, -1]})
    with pytest.raises(InputError, match=r'test: image 1 has the label 20; expected 0 to 19$'):
        CIFAR100Superclasses(str(tmp_path), split='test')
    report = inspect_dataset('cifar100', tmp_path, workers=1)
    assert [fault.kind for fault in report.faults] == ['label out of range'] * 2


def test_a_copy_with_one_split(tmp_path):
    BENCHMARKS['cifar100'].make(tmp_path / 'data', train=2, val=3)
    (tmp_path / 'data' / 'cifar-100-python' / 'train').unlink()
    report = inspect_dataset('cifar100', tmp_path / 'data', workers=1)
    assert (report.images, report.faults) == (3, [])
