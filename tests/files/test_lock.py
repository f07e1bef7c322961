import os
from multiprocessing import get_context

import pytest

from mmattn.errors import InputError
from mmattn.files.lock import in_turn


def enter(path, inside, leave, waited):
    with in_turn(path, waited.set):
        inside.set()
        leave.wait(30)


def test_the_second_waits_for_the_first(tmp_path):
    context = get_context('fork')
    events = [[context.Event() for _ in range(3)] for _ in range(2)]
    first, second = (
        context.Process(target=enter, args=(tmp_path / '.lock', *each)) for each in events
    )
    first.start()
    assert events[0][0].wait(30)
    second.start()
    assert events[1][2].wait(30) and not events[1][0].is_set()
    events[0][1].set()
    assert events[1][0].wait(30)
    events[1][1].set()
    first.join()
    second.join()
    assert (first.exitcode, second.exitcode) == (0, 0) and os.listdir(tmp_path) == []


def test_a_file_that_is_left_holds_nobody_up(tmp_path):
    (tmp_path / '.lock').touch()
    with in_turn(tmp_path / '.lock', lambda: pytest.fail('waits')):
        pass
    assert os.listdir(tmp_path) == []


def test_it_is_gone_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), in_turn(tmp_path / '.lock', lambda: None):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_nobody_waits_where_there_are_no_locks(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(37, 'No locks available')

    monkeypatch.setattr('fcntl.lockf', refuse)
    with in_turn(tmp_path / '.lock', lambda: pytest.fail('waits')):
        pass


def test_a_folder_that_is_not_there(tmp_path):
    line = rf'^{tmp_path}/gone cannot be written \(No such file or directory\); look at its rights'
    with pytest.raises(InputError, match=line), in_turn(tmp_path / 'gone/.lock', lambda: None):
        pytest.fail('went on')
