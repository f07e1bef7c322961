"""The script of a job array, also on a Slurm of this machine alone."""

import shlex
import subprocess
import sys

import pytest

from mmattn.errors import InputError
from mmattn.sweep import slurm


def test_the_script_asks_for_one_task_for_each_run(tmp_path):
    folder = tmp_path / 'my sweep'
    folder.mkdir()
    script = slurm.write_script(folder, 6, 2, ['--launcher', 'pytorch', '--gpus', '2'])
    lines = script.read_text().splitlines()
    assert '#SBATCH --array=0-5' in lines and '#SBATCH --gres=gpu:2' in lines
    [start] = [line for line in lines if 'sweep run' in line]
    expected = ['sweep', 'run', '--out', str(folder), '--one', '--launcher', 'pytorch']
    assert shlex.split(start)[:10] == [sys.executable, '-m', 'mmattn', *expected]
    assert subprocess.run(['bash', '-n', script]).returncode == 0
    assert 'gres' not in slurm.write_script(folder, 6, 0, []).read_text()


def test_options_of_sbatch(tmp_path):
    command = slurm.command(tmp_path / 'array.sh', "-p gpu --comment 'two words'")
    assert command[:5] == ['sbatch', '-p', 'gpu', '--comment', 'two words']
    with pytest.raises(InputError, match='has a quote that does not end'):
        slurm.command(tmp_path / 'array.sh', "-p 'gpu")


def test_a_refusal_is_one_line(tmp_path, monkeypatch):
    program = tmp_path / 'sbatch'
    program.write_text(
        '#!/bin/sh\necho first >&2\necho "sbatch: error: no such partition" >&2\nexit 1\n'
    )
    program.chmod(0o755)
    with pytest.raises(InputError, match='refuses the job: sbatch: error: no such partition'):
        slurm.submit([str(program), 'array.sh'])
    with pytest.raises(InputError, match='sbatch is not found'):
        slurm.submit([str(tmp_path / 'none'), 'array.sh'])
