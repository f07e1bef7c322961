import os
import signal
from argparse import Namespace

import pytest
from torch.utils.data import DataLoader

from mmattn.cli.shell import run
from mmattn.launch.lost_worker import explain_lost_worker


class Killer:
    def __len__(self):
        return 4

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        run(lambda args: list(DataLoader(Killer(), num_workers=1)), Namespace())
    assert stop.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith('error: process ')
    # Which of the two PyTorch says depends on who notices first.
    assert 'is killed by signal: Killed' in line or 'exited unexpectedly' in line
    assert 'the memory ran out' in line and 'num_workers=1' in line


def test_a_worker_lost_to_an_interrupt_is_an_interrupt(capsys):
    def main(args):
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError('DataLoader worker (pid 7) exited unexpectedly with exit code 1.')

    with pytest.raises(SystemExit) as stop:
        run(main, Namespace(interrupted='interrupted; stop'))
    assert stop.value.code == 130
    assert capsys.readouterr().err.startswith('error: interrupted; stop')


def test_shared_memory():
    error = RuntimeError('DataLoader worker (pid 7) is killed by signal: Bus error. It is possible')
    assert 'shared memory ran out (' in explain_lost_worker(error)
    assert '--shm-size' in explain_lost_worker(error)


def test_other_errors_are_not_explained():
    assert explain_lost_worker(RuntimeError('CUDA out of memory')) is None
