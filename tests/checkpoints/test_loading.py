import argparse
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mmattn.checkpoints import find_state_dict, load_accounted, read_checkpoint
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


class Net(nn.Module):
    def __init__(self, width=3, extra=False):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))
        self.head = nn.Linear(width, 2)
        if extra:
            self.extra = nn.Linear(2, 2)


def in_head(key):
    return key.startswith('head.')


def nothing(key):
    return False


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmattn.checkpoints.loading.print_log', lambda line, **_: lines.append(line)
    )
    return lines


def test_account_of_a_perfect_fit(log):
    source, net = Net(), Net()
    load_accounted(net, source.state_dict(), source='a.pth', may_differ=nothing)
    assert log == ['a.pth: 8/8 tensors loaded']
    for a, b in zip(net.state_dict().values(), source.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_heads_may_differ_when_they_may(log):
    source, net = Net(), Net()
    state_dict = source.state_dict()
    state_dict['head.weight'] = torch.rand(5, 3)
    del state_dict['head.bias']
    state_dict['head.more'] = torch.rand(1)
    before = net.head.weight.clone()
    load_accounted(net, state_dict, source='a.pth', may_differ=in_head)
    assert torch.equal(net.head.weight, before)
    assert torch.equal(net.body[0].weight, source.body[0].weight)
    assert log == ['a.pth: 6/8 tensors loaded, 2 new (head.bias, ...), 1 unused (head.more)']


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: Net(4).state_dict(), r'body\.0\.weight: shape \(\[4, 3, 1, 1\]\) there, \(\[3, 3'),
        (lambda: {'head.weight': torch.rand(2, 3)}, r'body\.0\.weight: missing there'),
        (lambda: Net(extra=True).state_dict(), r'8 of 8 tensors fit.*extra\.weight: missing here'),
        (lambda: {}, r'0 of 8 tensors fit'),
    ],
    ids=['shape', 'missing', 'left over', 'empty'],
)
def test_another_architecture(make, message):
    with pytest.raises(
        InputError, match=r'a\.pth is of another architecture than this Net: ' + '.*' + message
    ):
        load_accounted(Net(), make(), source='a.pth', may_differ=in_head)


def test_counters_of_batch_norm_may_be_missing():
    state_dict = {k: v for k, v in Net().state_dict().items() if 'num_batches' not in k}
    load_accounted(Net(), state_dict, source='a.pth', may_differ=nothing)
