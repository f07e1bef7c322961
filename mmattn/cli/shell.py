"""The shell around every command: errors of one line, and the exit status."""

import atexit
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from pickle import UnpicklingError
from typing import NoReturn

from mmattn.errors import InputError
from mmattn.launch import distributed, failure
from mmattn.launch.lost_worker import explain_lost_worker
from mmattn.layers.packages import explain_missing_ops


def run(main: Callable[[Namespace], int | None], args: Namespace) -> None:
    """Run a command; what a user can put right ends it with one line and exit status 1.

    Args:
        main: The command, which gives its exit status, or None for 0.
        args: Its arguments, and ``interrupted``: what to say after Ctrl-C.

    Raises:
        SystemExit: In the end, with status 1 after a user's error, 130 after Ctrl-C, and 0 after a
            training that was told to go and has saved itself. Any other exception is a fault of the
            program and keeps its traceback. Of several ranks, one tells.
    """
    try:
        sys.exit(main(args) or 0)
    except SystemExit as end:
        has_ranks = distributed.group() is not None
        distributed.leave()
        if has_ranks and type(end.code) is int:
            _end_at_once(end.code)
        raise
    except KeyboardInterrupt:
        _exit(args.interrupted, 130)
    except InputError as error:
        # A worker process sends its traceback along; the message is its last line.
        _exit(str(error).strip().splitlines()[-1].removeprefix('mmattn.errors.InputError: '))
    except UnpicklingError as error:
        _exit(_explain_unread(str(error), getattr(args, 'trust_checkpoint', True)))
    except Exception as error:
        if _comes_of_an_interrupt(error):
            _exit(args.interrupted, 130)
        explanation = explain_lost_worker(error) or explain_missing_ops(error)
        if explanation is None and distributed.group() is None:
            raise
        if explanation is None:
            failure.tell_of_exception(error)
            sys.exit(1)
        _exit(explanation)


def _end_at_once(status: int) -> NoReturn:
    """End a rank without taking Python down, after all that is to be done at the exit.

    A thread of gloo may still hold a tensor. If it lets go of it while Python ends, C++ ends the
    process by SIGABRT, and torchrun takes the training for a failed one.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _explain_unread(text: str, is_trusted: bool) -> str:
    """Explain what PyTorch says to those who call ``torch.load`` themselves."""
    line = text.rpartition('WeightsUnpickler error: ')[2].strip().partition('\n')[0]
    # Of several lines, the name comes first; the rest is about how to call it.
    reason = line.partition(' was not an allowed')[0].partition('. ')[0]
    if 'GLOBAL' in reason and not is_trusted:
        return f'a checkpoint is more than data ({reason}); to allow it: --trust-checkpoint'
    return f'a checkpoint is damaged or none ({reason}); copy or download it again'


def _comes_of_an_interrupt(error: BaseException | None) -> bool:
    # Ctrl-C also ends the loader's processes; their loss may be told while this one cleans up.
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _exit(message: str, status: int = 1) -> None:
    failure.tell(message)
    sys.exit(status)
