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
    assert not (tmp_path / '.lock').read_text()


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
