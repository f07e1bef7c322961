"""kill -9, twenty times at any moment, leaves the training what it would have been."""

import contextlib
import multiprocessing
import os
import random
import sys
import time

import mmengine.fileio.backends.local_backend as local_backend
import pytest
import torch
from mmengine.hooks import Hook

from mmattn.engine.resume.checkpoint_files import find_last
from mmattn.engine.runner import Runner
from tests.engine.toy import toy_config
from tests.forked import IMPORTS

ROUNDS = 20
ITERATIONS = 240


class Journal(Hook):
    """Each iteration as one line that is in the file at once."""

    def __init__(self, path):
        self.path = path

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        indices = [sample.idx for sample in data_batch['data_samples']]
        with self.path.open('a') as file:
            file.write(f'{runner.iter + 1} {indices} {outputs["loss"].item()!r}\n')


def lines_of(path):
    """The lines of a journal by iteration; one that was trained again has to be the same."""
    found = {}
    for line in path.read_text().splitlines():
        iteration, _, rest = line.partition(' ')
        assert found.setdefault(int(iteration), rest) == rest, f'iteration {iteration} is another'
    return found


def slow_write(file, content):
    half = len(content) // 2
    file.write(content[:half])
    file.flush()
    time.sleep(0.01)
    file.write(content[half:])


def slow_put(self, content, path):
    with open(path, 'wb') as file:
        slow_write(file, bytes(content))


def train(folder, by_epoch, is_slow):
    torch.set_num_threads(1)
    with open(folder.with_suffix('.log'), 'a') as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
    if is_slow:
        local_backend.LocalBackend.put = slow_put
    folder.mkdir(exist_ok=True)
    cfg = toy_config(folder, by_epoch, iterations=ITERATIONS, interval=4, randomness=dict(seed=4))
    cfg.default_hooks.checkpoint.max_keep_ckpts = 2
    cfg.default_hooks.logger.interval = 1000
    cfg.resume = (folder / 'last_checkpoint').is_file()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Journal(folder / 'journal'))
    runner.train()


def start(folder, by_epoch, is_slow=False):
    """Train in a process that has imported everything already and computed nothing yet.

    A copy of this one cannot train once autograd has made threads here.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(IMPORTS)
    process = context.Process(target=train, args=(folder, by_epoch, is_slow))
    process.start()
    return process


def finish(process, folder):
    process.join()
    assert process.exitcode == 0, folder.with_suffix('.log').read_text()[-3000:]


def wait_until(condition, process):
    while not condition():
        time.sleep(0.001)
        assert process.is_alive(), 'the training ended by itself'


def size(path):
    return path.stat().st_size if path.is_file() else 0


@pytest.mark.parametrize(
    'by_epoch',
    [False, pytest.param(True, marks=pytest.mark.slow)],
    ids=['iterations', 'epochs'],
)
def test_twenty_kills(tmp_path, by_epoch):
    finish(start(tmp_path / 'whole', by_epoch), tmp_path / 'whole')
    folder, cut_short = tmp_path / 'run', 0
    chance = random.Random(0)
    rounds = ROUNDS // 2
    for i in range(rounds):
        process = start(folder, by_epoch, is_slow=True)
        before = size(folder / 'journal')
        wait_until(lambda before=before: size(folder / 'journal') > before, process)
        if i % 2:
            # Within the writing of a checkpoint.
            wait_until(lambda: any(folder.glob('*.pth.*.partial')), process)
        else:
            time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.join()
        cut_short += any(folder.glob('*.pth.*.partial'))
        if (folder / 'last_checkpoint').is_file():
            assert find_last(folder) == (folder / 'last_checkpoint').read_text()
    finish(start(folder, by_epoch), folder)

    assert cut_short >= rounds // 4
    lines = lines_of(folder / 'journal')
    assert lines == lines_of(tmp_path / 'whole' / 'journal')
    assert list(lines) == list(range(1, ITERATIONS + 1))
    name = f'iter_{ITERATIONS}.pth'
    whole, again = (
        torch.load(tmp_path / run / name, weights_only=False) for run in ('whole', 'run')
    )
    for key in ('state_dict', 'ema_state_dict'):
        for parameter, value in whole[key].items():
            assert torch.equal(again[key][parameter], value), parameter
    with contextlib.suppress(FileNotFoundError):
        assert not list(folder.glob('*.partial'))
    assert len(list(folder.glob('iter_*.pth'))) == 2
