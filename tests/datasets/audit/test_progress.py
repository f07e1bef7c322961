import io
import sys

import pytest

from mmattn.datasets.audit.progress import start_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ('total', 'numbers'),
    [
        (1, [1]),
        (3, [1, 2, 3]),
        (25, [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]),
        (3000, range(300, 3001, 300)),
    ],
)
def test_a_pipe_has_lines_of_each_tenth(total, numbers, capsys):
    update = start_progress(total)
    for _ in range(total):
        update()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f'checked {number}/{total} images' for number in numbers]


def test_a_terminal_has_a_bar(monkeypatch):
    monkeypatch.setattr(sys, 'stderr', Terminal())
    update = start_progress(2)
    for _ in range(2):
        update()
    shown = sys.stderr.getvalue()
    assert '2/2' in shown
    assert shown.count('\n') == 1 and shown.endswith('\n')
