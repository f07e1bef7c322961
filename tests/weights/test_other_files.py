"""What is no checkpoint is called what it is, on every road, and never said to be code."""

import io
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader, load_checkpoint
from safetensors.torch import save as save_safetensors
from torch import nn

from mmattn.cli import options
from mmattn.errors import InputError
from mmattn.weights import sources
from mmattn.weights.checking import check_weights
from mmattn.weights.files import read_stream
from mmattn.weights.reading import read_weights


def packed(*names, pack='zip'):
    file = io.BytesIO()
    if pack == 'zip':
        with zipfile.ZipFile(file, 'w') as archive:
            for name in names:
                archive.writestr(name, b'x')
    else:
        with tarfile.open(fileobj=file, mode='w') as archive:
            for name in names:
                archive.addfile(tarfile.TarInfo(name))
    return file.getvalue()


def script():
    file = io.BytesIO()
    # Newer versions of PyTorch have it go.
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.rand(1, 2)), file)
    return file.getvalue()


def arrays(save, *values):
    file = io.BytesIO()
    save(file, *values)
    return file.getvalue()


STATE_DICT = {'conv.weight': torch.arange(6.0).reshape(2, 3), 'conv.bias': torch.ones(2)}


def saved(**options):
    file = io.BytesIO()
    torch.save(STATE_DICT, file, **options)
    return file.getvalue()


PAGE = 'a web page', 'download the file itself, not the page about it'
CONVERT = 'convert it to PyTorch first'
UNPACK = 'unpack it and give the checkpoint that is inside'
AGAIN = 'copy or download it again, or use an earlier one'
POINTER = b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n'


@pytest.mark.parametrize(
    ('content', 'what', 'advice'),
    [
        (b'', 'an empty file', AGAIN),
        (b'<html>404', *PAGE),
        ('\ufeff\n<!DOCTYPE html><p>für'.encode(), *PAGE),
        (b'<?xml version="1.0"?><Error>AccessDenied', 'an XML file', PAGE[1]),
        (POINTER, 'a Git LFS pointer', 'fetch the file itself: git lfs pull'),
        (b'{"message": "Not Found"}', 'a JSON file', 'check the path'),
        (b'[[1, 2]]', 'a JSON file', 'check the path'),
        (b'[core]\nname = 1\n', 'a text file', 'check the path'),
        ('€'.encode() * 400, 'a text file', 'check the path'),
        (
            save_safetensors(STATE_DICT),
            'a safetensors file under another name',
            'give it the ending .safetensors',
        ),
        (packed('a', pack='tar'), 'a tar archive', UNPACK),
        (
            packed('sys_info', 'pickle', 'storages', pack='tar'),
            'a PyTorch file of before 2017',
            'load it by torch.load(FILE, weights_only=False) and save it again',
        ),
        (packed('a.pth'), 'a zip archive that torch.save has not written', UNPACK),
        (packed(), 'a zip archive that torch.save has not written', UNPACK),
        (script, 'a TorchScript program', 'save the state_dict() of what torch.jit.load gives'),
        (arrays(np.savez, np.ones(2)), 'an archive of NumPy arrays', CONVERT),
        (arrays(np.save, np.ones(2)), 'a NumPy array', CONVERT),
        (b'\x89HDF\r\n\x1a\n\0', 'an HDF5 file', CONVERT),
        (b'\x1f\x8b\x08\0', 'a gzip archive', UNPACK),
        (
            b'\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94\x8c\x01a\x94K\x01s.',
            'a pickle that torch.save has not written',
            'save its tensors with torch.save',
        ),
        (b'\xfe\xfe\xfe', 'unknown data', AGAIN),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else 'content',
)
@pytest.mark.parametrize('run_code', [False, True], ids=['as data', 'trusted'])
def test_what_is_no_checkpoint(content, what, advice, run_code):
    content = content() if callable(content) else content
    with pytest.raises(InputError) as raised:
        read_stream(io.BytesIO(content), 'a.pth', run_code=run_code)
    assert str(raised.value) == (
        f'a.pth is no checkpoint but {what} ({len(content)} bytes); {advice}'
    )


def initialize(path):
    BaseModule(dict(type='Pretrained', checkpoint=path)).init_weights()


ROADS = {
    'load_from': lambda path: CheckpointLoader.load_checkpoint(path, 'cpu'),
    'load_checkpoint of mmengine': lambda path: load_checkpoint(nn.Linear(1, 1), path),
    'an address': lambda path: CheckpointLoader.load_checkpoint('https://example.com/a.pth'),
    'init_cfg': initialize,
    'resume': lambda path: options.resume(Config(dict(work_dir='.')), path),
    'test': options.check_checkpoint,
    'weights check': lambda path: check_weights(nn.Linear(1, 1), path),
    'weights convert': read_weights,
}


@pytest.mark.parametrize('road', ROADS)
@pytest.mark.parametrize('reads', ['data', 'code'])
def test_every_road(tmp_path, monkeypatch, road, reads):
    monkeypatch.setattr(sources, '_reads', reads)
    monkeypatch.setenv('MMATTN_PRETRAINED_DIR', str(tmp_path))
    (tmp_path / 'a.pth').write_bytes(POINTER)
    with pytest.raises(InputError) as raised:
        ROADS[road](str(tmp_path / 'a.pth'))
    assert str(raised.value) == (
        f'{tmp_path}/a.pth is no checkpoint but a Git LFS pointer ({len(POINTER)} bytes); fetch '
        'the file itself: git lfs pull'
    )


class Gone:
    """Of a package that somebody else has."""


def test_trusted_code_that_is_not_here(monkeypatch):
    file = io.BytesIO()
    torch.save({'model': Gone()}, file)
    monkeypatch.delitem(globals(), 'Gone')
    with pytest.raises(InputError) as raised:
        read_stream(file, 'a.pth', run_code=True)
    line = str(raised.value)
    assert line.startswith(
        "checkpoint a.pth needs code that is not here (Can't get attribute 'Gone'"
    )
    assert line.endswith('); install it, or name its folder in PYTHONPATH')


def test_a_file_of_pytorch_that_is_called_safetensors():
    with pytest.raises(InputError) as raised:
        read_stream(io.BytesIO(saved()), 'a.safetensors')
    assert str(raised.value) == (
        f'a.safetensors is no checkpoint but a PyTorch file under another name ({len(saved())} '
        'bytes); give it the ending .pth'
    )


@pytest.mark.parametrize('run_code', [False, True], ids=['as data', 'trusted'])
@pytest.mark.parametrize(
    ('content', 'name', 'begins'),
    [
        (saved(), 'a.pth', 1),
        (saved(_use_new_zipfile_serialization=False), 'a.pth', 1),
        # Less than the length of its header says nothing.
        (save_safetensors(STATE_DICT), 'a.safetensors', 9),
    ],
    ids=['zip', 'of before 1.6', 'safetensors'],
)
def test_a_file_that_is_cut_off_anywhere_is_damaged(content, name, begins, run_code):
    assert read_stream(io.BytesIO(content), name, run_code=run_code).keys() == STATE_DICT.keys()
    for length in range(len(content)):
        with pytest.raises(InputError) as raised:
            read_stream(io.BytesIO(content[:length]), name, run_code=run_code)
        line = str(raised.value)
        assert line.isprintable() and line.endswith(f'; {AGAIN}' if length >= begins else '')
        assert 'trust' not in line and 'code' not in line
        told = 'is no checkpoint but' if length < begins else f'({length} bytes) is damaged'
        assert f'{name} {told}' in line, length
