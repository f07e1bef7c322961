"""One run: trained, tested on the checkpoint that its validation chose, and described."""

import contextlib
import ctypes
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from mmattn.engine.hooks.preemption import SIGNALS
from mmattn.engine.shipped_configs import HOMES
from mmattn.errors import InputError
from mmattn.probe.machine import machine, revision, versions
from mmattn.sweep.claims import Worker
from mmattn.sweep.database import Outcome
from mmattn.sweep.logs import (
    best_checkpoint,
    best_validation,
    last_iteration,
    noted,
    read_scalars,
    read_test,
    was_interrupted,
)

# Seconds that a training has to save itself.
_GRACE = 120
# Seconds between two looks at a training.
_TICK = 0.5
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Interrupted(Exception):
    """A training has saved itself before its end, because somebody has told it to go."""


class Failed(Exception):
    """A training or a test has ended with an error, whose one line this is."""


@dataclass
class Launch:
    """How commands are started."""

    launcher: str = 'none'
    """``'none'`` or ``'pytorch'``, which is torchrun."""

    gpus: int = 1
    """Processes of torchrun, each on a GPU if there are any."""

    device: str | None = None
    timeout: float | None = None
    """Seconds that one training may take in one go."""

    version: str = 'unknown'
    """Of mmattn, to be written down."""

    options: list[str] = field(default_factory=list)
    """What else is given to training and test, such as ``--data-root DIR``."""

    def command(self, *words: str) -> list[str]:
        """Give the command line of ``mmattn WORDS`` on this launcher."""
        device = [] if self.device is None else ['--device', self.device]
        words = (*words, *device, *self.options)
        if self.launcher == 'none':
            return [sys.executable, '-m', 'mmattn', *words]
        tools = tools_folder()
        return [
            *(sys.executable, str(tools / 'torchrun.py'), '--master-port', '0'),
            *('--nproc-per-node', str(self.gpus), str(tools / f'{words[0]}.py')),
            *(*words[1:], '--launcher', 'pytorch'),
        ]

    def environment(self) -> dict[str, str]:
        """Give the environment of what is started; a script of ``tools`` finds mmattn there."""
        if self.launcher == 'none':
            return dict(os.environ)
        paths = [str(tools_folder().parent), os.environ.get('PYTHONPATH', '')]
        return {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths))}


def tools_folder() -> Path:
    """Give the folder of the scripts that come with the package.

    Raises:
        InputError: If this package came without any.
    """
    for home in HOMES:
        if (home / 'tools' / 'torchrun.py').is_file():
            return home / 'tools'
    raise InputError('the scripts of tools/ did not come with this package; take --launcher none')


def do_run(
    config: Path,
    work_dir: Path,
    metric: str,
    launch: Launch,
    worker: Worker,
    watch: Callable[[int], None],
) -> Outcome:
    """Train what a config says, or go on with it, and test its best checkpoint.

    Args:
        config: Config file of the run.
        work_dir: Its folder.
        metric: Name of the metric that counts.
        launch: How it is started.
        worker: This process, whose claim the training shares.
        watch: Called now and then with the iteration that the training is at.

    Raises:
        Interrupted: If it was told to go, and can be taken up again.
        Failed: If training or test ended with an error, or took too long.
        KeyboardInterrupt: After Ctrl-C, when what was started has ended.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    train = launch.command('train', str(config), '--work-dir', str(work_dir))
    before = noted(work_dir)
    try:
        memory = _call(
            train + ['--resume'] * bool(before),
            work_dir / 'train.txt',
            launch,
            worker,
            lambda: watch(last_iteration(work_dir)),
        )
    except Failed:
        # torchrun that was told to go ends so, too.
        if was_interrupted(work_dir, before):
            raise Interrupted from None
        raise
    if was_interrupted(work_dir, before):
        raise Interrupted
    try:
        best = best_checkpoint(work_dir)
        test_dir = work_dir / 'test'
        test = launch.command('test', str(config), str(best), '--work-dir', str(test_dir))
        _call(test, work_dir / 'test.txt', launch, worker, lambda: None)
        metrics = read_test(test_dir)
        if metric not in metrics:
            raise Failed(
                f'the test gives no {metric}, but {", ".join(metrics)}; look at test_evaluator'
            )
        scalars = read_scalars(work_dir)
        # mmengine logs it of the GPU alone, in MiB.
        on_gpu = [value for name, _, value in scalars if name == 'memory']
        return Outcome(
            val=best_validation(work_dir, metric, best),
            test=metrics,
            scalars=scalars,
            memory=max(on_gpu) if on_gpu else memory,
            memory_of='GPU' if on_gpu else 'process',
            machine=machine(launch.device),
            versions=versions(),
            revision=revision(launch.version),
            command=shlex.join(train),
        )
    except InputError as error:
        raise Failed(str(error)) from error


def _call(
    command: list[str],
    log: Path,
    launch: Launch,
    worker: Worker,
    tick: Callable[[], None],
) -> float:
    """Run a command to its end.

    Returns:
        Its peak memory in MiB.
    """
    begin = time.monotonic()
    with log.open('ab') as file:
        start = file.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=launch.environment(),
            pass_fds=(worker.file,),
            # Ctrl-C reaches this process, which passes it on.
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == 'linux' else None,
        )
        with _passing_on(process) as told:
            while (status := _poll(process)) is None:
                tick()
                if launch.timeout and time.monotonic() - begin > launch.timeout:
                    _stop(process)
                    raise Failed(
                        f'took longer than --timeout {launch.timeout / 60:g} min; start again '
                        'with more, and it goes on'
                    )
                time.sleep(_TICK)
    code, memory = status
    if told:
        raise Interrupted
    if code:
        raise Failed(_last_error(log, start, code))
    return memory


def _poll(process: subprocess.Popen) -> tuple[int, float] | None:
    """Give the exit status and the peak memory in MiB of a process that has ended."""
    number, status, usage = os.wait4(process.pid, os.WNOHANG)
    if not number:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss / 1024


@contextlib.contextmanager
def _passing_on(process: subprocess.Popen) -> Iterator[list[int]]:
    """Pass on the signals that tell a training to go.

    Yields:
        The signals that have come.
    """
    told: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        told.append(number)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)

    former = {}
    if threading.current_thread() is threading.main_thread():
        former = {n: signal.signal(n, pass_on) for n in SIGNALS if signal.getsignal(n) != _IGNORED}
    try:
        yield told
    except BaseException:
        _stop(process)
        raise
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


_IGNORED = signal.SIG_IGN


def _stop(process: subprocess.Popen) -> None:
    """Tell a training to save itself, and wait until it has."""
    if process.returncode is not None:
        return
    deadline = time.monotonic() + _GRACE
    process.send_signal(signal.SIGTERM)
    while _poll(process) is None:
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            return
        time.sleep(_TICK / 5)


def _end_with_parent() -> None:
    # A training whose sweep is killed saves itself, and does not go on unseen.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _last_error(log: Path, start: int, code: int) -> str:
    """Give the line of an output that says what went wrong."""
    with log.open('rb') as file:
        file.seek(start)
        text = file.read().decode(errors='replace')
    lines = [line.strip() for line in re.split(r'[\r\n]+', text) if line.strip()]
    errors = [line for line in lines if line.startswith('error: ')]
    if errors:
        return errors[-1].removeprefix('error: ')
    ended = f'ended by {signal.Signals(-code).name}' if code < 0 else f'exit status {code}'
    return f'{ended}: {lines[-1]}' if lines else ended
