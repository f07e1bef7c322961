"""What of a log does not reach the terminal; the file of the log has all of it."""

import inspect
import logging
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import mmengine.logging
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger, print_log

# What tells of itself at length before the first iteration: the environment, the config, the hooks,
# the options and the first values of each parameter.
_PACKAGES = ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'mmpose')
# And what of that is short and of use, by module and function.
_TOLD = (
    ('mmengine.runner.runner', 'resume'),
    ('mmengine.runner.runner', 'load_checkpoint'),
    ('mmengine.runner.runner', 'scale_lr'),
    ('mmengine.hooks.checkpoint_hook', 'before_train'),
)
# Warnings of theirs that nobody can do anything about, or need not.
_IDLE = (
    'The prefix is not set in metric class',
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias of "LocalBackend"',
    'Line NMS is not compiled',
    'Default ``avg_non_ignore`` is False',
    'Setting OMP_NUM_THREADS environment variable',
    'Setting MKL_NUM_THREADS environment variable',
    'faster_coco_eval is not installed',
    'Fail to import ``MultiScaleDeformableAttention``',
)


class _Sparing(logging.Filter):
    """Let through what is ours, what is of use, and from the first iteration on all else, too.

    Args:
        verbose: Whether to let all through from the start on.
    """

    def __init__(self, verbose: bool) -> None:
        super().__init__()
        self.verbose = verbose
        self.has_begun = False
        # Until there is a file.
        self.held: list[logging.LogRecord] | None = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record goes to the terminal."""
        if self.verbose:
            return True
        if record.levelno >= logging.WARNING:
            passes = not record.getMessage().startswith(_IDLE)
        else:
            module, function = _emitter()
            is_told = module.split('.')[0] not in _PACKAGES or (module, function) in _TOLD
            passes = self.has_begun or is_told
        if not passes and self.held is not None:
            self.held.append(record)
        return passes


_sparing: _Sparing | None = None


def use(verbose: bool) -> None:
    """Spare the terminal, from here on, what is there for looking up.

    That is whatever the stock packages say before the first iteration, but for warnings, weights
    and resuming, some warnings of theirs that nobody can do anything about, and what they print for
    debugging while they are imported. Where nobody reads
    the output any more, as behind ``| head``, the run goes on.

    Args:
        verbose: Whether to spare it nothing.
    """
    global _sparing
    _sparing = _Sparing(verbose)
    _spare(MMLogger.get_current_instance(), _sparing)
    # Packages that are imported from here on take the one that is there then.
    mmengine.logging.print_log = print_log if verbose else _print_log
    if verbose:
        return
    show = warnings.showwarning

    def show_or_log(message: Any, *args: Any, **kwargs: Any) -> None:
        if not str(message).startswith(_IDLE):
            show(message, *args, **kwargs)
        elif is_main_process():
            print_log(str(message), 'current', logging.WARNING)

    warnings.showwarning = show_or_log


def watch(logger: MMLogger) -> None:
    """Spare the terminal what the logger of a run says, if it is spared anything.

    The file of the log begins with what was held back before there was one.
    """
    if _sparing is None:
        return
    for record in _sparing.held or ():
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handle(record)
    _sparing.held = None
    _sparing.has_begun = False
    _spare(logger, _sparing)


def begin() -> None:
    """Let all but the idle warnings through: the first iteration begins."""
    if _sparing is not None:
        _sparing.has_begun = True


def _spare(logger: MMLogger, sparing: _Sparing) -> None:
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(sparing)
            handler.handleError = partial(_go_on_unread, handler.handleError)


def _print_log(msg: Any, logger: Any = None, level: int = logging.INFO) -> None:
    """Do what mmengine's ``print_log`` does, which prints what is for debugging where no log is."""
    if logger is not None or level >= logging.INFO:
        print_log(msg, logger, level)


def _go_on_unread(handle: Callable[[logging.LogRecord], None], record: logging.LogRecord) -> None:
    """Write to nowhere from here on if nobody reads the output any more."""
    if not isinstance(sys.exc_info()[1], BrokenPipeError):
        handle(record)
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    print(
        'warning: nobody reads the output any more; the run goes on, and so does the log in its '
        'work dir',
        file=sys.stderr,
    )


def _emitter() -> tuple[str, str]:
    """Give module and function of the call that is being logged."""
    frame = inspect.currentframe()
    module, function = __name__, ''
    while frame is not None and module in (__name__, 'logging', 'mmengine.logging.logger'):
        module, function = frame.f_globals.get('__name__', ''), frame.f_code.co_name
        frame = frame.f_back
    return module, function
