"""What the command line tools share: a runner from a config, and errors of one line."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError

from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, RUNNERS, init_default_scope
from mmengine.runner import Runner as MMEngineRunner
from torch import nn

from mmattn.engine.config import explain_build_error
from mmattn.engine.runner import Runner
from mmattn.engine.sharding import ShardedRunner  # noqa: F401 configs name it
from mmattn.errors import InputError
from mmattn.launch import distributed, failure
from mmattn.launch.lost_worker import explain_lost_worker

_INTERRUPTED = 'interrupted; checkpoints written so far are whole, go on with --resume'


def run_tool(main: Callable[[], None]) -> None:
    """Run a tool; what a user can put right ends it with one line and exit status 1.

    Args:
        main: The tool.

    Raises:
        SystemExit: With status 1 after a user's error, 130 after Ctrl-C, and 0 after a training
            that was told to go and has saved itself. Any other exception is a fault of the program
            and keeps its traceback. Of several ranks, one tells.
    """
    try:
        main()
    except SystemExit:
        distributed.leave()
        raise
    except KeyboardInterrupt:
        _exit(_INTERRUPTED, 130)
    except InputError as error:
        # A worker process sends its traceback along; the message is its last line.
        _exit(str(error).strip().splitlines()[-1].removeprefix('mmattn.errors.InputError: '))
    except UnpicklingError as error:
        _exit(f'a checkpoint is more than data ({error}); to allow it: --trust-checkpoint')
    except Exception as error:
        if _comes_of_an_interrupt(error):
            _exit(_INTERRUPTED, 130)
        explanation = explain_build_error(error) or explain_lost_worker(error)
        if explanation is None and distributed.group() is None:
            raise
        if explanation is None:
            failure.tell_of_exception(error)
            sys.exit(1)
        _exit(explanation)
    distributed.leave()


def _comes_of_an_interrupt(error: BaseException | None) -> bool:
    # Ctrl-C also ends the loader's processes; their loss may be told while this one cleans up.
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _exit(message: str, status: int = 1) -> None:
    failure.tell(message)
    sys.exit(status)


def prepare_work_dir(cfg: Config, work_dir: str | None) -> None:
    """Choose the folder for logs and checkpoints, and make sure that it can be written.

    Args:
        cfg: Config whose ``work_dir`` is set: to ``work_dir``, else its own value, else
            ``work_dirs/<name of the config>``.
        work_dir: Folder from the command line.

    Raises:
        InputError: If the folder cannot be made or written.
    """
    cfg.work_dir = work_dir or cfg.get('work_dir') or f'work_dirs/{Path(cfg.filename).stem}'
    try:
        Path(cfg.work_dir).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cfg.work_dir):
            pass
    except OSError as error:
        raise InputError(
            f'work dir {cfg.work_dir} cannot be written ({error.strerror}); give another --work-dir'
        ) from error


def build_runner(cfg: Config) -> MMEngineRunner:
    """Build the runner that a config names by ``runner_type``, else that of this project."""
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config, to look at it: on the CPU and with its initial weights."""
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    return revert_sync_batchnorm(MODELS.build(cfg.model))
