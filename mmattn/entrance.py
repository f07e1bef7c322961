"""What `import mmattn` does first: it looks whether the rest can be imported."""

import sys
from pathlib import Path

from mmattn.doctor.environment import Environment
from mmattn.doctor.requirements import find_fault

_PACKAGE = Path(__file__).resolve().parent
_SCRIPTS = (_PACKAGE.parent / 'tools', _PACKAGE / '.mim' / 'tools')


def enter() -> None:
    """Check what mmattn is built on, and run the doctor, who is asked where that is broken.

    A command imports its package before it comes to its first line. So this is the only place from
    which it can end in one line where the package cannot be imported, or run nevertheless.

    Raises:
        ImportError: If mmengine or mmcv is missing, or two distributions lie in its folder.
        SystemExit: Instead of it, if the process is a command; and after the doctor.
    """
    words = _command_line()
    if words and words[0] == 'doctor':
        from mmattn.cli import doctor

        doctor.start(words[1:])
    fault = find_fault(Environment())
    if fault is None:
        return
    if words is None:
        raise ImportError(fault)
    sys.exit(f'error: {fault}')


def _command_line() -> list[str] | None:
    """Give the words behind ``mmattn`` if this process was started so; None if it was not.

    The name of a script in ``tools`` is such a word as well.
    """
    program, *words = getattr(sys, 'argv', None) or ['']
    if program == '-m':
        # As long as Python looks for the module.
        return words if sys.orig_argv[-len(sys.argv) :][:1] == ['mmattn'] else None
    path = Path(program)
    if path.suffix == '.py' and path.resolve().parent in _SCRIPTS:
        return [path.stem, *words]
    return words if path.stem == 'mmattn' else None
