"""The command: its exit status, and what it does not take."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmattn.cli import doctor
from mmattn.doctor.row import Row

ROOT = Path(__file__).resolve().parents[2]
FINE = [Row('numpy', 'fine')]


@pytest.fixture
def call(monkeypatch, capsys):
    def call(*words, rows=FINE):
        asked = []
        monkeypatch.setattr(doctor, 'examine', lambda limit: asked.append(limit) or [*rows])
        with pytest.raises(SystemExit) as stop:
            doctor.start([*words])
        return stop.value.code, *capsys.readouterr(), asked

    return call


@pytest.mark.parametrize('words', [[], ['--json']], ids=['table', 'json'])
@pytest.mark.parametrize('state', ['broken', 'warning', 'fine', 'absent', 'not known'])
def test_exit_status(call, words, state):
    rows = [Row('numpy', 'fine'), Row('mmcv', state), Row('mim', 'absent')]
    status, out, err, _ = call(*words, rows=rows)
    assert (status, err) == (int(state == 'broken'), '')
    assert not words or [row['state'] for row in json.loads(out)['rows']][1] == state


def test_the_environment_of_these_tests_is_whole():
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, '-m', 'mmattn', 'doctor', '--json']
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    rows = {row['name']: row for row in json.loads(done.stdout)['rows']}
    needed = 'Python mmattn configs numpy opencv torch mmengine mmcv'.split()
    assert {name: rows[name]['remark'] for name in needed if rows[name]['state'] != 'fine'} == {}
    assert done.returncode == any(row['state'] == 'broken' for row in rows.values())


def test_time_limit(call):
    assert call('--time-limit', '2.5')[-1] == [2.5]
    assert call()[-1] == [60]


@pytest.mark.parametrize('text', ['0', '-1', 'nan', 'inf', 'soon'])
def test_no_time_limit(call, text):
    status, _, err, _ = call('--time-limit', text)
    assert status == 2 and 'seconds' in err.splitlines()[-1]


def test_interrupted(monkeypatch, capsys):
    def examine(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, 'examine', examine)
    with pytest.raises(SystemExit) as stop:
        doctor.start([])
    assert (stop.value.code, capsys.readouterr().err) == (130, 'error: interrupted\n')
