"""A run that is told to go saves what it has and can be taken up again exactly there."""

import os
import signal
import threading
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.fileio import join_path
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import get_worker_info

from mmattn.engine.resume.checkpoint_files import note_last

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
CHECKPOINT = 'preempted.pth'


_masks = threading.local()


@cache
def _keep_signals_over_forks() -> None:
    """Hold the signals back while a process forks; once, for all that it will start.

    Python forgets what reaches a child before it is ready. Without a handler the kernel would have
    ended it; a pool that ends one as it starts would wait for it for ever.
    """
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_begin_child)


def _hold() -> None:
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _begin_child() -> None:
    # By SIGTERM a pool ends its processes, most of which wait for a lock. If it comes just before
    # they begin to wait, a handler of Python's never runs, and the pool waits for them for ever.
    if getattr(signal.getsignal(signal.SIGTERM), '__func__', None) is PreemptionHook._note:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _release()


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Save a full checkpoint and end with status 0 when SIGTERM, SIGUSR1 or SIGHUP comes.

    The present iteration is finished first, with gradients accumulated over several iterations
    their last one; a validation is broken off, and repeated by the run that resumes. Whichever
    process gets the signal, all stop after the same iteration: for that they exchange one number
    in each. The checkpoint is always the same file, ``preempted.pth``, whatever the config says
    about the others.

    SIGHUP comes when a terminal is closed; where it is ignored, as after ``nohup``, it stays so.
    Ctrl-C ends a training at once, and SIGQUIT does the same: what is being written is removed.
    A second signal of the same kind is ignored: what sends it has SIGKILL.
    """

    # After the hook that may just be saving.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._signal = 0
        self._previous: dict[int, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Listen for the signals."""
        self._signal = 0
        self._process = os.getpid()
        _keep_signals_over_forks()
        handlers = {
            **dict.fromkeys(SIGNALS, self._note),
            signal.SIGQUIT: signal.default_int_handler,
        }
        for number in (signal.SIGHUP, signal.SIGQUIT):
            if signal.getsignal(number) == signal.SIG_IGN:
                del handlers[number]
        self._previous = {n: signal.signal(n, handler) for n, handler in handlers.items()}

    def after_train(self, runner: Runner) -> None:
        """Listen no more."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._process:
            self._signal = number
        elif get_worker_info() is None:
            # A process of a pool, such as an evaluation starts, has inherited this handler.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        # The workers of the data loader are sent the signal when it goes to a whole job, and must
        # live until the iteration is over.

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Stop between two steps of the optimizer."""
        wrapper = runner.optim_wrapper
        if getattr(wrapper, 'should_update', lambda: True)() and (number := self._agreed_signal()):
            self._stop(runner, number, runner.epoch, runner.iter + 1)

    def before_val(self, runner: Runner) -> None:
        """Stop before a validation, whose time is not ours any more."""
        self._stop_outside_iteration(runner)

    def after_val_iter(self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        """Stop within a validation, as long as every process has a batch."""
        loader = runner.val_dataloader
        if batch_idx < len(loader.dataset) // (get_world_size() * (loader.batch_size or 1)):
            self._stop_outside_iteration(runner)

    def _stop_outside_iteration(self, runner: Runner) -> None:
        if self._previous and (number := self._agreed_signal()):
            self._stop(runner, number, runner.epoch, runner.iter)

    def _agreed_signal(self) -> int:
        # A signal may come during the exchange: it is kept for the next one.
        number = torch.tensor(self._signal)
        all_reduce(number, op='max')
        return int(number)

    def _stop(self, runner: Runner, number: int, epoch: int, iteration: int) -> None:
        name = signal.Signals(number).name
        meta = dict(epoch=epoch, iter=iteration)
        if hasattr(runner, 'training_state'):
            meta['training_state'] = runner.training_state()
        hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
        folder = hooks[0].out_dir if hooks else runner.work_dir
        runner.save_checkpoint(folder, CHECKPOINT, meta=meta, by_epoch=False)
        if is_main_process():
            path = join_path(folder, CHECKPOINT)
            note_last(Path(runner.work_dir), path)
            print(
                f'stopped by {name} at iteration {iteration}; checkpoint {path}; '
                'go on with --resume',
                flush=True,
            )
        raise SystemExit(0)
