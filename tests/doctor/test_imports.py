"""Imports that end the process, never end, or print: none of it comes through."""

import os
import re
import time

import pytest

from mmattn.doctor import imports
from mmattn.doctor.environment import Environment
from mmattn.doctor.imports import Outcome, try_imports

SEGFAULT = 'import ctypes; ctypes.string_at(0)'
ENDLESS = 'while True: pass'
# Neither an alarm nor a question ends it.
STUBBORN = (
    'import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: signal.pause()'
)


@pytest.mark.parametrize(
    ('code', 'remark'),
    [
        ('import os; os._exit(0)', r'its import ends the process \(exit status 0\)'),
        ('import os; os._exit(3)', r'its import ends the process \(exit status 3\)'),
        (SEGFAULT, r'its import ends the process \(Segmentation fault\)'),
        ('import os; os.abort()', r'its import ends the process \(Aborted\)'),
        (ENDLESS, 'its import does not end within 1.5 s'),
        ('import sys; sys.exit(2)', 'SystemExit: 2'),
        ('raise KeyboardInterrupt', 'KeyboardInterrupt'),
        ('class Odd(BaseException): pass\nraise Odd', 'Odd'),
        ('def deep(): deep()\ndeep()', 'RecursionError: maximum recursion depth exceeded'),
        ('oh no', 'SyntaxError: invalid syntax'),
        ('import no_such_thing', "ModuleNotFoundError: No module named 'no_such_thing'"),
    ],
    ids='exit0 exit3 segfault abort endless SystemExit Ctrl-C odd deep syntax missing'.split(),
)
def test_does_no_harm_and_is_told(healthy, code, remark):
    healthy.write({'mmdet/__init__.py': code})
    tried = Environment(time_limit=1.5).imports
    assert re.match(remark, tried['mmdet'].error)
    # Those behind it have been tried as well.
    assert tried['mmseg'] == tried['mmattn'] == Outcome()


def test_takes_its_alarm_away(healthy, monkeypatch):
    healthy.write({'safetensors/__init__.py': STUBBORN})
    monkeypatch.setattr(imports, '_GRACE', 1)
    tried = try_imports(lambda package: package in ('numpy', 'safetensors'), 1.5)
    assert tried['numpy'] == Outcome()
    assert tried['safetensors'].error == 'its import does not end within 1.5 s'


def test_is_not_tried_without_what_it_needs(healthy):
    assert try_imports(lambda package: package == 'mmattn', 20) == {}


def test_leaves_no_process_behind(healthy, tmp_path):
    file = tmp_path / 'pid'
    code = (
        'import os, signal, pathlib, time\n'
        'pid = os.fork()\n'
        f'if pid: pathlib.Path({str(file)!r}).write_text(str(pid))\n'
        'else:\n    while True: time.sleep(1)\n'
    )
    healthy.write({'safetensors/__init__.py': code})
    begun = time.monotonic()
    assert try_imports(lambda package: package == 'safetensors', 20) == {'safetensors': Outcome()}
    assert time.monotonic() - begun < 10
    pid = int(file.read_text())
    for _ in range(100):
        if not is_running(pid):
            return
        time.sleep(0.05)
    pytest.fail(f'{pid} runs on')


def is_running(pid):
    try:
        with open(f'/proc/{pid}/stat') as stat:
            return stat.read().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def test_what_is_printed_does_not_count(healthy, capfd):
    code = (
        'import os, sys\nprint(\'{"done": "mmseg", "error": "faked"}\', flush=True)\n'
        'os.write(1, b\'{"begun": "mmseg"}\\n\'); os.write(2, b"noise"); print(sys.stdin.read())'
    )
    healthy.write({'mmdet/__init__.py': code})
    tried = Environment(time_limit=20).imports
    assert tried['mmdet'] == tried['mmseg'] == Outcome()
    assert capfd.readouterr() == ('', '')


def test_needs_that_fail_are_not_held_against_others(healthy):
    healthy.write({'cv2/__init__.py': 'import os; os._exit(1)'})
    tried = Environment(time_limit=20).imports
    assert [name for name, outcome in tried.items() if outcome.error] == ['cv2']
    assert not {'mmengine', 'mmcv', 'mmcv._ext', 'mmdet', 'mmattn'} & tried.keys()
    assert {'numpy', 'torch', 'torchvision', 'timm', 'panopticapi'} <= tried.keys()


def test_nothing_is_imported_here(healthy):
    name = 'only_the_child_has_it'
    healthy.write({'safetensors/__init__.py': f'import os; os.environ[{name!r}] = "1"'})
    healthy.rows()
    assert name not in os.environ
