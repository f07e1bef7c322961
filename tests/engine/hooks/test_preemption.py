import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from mmattn.engine.hooks import preemption
from mmattn.engine.hooks.preemption import PreemptionHook
from mmattn.engine.runner import Runner
from tests.engine.toy import record_of, toy_config, whole_state, with_validation

NUMBERS = [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP]
HANDLED = [*NUMBERS, signal.SIGQUIT]
names = {'ids': [number.name for number in NUMBERS]}


def train(cfg, at=None, number=signal.SIGUSR1, when='after_train_iter'):
    """Train, and send this process a signal at an iteration."""
    runner = Runner.from_cfg(cfg)
    runner.register_hook(PreemptionHook())
    call_hook = runner.call_hook

    def send(name, **kwargs):
        if name == when and runner.iter + (when == 'after_train_iter') == at:
            signal.raise_signal(number)
        call_hook(name, **kwargs)

    runner.call_hook = send
    handlers = {n: signal.getsignal(n) for n in HANDLED}
    try:
        runner.train()
    except SystemExit as stop:
        assert stop.code == 0
        return runner
    finally:
        for n, handler in handlers.items():
            signal.signal(n, handler)
    assert at is None
    return runner


@pytest.mark.parametrize('number', NUMBERS, **names)
@pytest.mark.parametrize('by_epoch', [False, True], ids=['iterations', 'epochs'])
def test_goes_on_bit_for_bit(tmp_path, capsys, by_epoch, number):
    """In the middle of an epoch, too, in a run that saves none there by itself."""
    seed = dict(randomness=dict(seed=2), interval=100)
    whole = train(toy_config(tmp_path / 'whole', by_epoch, **seed))
    cfg = toy_config(tmp_path / 'run', by_epoch, **seed)
    capsys.readouterr()
    stopped = train(cfg, at=11, number=number)
    path = tmp_path / 'run' / 'preempted.pth'
    assert capsys.readouterr().out == (
        f'stopped by {number.name} at iteration 11; checkpoint {path}; go on with --resume\n'
    )
    cfg.resume = True
    again = train(cfg)
    assert {**record_of(stopped), **record_of(again)} == record_of(whole)
    assert list(record_of(again)) == list(range(12, 31))
    for name, value in whole_state(whole).items():
        assert torch.equal(whole_state(again)[name], value), name


def wait(running):
    running.set()
    time.sleep(60)


@pytest.mark.parametrize('number', NUMBERS, **names)
def test_processes_of_a_pool_end_by_the_signal(number):
    """An evaluation of mmdet starts some, and ends them by SIGTERM."""
    hook = PreemptionHook()
    hook.before_train(None)
    try:
        context = multiprocessing.get_context('fork')
        running = context.Event()
        process = context.Process(target=wait, args=(running,))
        process.start()
        running.wait()
        os.kill(process.pid, number)
        process.join()
    finally:
        hook.after_train(None)
    assert process.exitcode == -number


def test_the_step_of_accumulated_gradients_is_finished(tmp_path):
    cfg = toy_config(tmp_path)
    cfg.optim_wrapper.accumulative_counts = 4
    assert list(record_of(train(cfg, at=10)))[-1] == 12


@pytest.mark.parametrize('when', ['before_val', 'after_val_iter'])
def test_a_validation_is_broken_off_and_repeated(tmp_path, when):
    cfg = with_validation(toy_config(tmp_path / 'run', randomness=dict(seed=2)), 10)
    train(cfg, at=20, when=when)
    assert (tmp_path / 'run' / 'last_validation').read_text() == '10'
    cfg.resume, cfg.train_cfg.max_iters = True, 21
    train(cfg)
    assert (tmp_path / 'run' / 'last_validation').read_text() == '21'
    state = torch.load(tmp_path / 'run' / 'iter_21.pth', weights_only=False)
    assert list(state['message_hub']['log_scalars']['val/mean']._log_history) != []
    assert len(state['message_hub']['log_scalars']['val/mean']._log_history) == 2


def test_the_handlers_are_put_back():
    before = [signal.getsignal(number) for number in HANDLED]
    hook = PreemptionHook()
    hook.before_train(None)
    assert all(signal.getsignal(n) != old for n, old in zip(HANDLED, before, strict=True))
    hook.after_train(None)
    assert [signal.getsignal(number) for number in HANDLED] == before


def test_a_signal_during_the_exchange_is_in_the_next_one(monkeypatch):
    """Nobody had one when the exchange began."""
    hook = PreemptionHook()
    hook.before_train(None)
    monkeypatch.setattr(preemption, 'get_world_size', lambda: 2)
    monkeypatch.setattr(
        preemption, 'all_reduce', lambda number, op: signal.raise_signal(signal.SIGTERM)
    )
    assert hook._agreed_signal() == 0
    assert hook._agreed_signal() == signal.SIGTERM
    hook.after_train(None)


@pytest.mark.parametrize('number', [signal.SIGHUP, signal.SIGQUIT], ids=['HUP', 'QUIT'])
def test_a_signal_that_is_ignored_stays_so(tmp_path, number):
    """As nohup has it."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        train(toy_config(tmp_path, iterations=8), at=8, number=number, when='before_train_iter')
    except AssertionError:
        # It went on to its end.
        assert (tmp_path / 'iter_7.pth').is_file()
        assert not (tmp_path / 'preempted.pth').exists()
    else:
        pytest.fail('it stopped')
    finally:
        signal.signal(number, before)


@pytest.mark.slow
def test_a_process_that_is_told_to_go_as_it_starts_goes():
    """Pools send it to processes that they have only just made."""
    hook = PreemptionHook()
    hook.before_train(None)
    try:
        for _ in range(200):
            child = os.fork()
            if not child:
                time.sleep(20)
                os._exit(0)
            os.kill(child, signal.SIGTERM)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
    finally:
        hook.after_train(None)
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_no_handler_of_python_stands_between_a_process_of_a_pool_and_its_end():
    """One that waits for a lock does not come to run it."""
    hook = PreemptionHook()
    hook.before_train(None)
    try:
        child = os.fork()
        if not child:
            os._exit(signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)
        _, status = os.waitpid(child, 0)
        assert status == 0
        assert signal.getsignal(signal.SIGTERM) == hook._note
    finally:
        hook.after_train(None)


def test_quit_is_an_interruption(tmp_path):
    """What is being written is removed on the way out."""
    with pytest.raises(KeyboardInterrupt):
        train(toy_config(tmp_path), at=11, number=signal.SIGQUIT)


RANKS = """
import os, random, signal, sys
import numpy as np
import torch
import torch.distributed as dist
from mmattn.engine.hooks.preemption import PreemptionHook
from mmattn.engine.runner import Runner
from mmengine.hooks import Hook
from tests.engine.toy import toy_config
dist.init_process_group('gloo')
rank = dist.get_rank()

lines = {}

class Kill(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch):
        # The losses do not do: this is no DDP, so the weights of the two differ.
        numbers = np.random.rand(), random.random(), torch.rand(1).item()
        lines[runner.iter + 1] = [sample.idx for sample in data_batch['data_samples']], numbers
        if sys.argv[2] == 'stop' and rank == 1 and runner.iter == 5:
            signal.raise_signal(signal.SIGUSR1)

cfg = toy_config(sys.argv[1], randomness=dict(seed=2, diff_rank_seed=True))
cfg.resume = sys.argv[2] == 'resume'
runner = Runner.from_cfg(cfg)
runner.register_hook(PreemptionHook())
runner.register_hook(Kill())
try:
    runner.train()
finally:
    print(f'rank {rank}', lines, flush=True)
    dist.destroy_process_group()
"""


def two_ranks(folder, kind):
    processes = []
    for rank in range(2):
        env = dict(
            os.environ,
            RANK=str(rank),
            WORLD_SIZE='2',
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT='0',
            CUDA_VISIBLE_DEVICES='',
        )
        env['MASTER_PORT'] = str(20000 + os.getpid() % 20000)
        processes.append(
            subprocess.Popen(
                [sys.executable, '-c', RANKS, str(folder), kind],
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    done = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], done
    lines = [line for out, _ in done for line in out.splitlines() if line.startswith('rank ')]
    return [eval(line.split(' ', 2)[2]) for line in lines], done[0][0]


@pytest.mark.slow
def test_all_ranks_stop_at_the_same_iteration_and_go_on_exactly(tmp_path):
    """The signal goes to the second one only. Each has random numbers of its own."""
    whole, _ = two_ranks(tmp_path / 'whole', 'whole')
    stopped, out = two_ranks(tmp_path / 'run', 'stop')
    assert [list(lines)[-1] for lines in stopped] == [6, 6]
    assert 'stopped by SIGUSR1 at iteration 6; ' in out
    again, _ = two_ranks(tmp_path / 'run', 'resume')
    assert [{**a, **b} for a, b in zip(stopped, again, strict=True)] == whole
    assert whole[0] != whole[1]
