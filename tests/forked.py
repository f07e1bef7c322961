"""Scripts that run in a fork of a process which has imported already what they import."""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing.reduction import DupFd
from pathlib import Path

from yapf.yapflib import yapf_api

# What takes most of the time that a tool of seconds takes.
IMPORTS = ['mmdet.apis', 'mmseg.apis', 'mmpretrain.apis', 'mmattn.cli.main', 'tests.forked']


def _run(script: str, args: list[str], env: dict, cwd: str, outputs: list[DupFd]) -> None:
    os.setsid()
    # Each checkpoint has its config formatted, which takes longer than some trainings.
    yapf_api.FormatCode = lambda text, **_: (text, True)
    for stream, output in zip((1, 2), outputs, strict=True):
        os.dup2(output.detach(), stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[0] = str(Path(script).parent)
    sys.argv = [script, *args]
    runpy.run_path(script, run_name='__main__')


class Script:
    """A Python script that is running, like a ``subprocess.Popen`` with its output as text.

    Args:
        script: The script, best one that imports what :data:`IMPORTS` names.
        args: Its arguments.
        env: Its environment; what PyTorch reads when it is imported was read before.
        cwd: Its folder.
    """

    def __init__(
        self,
        script: object,
        *args: object,
        env: Mapping[str, str] = os.environ,
        cwd: object = '.',
    ) -> None:
        context = multiprocessing.get_context('forkserver')
        context.set_forkserver_preload(IMPORTS)
        pipes = [os.pipe() for _ in range(2)]
        self._process = context.Process(
            target=_run,
            args=(
                str(script),
                [str(arg) for arg in args],
                {'OMP_WAIT_POLICY': 'PASSIVE', **env},
                os.path.abspath(cwd),
                [DupFd(written) for _, written in pipes],
            ),
        )
        self._process.start()
        for _, written in pipes:
            os.close(written)
        self.stdout, self.stderr = (os.fdopen(read, errors='replace') for read, _ in pipes)
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, or minus the number of the signal that ended it."""
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; give what was written to stdout and to stderr."""
        texts = {}

        def read(name: str) -> None:
            with getattr(self, name) as stream:
                texts[name] = stream.read()

        readers = [threading.Thread(target=read, args=(n,)) for n in ('stdout', 'stderr')]
        for reader in readers:
            reader.start()
        try:
            self._process.join(timeout)
            if self._process.is_alive():
                raise subprocess.TimeoutExpired('a script', timeout)
            for reader in readers:
                reader.join()
        except BaseException:
            self.kill()
            raise
        return texts['stdout'], texts['stderr']

    def send_signal(self, number: int) -> None:
        """Send it a signal, and nothing to what it started."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and all that it started, if they are still there."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self._process.join()


def run(script: object, *args: object, **options) -> subprocess.CompletedProcess:
    """Run a script to its end; see :class:`Script`."""
    process = Script(script, *args, **options)
    out, err = process.communicate()
    return subprocess.CompletedProcess([script, *args], process.returncode, out, err)
