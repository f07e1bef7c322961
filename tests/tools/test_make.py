"""``make clean`` leaves what was trained; ``make clean-runs`` asks first."""

import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).resolve().parents[2] / 'Makefile'


@pytest.fixture
def checkout(tmp_path):
    shutil.copy(MAKEFILE, tmp_path)
    (tmp_path / 'work_dirs' / 'run').mkdir(parents=True)
    (tmp_path / 'work_dirs' / '.gitignore').touch()
    (tmp_path / 'work_dirs' / 'run' / 'iter_1.pth').touch()
    (tmp_path / 'build').mkdir()
    return tmp_path


def make(target, folder, answer=''):
    command = ['make', '--no-print-directory', target]
    return subprocess.run(command, cwd=folder, input=answer, capture_output=True, text=True)


def test_clean_keeps_runs(checkout):
    assert make('clean', checkout).returncode == 0
    assert not (checkout / 'build').exists()
    assert (checkout / 'work_dirs/run/iter_1.pth').exists()


@pytest.mark.parametrize('answer', ['', 'n\n', 'yes\n'], ids=['none', 'no', 'almost'])
def test_runs_stay_unless_somebody_says_so(checkout, answer):
    done = make('clean-runs', checkout, answer)
    assert done.returncode and 'work_dirs/run' in done.stdout
    assert 'nothing is deleted' in done.stdout
    assert (checkout / 'work_dirs/run/iter_1.pth').exists()


def test_runs_go_and_the_folder_stays(checkout):
    assert make('clean-runs', checkout, 'y\n').returncode == 0
    assert [path.name for path in (checkout / 'work_dirs').iterdir()] == ['.gitignore']
    assert make('clean-runs', checkout).stdout == 'work_dirs is empty\n'
