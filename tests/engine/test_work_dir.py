"""One run at a time has a work dir."""

import os
import subprocess
import sys

import pytest

from mmattn.engine.work_dir import locked
from mmattn.errors import InputError

HOLD = """
import os, sys, time
from mmattn.engine.work_dir import locked
with locked(sys.argv[1]):
    if os.fork():  # a worker of the data loader, say
        print('locked', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, '-c', HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout.readline() == 'locked\n'
    yield process
    if process.poll() is None:
        os.killpg(process.pid, 9)
    process.wait()


def test_the_second_run_says_who_is_first(tmp_path, holder):
    expected = rf'^work dir {tmp_path} is in use by \S+@\S+, process {holder.pid}, since 2\S+ \S+; '
    with pytest.raises(InputError, match=expected), locked(str(tmp_path)):
        pass
    # Whoever is killed leaves no lock, although its children live on.
    holder.kill()
    holder.wait()
    with locked(str(tmp_path)):
        os.killpg(holder.pid, 9)
    assert not list(tmp_path.iterdir())


def test_twice_in_one_process_one_after_the_other(tmp_path):
    for _ in range(2):
        with locked(str(tmp_path)):
            pass


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / 'outside').write_text('mine')
    (tmp_path / '.lock').symlink_to(tmp_path / 'outside')
    with pytest.raises(InputError, match=r'\.lock cannot be opened'), locked(str(tmp_path)):
        pass
    assert (tmp_path / 'outside').read_text() == 'mine'


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def refuse(*args):
        raise OSError(37, 'No locks available')

    monkeypatch.setattr('fcntl.lockf', refuse)
    with locked(str(tmp_path)):
        pass


def test_the_other_ranks_end_as_well(tmp_path, monkeypatch):
    def broadcast(data):
        data[0] = 'work dir run is in use by rank 0 of another run'

    monkeypatch.setattr('mmattn.engine.work_dir.is_main_process', lambda: False)
    monkeypatch.setattr('mmattn.engine.work_dir.broadcast_object_list', broadcast)
    with pytest.raises(InputError, match='in use by'), locked(str(tmp_path)):
        pytest.fail('went on')
    assert not list(tmp_path.iterdir())


def test_what_is_in_the_lock_may_be_anything(tmp_path, holder):
    (tmp_path / '.lock').write_bytes(b'\xff\x1b[2J')
    with pytest.raises(InputError, match=r'in use by \\ufffd\\x1b\[2J;'), locked(str(tmp_path)):
        pass


def test_a_work_dir_that_goes_is_one_line(tmp_path):
    no_file = r'curve cannot be written \(No such file'
    with pytest.raises(InputError, match=no_file), locked(str(tmp_path)):
        (tmp_path / 'gone/curve').open('w')
    with pytest.raises(FileNotFoundError), locked(str(tmp_path)):
        (tmp_path.parent / 'an image').open()
