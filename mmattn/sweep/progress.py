"""The one display of a sweep: a line when a run begins or ends, and one that shows where it is."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text


class Display:
    """Tell how far a sweep is.

    Args:
        total: Runs in all.
        done: Those that are finished already.
        length: Iterations of one run, as its log counts them; 0 if that is not known.
    """

    def __init__(self, total: int, done: int, length: int) -> None:
        self._total, self._done, self._length = total, done, length
        self._console = Console(file=sys.stdout, soft_wrap=True, highlight=False)
        self._progress = Progress(
            BarColumn(bar_width=20),
            TextColumn('{task.completed:.0f}/{task.total:.0f} runs'),
            TextColumn('{task.description}'),
            TextColumn('{task.fields[left]}'),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task('', total=total, completed=done, left='')
        self._times: list[float] = []
        self._begin = 0.0
        self._name = ''

    def __enter__(self) -> 'Display':
        self._progress.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(Text(line))
        sys.stdout.flush()

    def begin(self, name: str, goes_on: bool) -> None:
        """Tell that a run begins."""
        self._begin, self._name = time.monotonic(), name
        verb = 'goes on' if goes_on else 'begins'
        self.say(f'[{self._done + 1}/{self._total}] {name} {verb}')
        self.watch(0)

    def watch(self, iteration: int) -> None:
        """Show at which iteration the run is."""
        of = f'/{self._length}' if self._length else ''
        text = f'{self._name}: {iteration}{of} iterations'
        self._progress.update(self._task, description=text, left=self._time_left())

    def end(self, line: str, done: int) -> None:
        """Tell how a run has ended.

        Args:
            line: What it gave.
            done: Runs that are finished now, those of other processes included.
        """
        self._times.append(time.monotonic() - self._begin)
        self._done = done
        self._progress.update(self._task, completed=done, description='', left=self._time_left())
        self.say(f'[{done}/{self._total}] {line}')

    def _time_left(self) -> str:
        if not self._times:
            return ''
        each = sum(self._times) / len(self._times)
        spent = time.monotonic() - self._begin if self._name else 0.0
        seconds = max(0.0, each * (self._total - self._done) - min(spent, each))
        hours, minutes = divmod(int(seconds / 60), 60)
        return f'about {hours} h {minutes} min left' if hours else f'about {minutes} min left'
