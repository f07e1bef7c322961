"""Progress on stderr: a bar on a terminal, some lines in a pipe or a file."""

import sys
from collections.abc import Callable

from mmengine.utils import ProgressBar

_LINES = 10


def start_progress(total: int) -> Callable[[], None]:
    """Start to show progress, and give what is to be called after each piece of work."""
    if sys.stderr.isatty():
        bar = ProgressBar(total, file=sys.stderr)

        def update_bar() -> None:
            bar.update()
            if bar.completed == total:
                print(file=sys.stderr)

        return update_bar

    done = 0

    def update_lines() -> None:
        nonlocal done
        done += 1
        if done * _LINES // total > (done - 1) * _LINES // total:
            print(f'checked {done}/{total} images', file=sys.stderr, flush=True)

    return update_lines
