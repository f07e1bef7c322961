import argparse
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmattn.checkpoints import find_state_dict, read_checkpoint
from mmattn.errors import InputError


class Attacker:
    """Makes a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_reads_what_was_saved(tmp_path):
    torch.save({'state_dict': {'a': torch.arange(3)}, 'meta': {'iter': 7}}, tmp_path / 'a.pth')
    checkpoint = read_checkpoint(tmp_path / 'a.pth')
    assert torch.equal(checkpoint['state_dict']['a'], torch.arange(3))
    assert checkpoint['meta'] == {'iter': 7}


def test_refuses_code(tmp_path):
    target = tmp_path / 'harm'
    torch.save({'state_dict': {}, 'extra': Attacker(target)}, tmp_path / 'a.pth')
    with pytest.raises(
        InputError, match=r'a\.pth is not plain data: .* run \w+\.mkdir; .*--trust-checkpoint'
    ):
        read_checkpoint(tmp_path / 'a.pth')
    assert not target.exists()


def test_names_the_class_it_refuses(tmp_path):
    torch.save({'state_dict': {}, 'args': argparse.Namespace(lr=1)}, tmp_path / 'a.pth')
    with pytest.raises(InputError, match=r'would run argparse\.Namespace.*--trust-checkpoint'):
        read_checkpoint(tmp_path / 'a.pth')


@pytest.mark.parametrize('how', ['truncated', 'empty', 'text'])
def test_damaged(tmp_path, how):
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {'a': torch.rand(1000)}}, path)
    content = path.read_bytes()
    path.write_bytes({'truncated': content[:2000], 'empty': b'', 'text': b'hello'}[how])
    with pytest.raises(InputError, match=rf'a\.pth \({path.stat().st_size} bytes\) is damaged'):
        read_checkpoint(path)


def test_missing_or_no_dict(tmp_path):
    with pytest.raises(InputError, match=r'nope\.pth is not a file'):
        read_checkpoint(tmp_path / 'nope.pth')
    torch.save(torch.rand(3), tmp_path / 'tensor.pth')
    with pytest.raises(InputError, match='holds a Tensor; expected a state dict'):
        read_checkpoint(tmp_path / 'tensor.pth')


SCRIPT = """
import sys
from mmattn.checkpoints import refuse_code_in_checkpoints
from mmengine.runner import CheckpointLoader
if sys.argv[2] == 'refuse':
    refuse_code_in_checkpoints()
CheckpointLoader.load_checkpoint(sys.argv[1])
"""


@pytest.mark.parametrize('mode', ['refuse', 'trust'])
def test_the_whole_process_refuses(tmp_path, mode):
    """In a process of its own, because it is for good; without it mmengine runs the code."""
    target = tmp_path / 'harm'
    torch.save({'state_dict': {}, 'extra': Attacker(target)}, tmp_path / 'a.pth')
    command = [sys.executable, '-c', SCRIPT, str(tmp_path / 'a.pth'), mode]
    status = subprocess.run(command, capture_output=True, text=True)
    assert target.exists() == (mode == 'trust')
    assert (status.returncode == 0) == (mode == 'trust'), status.stderr
    assert ('InputError' in status.stderr) == (mode == 'refuse')


def test_arrays_of_numbers_are_data(tmp_path):
    arrays = [np.ones(2, kind) for kind in (np.uint8, np.float32, np.int64, bool, complex, 'U3')]
    torch.save({'state_dict': {}, 'meta': arrays}, tmp_path / 'a.pth')
    command = [sys.executable, '-c', SCRIPT, str(tmp_path / 'a.pth'), 'refuse']
    status = subprocess.run(command, capture_output=True, text=True)
    assert status.returncode == 0, status.stderr


def test_state_dict_is_found_under_wrappers():
    a = torch.rand(2)
    assert find_state_dict({'state_dict': {'module.x': a}}) == {'x': a}
    assert find_state_dict({'model': {'x': a}, 'epoch': 3}) == {'x': a}
    assert find_state_dict({'x': a}) == {'x': a}


def test_reads_safetensors(tmp_path):
    save_file({'a': torch.arange(3)}, tmp_path / 'a.safetensors')
    assert torch.equal(read_checkpoint(tmp_path / 'a.safetensors')['a'], torch.arange(3))


def test_damaged_safetensors(tmp_path):
    (tmp_path / 'a.safetensors').write_bytes(b'hello')
    with pytest.raises(InputError, match=r'a\.safetensors \(5 bytes\) is damaged'):
        read_checkpoint(tmp_path / 'a.safetensors')


def test_safetensors_are_optional(tmp_path, monkeypatch):
    save_file({'a': torch.arange(3)}, tmp_path / 'a.safetensors')
    monkeypatch.setitem(sys.modules, 'safetensors.torch', None)
    with pytest.raises(InputError, match=r'a\.safetensors needs safetensors: pip install'):
        read_checkpoint(tmp_path / 'a.safetensors')
