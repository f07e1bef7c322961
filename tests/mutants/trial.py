"""Run tests against a mutant, in a fork of a process that has already imported the libraries."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

import pytest

# What takes seconds to import, and is not what is mutated.
LIBRARIES = ('torchvision', 'mmengine.runner', 'mmcv.cnn', 'mmdet.models', 'mmseg.models')
LIBRARIES += ('mmpretrain.models', 'hypothesis', 'onnxruntime', 'timm')


def import_libraries() -> None:
    """Import what the tests need, so that no fork pays for it."""
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)


class Copy:
    """A copy of the checkout, in which mutants are tried one after the other.

    Args:
        root: The checkout: what git tracks of it, and what is new and not ignored.
        within: Folder in which the copy is made.
    """

    def __init__(self, root: Path, within: str) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=within))
        command = ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
        listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        for name in listed.stdout.split('\0'):
            if name and (root / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, self.folder / name)

    def run(self, tests: dict[str, list[str]], limit: float) -> tuple[str, str, float]:
        """Run tests until one fails.

        Args:
            tests: See :func:`tests.mutants.belonging.tests_of`.
            limit: Seconds after which they are ended.

        Returns:
            ``'killed'``, ``'survived'`` or ``'timeout'``; what failed; the seconds it took.
        """
        start = time.monotonic()
        failure = self.folder / 'failure.txt'
        failure.unlink(missing_ok=True)
        pid = os.fork()
        if not pid:
            self._run_in_fork(tests, failure)
        try:
            code = _wait(pid, limit)
        finally:
            # The tests are a process group of their own, with what they started.
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        seconds = time.monotonic() - start
        if code is None:
            os.waitpid(pid, 0)
            return 'timeout', '', seconds
        if code == pytest.ExitCode.USAGE_ERROR:
            raise RuntimeError((self.folder / 'log.txt').read_text())
        if code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return 'survived', '', seconds
        return 'killed', failure.read_text() if failure.exists() else f'status {code}', seconds

    def try_source(
        self, path: str, source: str, tests: dict[str, list[str]], limit: float
    ) -> tuple[str, str, float]:
        """Run tests while a file has another text."""
        file = self.folder / path
        original = file.read_text()
        file.write_text(source)
        try:
            return self.run(tests, limit)
        finally:
            file.write_text(original)

    def _run_in_fork(self, tests: dict[str, list[str]], failure: Path) -> None:
        code = 1
        try:
            os.setpgid(0, 0)
            sys.stdout.flush()
            log = os.open(self.folder / 'log.txt', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.chdir(self.folder)
            # From here on the package and the tests are those of the copy, in what is started, too.
            for name in [n for n in sys.modules if n.partition('.')[0] in ('mmattn', 'tests')]:
                del sys.modules[name]
            sys.path[:] = [str(self.folder), *(p for p in sys.path if not _is_checkout(p))]
            os.environ['PYTHONPATH'] = str(self.folder)
            # Two mutants of one size within one second would be one to the cache of bytecode.
            os.environ['PYTHONDONTWRITEBYTECODE'] = '1'
            # A pool of compilers would outlive the tests.
            os.environ['TORCHINDUCTOR_COMPILE_THREADS'] = '1'
            sys.dont_write_bytecode = True
            arguments = ['-x', '-q', '-p', 'no:cacheprovider', '--tb=short', *tests]
            code = pytest.main(arguments, plugins=[_Selection(tests, failure)])
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)


def _wait(pid: int, limit: float) -> int | None:
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    return None


def _is_checkout(path: str) -> bool:
    return (Path(path or '.') / 'mmattn' / '__init__.py').exists()


class _Selection:
    """Takes the cases of a test file that are named; notes what failed first."""

    def __init__(self, tests: dict[str, list[str]], failure: Path) -> None:
        self.tests = tests
        self.failure = failure

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list) -> None:
        kept = [item for item in items if self._is_named(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept

    def _is_named(self, item: pytest.Item) -> bool:
        path, _, name = item.nodeid.partition('::')
        names = self.tests.get(path)
        if not names:
            return True
        _, _, case = name.partition('[')
        return bool(set(case.rstrip(']').split('-')) & set(names))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed and not self.failure.exists():
            self.failure.write_text(report.nodeid)
