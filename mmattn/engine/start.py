"""What a run writes before its first iteration, which is taken back if it never gets there."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import all_gather_object

from mmattn.engine.resume.checkpoint_files import out_dir_of
from mmattn.errors import InputError


class Start:
    """A run from its command to its first iteration.

    Args:
        made: Folders that were not there before, the innermost first.
    """

    def __init__(self, made: list[Path]) -> None:
        self._made = made
        self._log_dirs: list[Path] = []
        self._writes: list[Callable[[], Any]] = []
        self.has_begun = False

    def begin(self) -> None:
        """Keep what has been written, and write what has waited: the first iteration begins."""
        self.has_begun = True
        for write in self._writes:
            write()
        self._writes.clear()

    def note_log_dir(self, path: Path) -> None:
        """Note a folder that is new, and of this run alone."""
        self._log_dirs.append(path)

    def wait(self, write: Callable[[], Any]) -> None:
        """Let what replaces a file of a former run wait for the first iteration."""
        if self.has_begun:
            write()
        else:
            self._writes.append(write)

    def take_back(self) -> None:
        """Remove the logs, and what folders are empty then and were not there before."""
        for path in self._log_dirs:
            shutil.rmtree(path, ignore_errors=True)
        for path in self._made:
            with contextlib.suppress(OSError):
                path.rmdir()


_start: Start | None = None


def start() -> Start | None:
    """Give the start of this process, or None where no command has one."""
    return _start


def after_start(write: Callable[[], Any]) -> None:
    """Do now, or when the first iteration begins, what replaces a file of a former run."""
    if _start is None:
        write()
    else:
        _start.wait(write)


@contextlib.contextmanager
def starting(cfg: Config, *others: Path) -> Iterator[Start]:
    """Make the work dir of a run, which is gone again if the run fails before it begins.

    Only what this run has made is removed: its folder of logs, and the work dir itself if it was
    not there. All ranks have to call this.

    Args:
        cfg: Config with a ``work_dir``.
        others: Further folders that the run may make.

    Yields:
        The start, to be told when the first iteration begins.

    Raises:
        InputError: If the work dir cannot be made or written.
    """
    global _start
    folders = [Path(cfg.work_dir), *others]
    if out_dir := out_dir_of(cfg):
        folders.append(out_dir)
    missing = [path for folder in folders for path in (folder, *folder.parents)]
    missing = [path for path in missing if not os.path.lexists(path)]
    # One rank may make what another one then finds.
    made = dict.fromkeys(path for paths in all_gather_object(missing) for path in paths)
    _start = Start(sorted(made, key=lambda path: len(path.parts), reverse=True))
    try:
        _make(Path(cfg.work_dir))
        yield _start
    except (Exception, KeyboardInterrupt):
        if not _start.has_begun:
            _start.take_back()
        raise
    else:
        # Nothing may have been left to train.
        _start.begin()
    finally:
        _start = None


def _make(work_dir: Path) -> None:
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=work_dir):
            pass
    except OSError as error:
        raise InputError(
            f'work dir {work_dir} cannot be written ({error.strerror}); give another --work-dir'
        ) from error
