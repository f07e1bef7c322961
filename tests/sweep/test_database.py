"""Claims of several processes, killed ones among them, and files that are not what they should."""

import multiprocessing
import os
import signal
import sqlite3
import time
from collections import Counter
from functools import partial

import pytest

from mmattn.errors import InputError
from mmattn.sweep import database as module
from mmattn.sweep.claims import is_alive, working
from mmattn.sweep.database import Database, Outcome
from mmattn.sweep.plan import make_plan

FORK = multiprocessing.get_context('fork')


def runs(count, **options):
    plan = make_plan(dict(base='b.py', seeds=[*range(count)], options=options))
    return [*plan.runs()]


@pytest.fixture
def folder(tmp_path):
    with Database(tmp_path, create=True) as database:
        database.add(runs(12))
    return tmp_path


def outcome(**changes):
    values = dict(
        val={'mIoU': 1.0},
        test={'mIoU': 2.0},
        scalars=[('loss', 1, 0.5)],
        memory=3.0,
        memory_of='process',
        machine='m',
        versions={},
        revision='r',
        command='c',
    )
    return Outcome(**{**values, **changes})


def work(folder, queue, ready):
    """Do runs until none is left, as a process of a sweep does."""
    ready.wait()
    alive = partial(is_alive, folder / 'workers')
    with working(folder / 'workers') as worker, Database(folder) as database:
        while (record := database.claim(worker.name, alive)) is not None:
            queue.put(record.name)
            database.finish(record.id, outcome(), 0.1)


def hold(folder, queue):
    """Claim a run, and die with it."""
    with working(folder / 'workers') as worker, Database(folder) as database:
        queue.put(database.claim(worker.name, partial(is_alive, folder / 'workers')).name)
        time.sleep(60)


def test_several_processes_do_each_run_once(folder):
    queue, ready = FORK.Queue(), FORK.Event()
    processes = [FORK.Process(target=work, args=(folder, queue, ready)) for _ in range(4)]
    for process in processes:
        process.start()
    ready.set()
    done = Counter(queue.get(timeout=60) for _ in range(12))
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert queue.empty() and set(done.values()) == {1} and len(done) == 12
    assert not [*(folder / 'workers').iterdir()]


def test_a_run_is_claimed_again_when_its_process_was_killed_and_not_before(folder):
    queue = FORK.Queue()
    holder = FORK.Process(target=hold, args=(folder, queue))
    holder.start()
    held = queue.get(timeout=60)
    alive = partial(is_alive, folder / 'workers')
    with working(folder / 'workers') as worker, Database(folder) as database:
        taken = [database.claim(worker.name, alive) for _ in range(11)]
        assert held not in {record.name for record in taken}
        assert database.claim(worker.name, alive) is None
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
        assert database.claim(worker.name, alive).name == held
        [row] = database.rows('SELECT * FROM runs WHERE name = ?', held)
        assert (row['starts'], row['worker']) == (2, worker.name)


def test_a_training_that_outlives_its_sweep_keeps_the_claim(folder):
    """The child inherits the lock, as what training.py starts does."""
    queue = FORK.Queue()

    def start_and_die():
        with working(folder / 'workers') as worker:
            child = os.fork()
            if not child:
                time.sleep(60)
                os._exit(0)
            queue.put((worker.name, child))
            queue.close()
            queue.join_thread()
            os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=start_and_die)
    process.start()
    name, child = queue.get(timeout=60)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert is_alive(folder / 'workers', name)
    os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while is_alive(folder / 'workers', name):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (folder / 'workers' / name).exists()


def test_what_a_run_leaves(folder):
    with Database(folder) as database:
        first, second, third = (database.claim('me', lambda name: True) for _ in range(3))
        nan = [('loss', 1, float('nan')), ('loss', 2, 0.25)]
        database.finish(first.id, outcome(scalars=nan, versions=dict(torch='2')), 10.0)
        database.fail(second.id, 'no memory', 5.0)
        database.release(third.id, 2.5)
        states = {record.name: (record.state, record.error) for record in database.runs()[:3]}
        assert states == {
            'none-seed0': ('done', None),
            'none-seed1': ('failed', 'no memory'),
            'none-seed2': ('waiting', None),
        }
        scalars = database.rows('SELECT step, value FROM scalars ORDER BY step')
        assert [tuple(row) for row in scalars] == [(1, None), (2, 0.25)]
        # A failed one is not tried again until somebody starts the sweep again.
        assert database.claim('me', lambda name: True).name == 'none-seed2'
        database.retry()
        assert database.claim('me', lambda name: True).name == 'none-seed1'
        seconds = database.rows('SELECT seconds FROM runs ORDER BY id LIMIT 3')
        assert [row[0] for row in seconds] == [10.0, 5.0, 2.5]


def test_runs_are_added_once_and_must_be_the_same(folder):
    with Database(folder) as database:
        database.add(runs(14))
        assert [record.seed for record in database.runs()] == [*range(14)]
        with pytest.raises(InputError, match='has a run none-seed0 with other options'):
            database.add(runs(15, lr=1))
        # All or nothing.
        assert len(database.runs()) == 14


def test_nothing_is_changed_if_the_body_fails(folder):
    with Database(folder) as database:
        with pytest.raises(InputError, match='no such table'), database.changing() as connection:
            [
                connection.execute(f'UPDATE {name}')
                for name in ("runs SET state = 'done'", 'x SET y=1')
            ]
        assert {record.state for record in database.runs()} == {'waiting'}


def test_other_files_are_told_in_one_line(tmp_path, folder, monkeypatch):
    with pytest.raises(InputError, match='has no sweep.db; expected the --out of mmattn sweep run'):
        Database(tmp_path / 'nowhere')
    for name in ('other', 'text'):
        (tmp_path / name).mkdir()
    with sqlite3.connect(tmp_path / 'other' / 'sweep.db') as other:
        other.execute('CREATE TABLE x (y)')
    with pytest.raises(InputError, match='is not the file of a sweep'):
        Database(tmp_path / 'other', create=True)
    (tmp_path / 'text' / 'sweep.db').write_text('no database at all\n' * 100)
    with pytest.raises(InputError, match='cannot be used .*not a database'):
        Database(tmp_path / 'text')
    with sqlite3.connect(folder / 'sweep.db') as newer:
        newer.execute('PRAGMA user_version = 99')
    with pytest.raises(InputError, match='another version: its tables are 99, this mmattn reads 1'):
        Database(folder)


def test_a_locked_file_is_told_in_one_line(folder, monkeypatch):
    monkeypatch.setattr(module, 'PATIENCE', 0.1)
    other = sqlite3.connect(folder / 'sweep.db', isolation_level=None)
    other.execute('BEGIN EXCLUSIVE')
    with pytest.raises(InputError, match='has been locked by another process') as error:
        Database(folder)
    assert '\n' not in str(error.value)
    other.execute('ROLLBACK')
    other.close()
    with Database(folder) as database:
        assert len(database.runs()) == 12
