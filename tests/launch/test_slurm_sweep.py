"""A sweep as a job array on a Slurm of this machine alone."""

import re
import sqlite3
import sys
import time

import pytest

from tests.sweep.test_sweep import TOY_BASE

PLAN = """
base = 'base.py'
metric = 'sum'
seeds = [0, 1]
options = {'default_hooks.checkpoint.rule': 'greater'}
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_each_task_takes_one_run(cluster, tmp_path):
    (tmp_path / 'base.py').write_text(TOY_BASE)
    (tmp_path / 'plan.py').write_text(PLAN)
    command = [sys.executable, '-m', 'mmattn', 'sweep', 'run', 'plan.py', '--out', 'out']
    options = ['--launcher', 'slurm', '--device', 'cpu', '--sbatch', '-p test --cpus-per-task=1']
    status, out = cluster.run(*command, *options, cwd=tmp_path)
    assert status == 0, out
    number = re.search(r'Submitted batch job (\d+)', out)[1]
    deadline = time.monotonic() + 900
    while cluster.query('squeue', '-h', '-j', number).strip():
        assert time.monotonic() < deadline
        time.sleep(1)
    logs = [path.read_text() for path in sorted((tmp_path / 'out' / 'slurm').iterdir())]
    assert len(logs) == 2, logs
    for seed in (0, 1):
        assert sum(f'none-seed{seed}: sum 15 on the test' in log for log in logs) == 1, logs
    with sqlite3.connect(tmp_path / 'out' / 'sweep.db') as connection:
        found = connection.execute('SELECT state, starts FROM runs').fetchall()
    assert found == [('done', 1)] * 2
