"""The Slurm scripts on a cluster of one node with two CPUs, brought up for the tests."""

import re
import time

import pytest
import torch

from tests.launch.helpers import ROOT, TOY, write_program

TOOLS = ROOT / 'tools'
CPU = dict(GPUS='0', NTASKS='2', CPUS_PER_TASK='1')
# Options of sbatch for the same.
BATCH = ['--partition=test', '--gres=none', '--ntasks-per-node=2', '--cpus-per-task=1']

# In place of Python: it heeds signals as the training does.
WAITER = """
import signal
import sys
import time

stopped = []
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, lambda number, frame: stopped.append(number))
print('waiting', flush=True)
while not stopped:
    time.sleep(0.05)
time.sleep(1)
print('saved', flush=True)
"""


@pytest.fixture
def folder(tmp_path):
    # Paths with blanks have to survive.
    folder = tmp_path / 'of a user'
    folder.mkdir()
    (folder / 'my toy.py').write_text(TOY)
    return folder


def wait_for_line(path, pattern, count=1):
    deadline = time.monotonic() + 600
    while True:
        text = path.read_text() if path.exists() else ''
        if len(re.findall(pattern, text)) >= count:
            return text
        assert time.monotonic() < deadline, text
        time.sleep(0.1)


@pytest.mark.slow
def test_trains_and_tests_with_two_tasks(cluster, folder):
    args = ['test', 'a job', 'my toy.py', '--device', 'cpu', '--work-dir', 'runs/my run']
    status, out = cluster.run(TOOLS / 'slurm_train.sh', *args, cwd=folder, **CPU)
    assert status == 0, out
    assert '2 ranks over gloo' in out
    checkpoint = folder / 'runs' / 'my run' / 'iter_4.pth'
    assert torch.load(checkpoint, weights_only=False)['meta']['iter'] == 4
    args.insert(3, checkpoint)
    status, out = cluster.run(TOOLS / 'slurm_test.sh', *args, cwd=folder, **CPU)
    assert status == 0, out
    # Three of the six numbers for each task.
    assert re.search(r'Iter\(test\) \[3/3\] +sum: 15\.0', out)


def test_error_of_a_task_ends_the_job(cluster, folder):
    program = "import os, time\nif os.environ['SLURM_PROCID'] == '1': exit(3)\ntime.sleep(3600)"
    python = write_program(folder / 'python', program)
    args = ['test', 'job', 'my toy.py']
    status, out = cluster.run(TOOLS / 'slurm_train.sh', *args, cwd=folder, PYTHON=python, **CPU)
    assert status != 0
    assert re.search(r'task 1: Exited with exit code 3', out)


@pytest.mark.parametrize(
    ('srun_args', 'seen'),
    [('', ['0,1', '0,1']), ('--gpus-per-task=1', ['0', '1'])],
    ids=['of the node', 'of the task'],
)
def test_gpus_of_the_tasks(cluster, folder, srun_args, seen):
    program = "import os\nprint('sees', os.environ['CUDA_VISIBLE_DEVICES'])"
    python = write_program(folder / 'python', program)
    variables = dict(GPUS='2', CPUS_PER_TASK='1', SRUN_ARGS=srun_args, PYTHON=python)
    args = ['test', 'job', 'my toy.py']
    status, out = cluster.run(TOOLS / 'slurm_train.sh', *args, cwd=folder, **variables)
    assert status == 0, out
    assert sorted(re.findall('sees (.*)', out)) == seen


@pytest.mark.slow
def test_job_goes_on_after_its_signal(cluster, folder):
    script = [TOOLS / 'slurm_train.sbatch', 'my toy.py', '--device', 'cpu', '--cfg-options']
    options = ['train_cfg.max_iters=40', 'train_dataloader.dataset.seconds=0.2']
    number = cluster.submit('sbatch', *BATCH, *script, *options, cwd=folder)
    log = folder / f'slurm-{number}.out'
    wait_for_line(log, r'Iter\(train\) \[ *5/40\]')
    cluster.query('scancel', '--batch', '--signal=USR1', number)
    cluster.wait_for_job(number, 'PENDING')
    assert 'the job queues again and goes on from work_dirs/my toy' in log.read_text()
    cluster.start_again(number)
    job = cluster.wait_for_job(number, 'COMPLETED', 'FAILED')
    text = log.read_text()
    assert (job['JobState'], job['Restarts']) == ('COMPLETED', '1'), text
    # Both parts are in one log, and no iteration is missing or done twice.
    assert [int(i) for i in re.findall(r'Iter\(train\) \[ *(\d+)/40\]', text)] == [*range(1, 41)]


def start_waiting(cluster, folder, program=WAITER):
    """Submit a batch job that waits for a signal, and give its number and its log."""
    python = write_program(folder / 'python', program)
    script = TOOLS / 'slurm_train.sbatch'
    number = cluster.submit('sbatch', *BATCH, script, 'my toy.py', cwd=folder, PYTHON=python)
    log = folder / f'slurm-{number}.out'
    wait_for_line(log, 'waiting', 2)
    return number, log


@pytest.mark.parametrize(
    ('command', 'state'),
    [(['scancel', '--batch', '--signal=TERM'], 'PENDING'), (['scancel'], 'CANCELLED')],
    ids=['terminated', 'cancelled'],
)
def test_checkpoint_of_a_job_that_is(cluster, folder, command, state):
    number, log = start_waiting(cluster, folder)
    cluster.query(*command, number)
    wait_for_line(log, 'saved', 2)
    assert cluster.wait_for_job(number, 'PENDING', 'CANCELLED')['JobState'] == state
    cluster.query('scancel', number)


def test_job_goes_on_after_preemption(cluster, folder):
    number, log = start_waiting(cluster, folder)
    status, out = cluster.run('srun', '--partition=urgent', '--ntasks=2', 'hostname', cwd=folder)
    assert status == 0, out
    cluster.wait_for_job(number, 'PENDING')
    assert log.read_text().count('saved') == 2
    cluster.start_again(number)
    wait_for_line(log, 'waiting', 4)
    # It ends by itself now: nobody told the script to stop.
    cluster.query('scancel', '--signal=USR1', number)
    job = cluster.wait_for_job(number, 'PENDING', 'COMPLETED', 'FAILED')
    assert (job['JobState'], job['Restarts']) == ('COMPLETED', '1')


def test_error_of_a_signalled_job_is_not_queued_again(cluster, folder):
    program = WAITER.replace("print('saved'", "sys.exit('no space')\nprint('saved'")
    number, _ = start_waiting(cluster, folder, program)
    cluster.query('scancel', '--batch', '--signal=USR1', number)
    job = cluster.wait_for_job(number, 'PENDING', 'COMPLETED', 'FAILED')
    assert (job['JobState'], job['ExitCode']) == ('FAILED', '1:0')


def test_sweeps_over_seeds(cluster, folder):
    variables = dict(CPU, NTASKS='1', SEEDS='3 7')
    args = ['test', 'my sweep', 'my toy.py', '--device', 'cpu']
    number = cluster.submit(TOOLS / 'slurm_sweep.sh', *args, cwd=folder, **variables)
    losses = []
    for i, seed in enumerate((3, 7)):
        job = cluster.wait_for_job(f'{number}_{i}', 'COMPLETED', 'FAILED')
        text = (folder / f'slurm-{number}_{i}.out').read_text()
        assert job['JobState'] == 'COMPLETED', text
        assert (folder / f'work_dirs/my sweep/my toy-seed{seed}/iter_4.pth').is_file()
        losses.append(re.findall(r'loss: (\S+)', text))
    assert len(losses[0]) == len(losses[1]) == 4 and losses[0] != losses[1]
