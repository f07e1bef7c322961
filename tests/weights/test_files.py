import argparse
import os
import sys
from contextlib import nullcontext

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import load_checkpoint
from safetensors.torch import save_file

from mmattn.errors import InputError
from mmattn.weights import sources
from mmattn.weights.files import read_checkpoint
from mmattn.weights.sources import refuse_code_in_checkpoints


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
    torch.save({'state_dict': {}, 'args': argparse.HelpFormatter}, tmp_path / 'a.pth')
    with pytest.raises(InputError, match=r'would run argparse\.\w+; .*--trust-checkpoint'):
        read_checkpoint(tmp_path / 'a.pth')


def test_missing_or_no_dict(tmp_path):
    with pytest.raises(InputError, match=r'nope\.pth is not a file'):
        read_checkpoint(tmp_path / 'nope.pth')
    torch.save(torch.rand(3), tmp_path / 'tensor.pth')
    with pytest.raises(InputError, match='holds a Tensor; expected a state dict'):
        read_checkpoint(tmp_path / 'tensor.pth')


@pytest.mark.parametrize('reads', ['data', 'code', ''])
def test_whoever_reads_in_this_process_reads_data(tmp_path, monkeypatch, reads):
    """Without a word, or with the one that trusts, mmengine runs the code."""
    monkeypatch.setattr(sources, '_reads', reads)
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', raising=False)
    target = tmp_path / 'harm'
    torch.save({'state_dict': {}, 'extra': Attacker(target)}, tmp_path / 'a.pth')
    layer = BaseModule(dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth')))
    with pytest.raises(InputError) if reads == 'data' else nullcontext():
        layer.init_weights()
    target.rmdir() if target.exists() else None
    with pytest.raises(InputError) if reads == 'data' else nullcontext():
        load_checkpoint(layer, str(tmp_path / 'a.pth'))
    assert target.exists() == (reads != 'data')


def test_the_first_word_counts(monkeypatch):
    for first in ('code', 'data'):
        monkeypatch.setattr(sources, '_reads', first)
        refuse_code_in_checkpoints()
        assert sources._reads == first
    monkeypatch.setattr(sources, '_reads', '')
    refuse_code_in_checkpoints()
    assert sources._reads == 'data'


def test_a_flipped_bit_in_a_weight_is_noticed(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {'a': torch.ones(1000)}}, path)
    content = bytearray(path.read_bytes())
    content[content.index(torch.ones(50).numpy().tobytes()) + 3] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(InputError, match=r'a\.pth .*is damaged; '):
        read_checkpoint(path)


def test_reads_safetensors(tmp_path):
    save_file({'a': torch.arange(3)}, tmp_path / 'a.safetensors')
    assert torch.equal(read_checkpoint(tmp_path / 'a.safetensors')['a'], torch.arange(3))


def test_safetensors_are_optional(tmp_path, monkeypatch):
    save_file({'a': torch.arange(3)}, tmp_path / 'a.safetensors')
    monkeypatch.setitem(sys.modules, 'safetensors', None)
    with pytest.raises(InputError, match=r'a\.safetensors needs safetensors: pip install'):
        read_checkpoint(tmp_path / 'a.safetensors')
