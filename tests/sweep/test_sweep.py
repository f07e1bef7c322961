"""Real trainings: some fail, some are killed, and each is done once in the end."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from mmattn.cli import data_make
from mmattn.cli.main import start
from mmattn.errors import InputError
from mmattn.sweep.claims import working
from mmattn.sweep.config_files import Base
from mmattn.sweep.plan import read_plan
from mmattn.sweep.sweep import Sweep
from mmattn.sweep.training import Failed, Interrupted, Launch, _call
from tests.launch.helpers import ENV, TOY

TOY_BASE = f"""{TOY}
val_dataloader = dict(
    **loader,
    dataset=dict(type='Numbers', length=4),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Sum')
val_cfg = dict()
"""
TOY_PLAN = """
base = 'base.py'
metric = 'sum'
rows = dict(
    broken=dict(options={'model.type': 'Nothing'}),
    none=dict(),
)
options = {'default_hooks.checkpoint.rule': 'greater'}
"""
SEG_BASE = """
_base_ = ['mmattn::demo/upernet_van_tiny_ade20k.py']
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=2)
data = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root='data'))
train_dataloader = dict(batch_size=2, **data)
val_dataloader = data
test_dataloader = data
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))
"""


def command(*words):
    return [sys.executable, '-m', 'mmattn', 'sweep', *words]


def mmattn(folder, *words):
    done = subprocess.run(
        command(*words), cwd=folder, env=ENV, capture_output=True, text=True, timeout=600
    )
    return done.returncode, done.stdout, done.stderr


def ask(folder, question):
    with sqlite3.connect(folder / 'out' / 'sweep.db', timeout=60) as connection:
        return connection.execute(question).fetchall()


@pytest.fixture
def toy(tmp_path):
    """The folder of a plan, its base, and a sweep that nobody has begun."""
    (tmp_path / 'base.py').write_text(TOY_BASE)
    (tmp_path / 'plan.py').write_text(TOY_PLAN)
    return tmp_path


def begin(folder, **changes):
    plan = replace(read_plan(str(folder / 'plan.py')), **changes)
    return Sweep(folder / 'out', plan, Base(plan.base, plan.metric))


def test_a_sweep_is_begun_once_and_grows(toy):
    for seeds in ((0,), (0, 1)):
        with begin(toy, seeds=seeds).database as database:
            names = [record.name for record in database.runs()]
    assert names == ['broken-seed0', 'none-seed0', 'broken-seed1', 'none-seed1']
    assert sorted(path.stem for path in (toy / 'out' / 'configs').iterdir()) == sorted(names)


def test_a_row_that_was_taken_out_is_forgotten_unless_it_is_done(toy):
    with begin(toy, seeds=(0, 1)).database as database:
        done = database.claim('me', lambda name: True)
        database.rows("UPDATE runs SET state = 'done' WHERE id = ?", done.id)
    plan = read_plan(str(toy / 'plan.py'))
    with begin(toy, seeds=(0, 1), rows={'none': plan.rows['none']}).database as database:
        names = [record.name for record in database.runs()]
    assert names == ['broken-seed0', 'none-seed0', 'none-seed1']


def test_other_options_under_an_old_name_are_refused_and_the_config_stays(toy):
    begin(toy)
    config = toy / 'out' / 'configs' / 'none-seed0.py'
    before = config.read_text()
    with pytest.raises(InputError, match='has a run broken-seed0 with other options'):
        begin(toy, options={'default_hooks.checkpoint.rule': 'less'})
    assert config.read_text() == before


def test_what_could_not_be_compared_is_refused(toy):
    with pytest.raises(InputError, match='compares sum, this plan other'):
        [begin(toy, metric=metric) for metric in ('sum', 'other')]
    longer = TOY_BASE.replace('max_iters=4', 'max_iters=5')
    (toy / 'base.py').write_text(longer)
    with begin(toy).database as database:
        # Nothing was trained so far.
        database.claim('me', lambda name: True)
    (toy / 'base.py').write_text(TOY_BASE)
    with pytest.raises(InputError, match='base.py is not what it was when broken-seed0 began'):
        begin(toy)
    (toy / 'base.py').write_text(longer)
    begin(toy)


def call(command, tmp_path, timeout=None):
    with working(tmp_path / 'workers') as worker:
        launch = Launch(timeout=timeout)
        return _call(['bash', '-c', command], tmp_path / 'log.txt', launch, worker, lambda: None)


def test_torchrun_starts_the_scripts_that_find_mmattn(monkeypatch):
    monkeypatch.setenv('PYTHONPATH', 'a')
    launch = Launch('pytorch', gpus=3, device='cpu', options=['--data-root', 'd'])
    words = launch.command('train', 'x.py', '--resume')
    assert words[0] == sys.executable and words[1].endswith('tools/torchrun.py')
    script = words.index(next(word for word in words if word.endswith('tools/train.py')))
    assert words[2:script] == ['--master-port', '0', '--nproc-per-node', '3']
    given = ['x.py', '--resume', '--device', 'cpu', '--data-root', 'd', '--launcher', 'pytorch']
    assert words[script + 1 :] == given
    found, others = launch.environment()['PYTHONPATH'].split(os.pathsep)
    assert os.path.isfile(os.path.join(found, 'mmattn', '__init__.py')) and others == 'a'


@pytest.mark.parametrize(
    ('command', 'line'),
    [
        ('echo first; echo "error: no data" >&2; echo; exit 1', 'no data'),
        (
            'echo Traceback; echo "RuntimeError: shapes"; exit 1',
            'exit status 1: RuntimeError: shapes',
        ),
        ('exit 3', 'exit status 3'),
        ('kill -9 $$', 'ended by SIGKILL'),
        ('echo told; exec sleep 60', 'took longer than --timeout 0.01 min'),
    ],
)
def test_the_line_of_a_failure(tmp_path, command, line):
    (tmp_path / 'log.txt').write_text('error: of a former start\n')
    with pytest.raises(Failed) as error:
        call(command, tmp_path, 0.6 if 'sleep' in command else None)
    assert str(error.value).startswith(line)


def test_a_signal_reaches_the_training(tmp_path):
    """What it was told to do is not a failure, whatever its exit status."""
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    with pytest.raises(Interrupted):
        call('trap "echo saved; exit 7" USR1; while :; do sleep 0.1; done', tmp_path)
    assert (tmp_path / 'log.txt').read_text() == 'saved\n'
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_memory_of_a_process_is_in_mib(tmp_path):
    # More than the process has had that starts it: its memory counts until it becomes another one.
    wanted = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 + 300
    used = call(f'exec {sys.executable} -c "b = bytes([1]) * ({wanted} << 20)"', tmp_path)
    assert wanted < used < wanted + 60


@pytest.mark.slow
def test_failed_runs_are_listed_and_the_others_go_on_and_nothing_is_done_twice(tmp_path):
    (tmp_path / 'base.py').write_text(TOY_BASE)
    (tmp_path / 'plan.py').write_text(TOY_PLAN)
    words = ['run', 'plan.py', '--out', 'out', '--device', 'cpu']
    status, out, err = mmattn(tmp_path, *words)
    assert status == 1 and err == ''
    lines = out.splitlines()
    assert lines[1].startswith('[0/2] broken-seed0 failed: ')
    assert lines[3] == '[1/2] none-seed0: sum 15 on the test'
    assert lines[-1].startswith('failed: broken-seed0: ') and 'Nothing' in lines[-1]
    assert ask(tmp_path, "SELECT value FROM scalars WHERE name = 'sum'") == [(6.0,)]
    # What was put right would be tried again, and that alone.
    status, out, err = mmattn(tmp_path, 'run', '--out', 'out', '--device', 'cpu')
    assert status == 1 and out.count('begins') == 1
    assert ask(tmp_path, 'SELECT name, state, starts FROM runs ORDER BY id') == [
        ('broken-seed0', 'failed', 2),
        ('none-seed0', 'done', 1),
    ]


def seg(folder):
    """Write a base config for mmseg and its data, and give the words of a sweep of two runs."""
    with pytest.raises(SystemExit):
        start(data_make, ['ade20k', '--out', str(folder / 'data'), '--train', '6', '--val', '2'])
    (folder / 'base.py').write_text(SEG_BASE)
    return [
        *('run', 'base.py', '--modules', 'SE', '--after', r'backbone\.block1\.0\.attn'),
        *('--shape', '96', '128', '--device', 'cpu', '--out', 'out'),
    ]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_sweep_that_is_killed_ends_with_every_run_once(tmp_path):
    words = seg(tmp_path)
    runs = tmp_path / 'out' / 'runs'
    # In a training, in a later one that has gone on, in a test, and the same of the last run.
    moments = ('none-seed0/iter_1.pth', 'none-seed0/iter_3.pth', 'none-seed0/test.txt')
    moments += ('SE-seed0/last_checkpoint', 'SE-seed0/test.txt')
    for moment in moments:
        with (tmp_path / 'sweep.txt').open('a') as log:
            sweep = subprocess.Popen(command(*words), cwd=tmp_path, env=ENV, stdout=log, stderr=log)
        deadline = time.monotonic() + 300
        while not (runs / moment).exists():
            assert time.monotonic() < deadline and sweep.poll() is None, moment
            time.sleep(0.02)
        os.kill(sweep.pid, signal.SIGKILL)
        sweep.wait()
    status, out, err = mmattn(tmp_path, *words)
    assert (status, err) == (0, ''), out + err
    found = ask(tmp_path, 'SELECT name, state, worker, error FROM runs ORDER BY id')
    assert found == [('none-seed0', 'done', None, None), ('SE-seed0', 'done', None, None)]
    for run in (1, 2):
        steps = ask(
            tmp_path, f"SELECT step FROM scalars WHERE name = 'loss' AND run = {run} ORDER BY step"
        )
        assert steps == [(1,), (2,), (3,), (4,)]
        validated = ask(tmp_path, f"SELECT step FROM scalars WHERE name = 'mIoU' AND run = {run}")
        assert sorted(validated) == [(2,), (4,)]
        assert ask(tmp_path, f'SELECT DISTINCT part FROM metrics WHERE run = {run}') == [
            ('test',),
            ('val',),
        ]
    assert not [*(tmp_path / 'out' / 'workers').iterdir()]
    # Killed or not, the same comes out.
    interrupted = ask(tmp_path, 'SELECT * FROM metrics ORDER BY run, part, name')
    (tmp_path / 'out').rename(tmp_path / 'killed')
    status, out, err = mmattn(tmp_path, *words)
    assert status == 0, out + err
    assert ask(tmp_path, 'SELECT * FROM metrics ORDER BY run, part, name') == interrupted
    status, table, _ = mmattn(tmp_path, 'table', 'out')
    assert status == 0 and '| SE |' in table and 'one seed, no claim' in table


@pytest.mark.slow
def test_ctrl_c_stops_the_training_which_goes_on_at_the_next_start(tmp_path):
    words = [*seg(tmp_path), '--max-iters', '200']
    sweep = subprocess.Popen(
        command(*words), cwd=tmp_path, env=ENV, stderr=subprocess.PIPE, text=True
    )
    work_dir = tmp_path / 'out' / 'runs' / 'none-seed0'
    deadline = time.monotonic() + 300
    while not (work_dir / 'last_checkpoint').is_file():
        assert time.monotonic() < deadline and sweep.poll() is None
        time.sleep(0.1)
    sweep.send_signal(signal.SIGINT)
    _, err = sweep.communicate(timeout=300)
    assert sweep.returncode == 130
    assert err.startswith('error: interrupted; finished runs are recorded')
    assert (work_dir / 'last_checkpoint').read_text().endswith('preempted.pth')
    assert ask(tmp_path, 'SELECT state, starts FROM runs WHERE id = 1') == [('waiting', 1)]
    logs = [*work_dir.glob('*/vis_data/scalars.json')]
    last = [json.loads(line) for line in logs[0].read_text().splitlines()][-1]
    assert last['step'] < 200
