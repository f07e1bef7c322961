"""The command mmattn, mostly without a process for each call."""

import os
import re
import runpy
import subprocess
import sys
from math import ceil
from pathlib import Path
from pickle import UnpicklingError
from types import SimpleNamespace

import pytest
import yaml

import mmattn
from mmattn.cli import demo, environment
from mmattn.cli.arguments import add_config_arguments
from mmattn.cli.main import COMMANDS, main, start
from mmattn.engine import shipped_configs
from mmattn.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs' / 'seg' / 'upernet_van_b0_ade20k.py'
TOOLS = {
    'train': 'train.py',
    'test': 'test.py',
    'predict': 'predict.py',
    'deploy': 'deploy.py',
    'demo': 'demo.py',
    'sites': 'list_sites.py',
    'complexity': 'complexity.py',
    'benchmark': 'benchmark.py',
    'data make': 'make_tiny_dataset.py',
    'data check': 'check_dataset.py',
    'weights check': 'check_weights.py',
    'weights convert': 'convert_checkpoint.py',
    'doctor': 'doctor.py',
}


@pytest.fixture
def call(monkeypatch, capsys):
    """Give the exit status, the output and the errors of a command line."""

    def call(*words, run=main):
        monkeypatch.setattr(sys, 'argv', ['mmattn', *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            run()
        return stop.value.code, *capsys.readouterr()

    return call


def test_help_fits_one_screen(call):
    status, out, _ = call('--help')
    assert status == 0
    assert sum(ceil(len(line) / 80) or 1 for line in out.splitlines()) <= 32
    assert set(re.findall(r'^  (\w+(?: \w+)?) {2,}', out, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize('name', COMMANDS)
def test_help_of_a_command(call, name):
    status, out, _ = call(*name.split(), '--help')
    assert status == 0
    assert out.startswith(f'usage: mmattn {name} ')


@pytest.mark.parametrize(('name', 'tool'), TOOLS.items(), ids=TOOLS)
def test_tool_takes_what_its_command_takes(call, name, tool):
    path = ROOT / 'tools' / tool
    _, expected, _ = call(*name.split(), '--help')
    status, out, _ = call('--help', run=lambda: runpy.run_path(str(path), run_name='__main__'))
    assert status == 0
    # All but the usage, which has another name in it.
    assert out.split('\n\n')[1:] == expected.split('\n\n')[1:]


@pytest.mark.parametrize(
    ('typed', 'message'),
    [
        (['trian', 'config.py'], "'trian' is no command; did you mean 'train'?"),
        (['data', 'mkae', '--out', 'x'], "'data mkae' is no command; did you mean 'data make'?"),
        (['wieghts', 'check'], "'wieghts check' is no command; did you mean 'weights check'?"),
        (['trian', '--help'], "'trian' is no command"),
        (['weights'], "'weights' is no command; did you mean 'weights get'?"),
        (['--nope'], 'unrecognized arguments: --nope'),
        ([], 'no command is given'),
        (['sites'], 'required: config'),
        (['list', '--kind', 'x'], "invalid choice: 'x'"),
        (
            ['train', 'a.py', '--cfg-options', 'foo'],
            "error: argument --cfg-options: expected KEY=VALUE, got 'foo'",
        ),
        (
            ['train', 'a.py', '--cfg-options', '=1'],
            "error: argument --cfg-options: expected KEY=VALUE, got '=1'",
        ),
        (
            ['sites', 'a.py', '--cfg-options', 'a=1', 'b=[(1,2]'],
            "error: argument --cfg-options: 'b=[(1,2]' cannot be read: Imbalanced brackets exist",
        ),
    ],
    ids=' '.join,
)
def test_mistyped(call, typed, message):
    status, out, err = call(*typed)
    assert (status, out) == (2, '')
    assert message in err.splitlines()[-1]


def test_asks_for_help_behind_the_first_of_two_words(call):
    status, out, _ = call('data', '--help')
    assert status == 0 and 'data make' in out


def test_as_a_module_and_without_the_runner():
    ask = (
        'import runpy, sys; sys.argv[1:] = ["--version"]\n'
        'try: runpy.run_module("mmattn", run_name="__main__")\n'
        'finally: assert "mmattn.engine.runner" not in sys.modules'
    )
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run([sys.executable, '-c', ask], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f'mmattn {mmattn.__version__}\n'), done.stderr


def test_lists_modules(call):
    assert call('list')[1].split() == mmattn.list_modules()
    assert call('list', '--kind', 'fusion')[1].split() == mmattn.list_modules('fusion')


def test_lists_modules_of_no_package(call):
    status, _, err = call('list', '--import', 'no_such_package')
    assert status != 0
    assert err.splitlines() == [
        'error: expected a package that can be imported, got no_such_package (No module named '
        "'no_such_package'); install it, or put its folder on PYTHONPATH"
    ]


def test_complexity_is_that_of_the_model_zoo(call):
    status, out, err = call('complexity', CONFIG)
    # The shape of the published count.
    models = yaml.safe_load((CONFIG.parent / 'metafile.yml').read_text())['Models']
    [counts] = [model['Metadata'] for model in models if model['Name'] == CONFIG.stem]
    assert status == 0, err
    rows = [line.strip('│ ').split(' │ ') for line in out.splitlines()]
    totals = {row[0].strip(): row[1].strip() for row in rows if len(row) > 1}
    assert out.startswith('One image of 3 x 512 x 2048\n')
    assert totals['parameters'] == f'{counts["Parameters"] / 1e6:.2f} M'
    assert totals['multiply-adds'] == f'{counts["FLOPs"] / 1e9:.2f} G'


@pytest.mark.parametrize(
    ('text', 'options', 'message'),
    [
        ('model = dict(type="VAN", arch="b0")', [], '--shape 224 224'),
        ('model = dict(type="VAN", arch="b0")', ['--shape', 0, 9], '--shape 224 224'),
        ('model = dict(type="VAN", arch="b9")', ['--shape', 9, 9], "got 'b9'"),
        ('optimizer = dict(type="SGD")', [], 'has no model'),
        (None, [], 'is not a file'),
    ],
    ids=['shape', 'zero', 'option', 'no model', 'no file'],
)
def test_what_cannot_be_counted_is_one_line(call, tmp_path, text, options, message):
    if text:
        (tmp_path / 'config.py').write_text(text)
    status, _, err = call('complexity', tmp_path / 'config.py', *options)
    assert status == 1
    [line] = err.splitlines()
    assert line.startswith('error: ') and message in line


def test_makes_and_checks_data(call, tmp_path):
    folder = tmp_path / 'voc'
    status, out, err = call('data', 'make', 'voc', '--out', folder, '--train', 2, '--val', 1)
    assert status == 0, err
    assert f'to {folder}; give this folder to VOCDataset' in out
    check = ('data', 'check', 'voc', folder, '--workers', 1)
    status, out, err = call(*check)
    assert status == 0 and out.endswith(': 0 faults\n'), err
    next(folder.rglob('*.xml')).unlink()
    assert call(*check)[0] == 1
    status, _, err = call('data', 'make', 'voc', '--out', folder)
    assert (status, err) == (1, f'error: {folder} is not empty; give a new or empty folder\n')


@pytest.mark.parametrize(
    ('raised', 'status', 'line'),
    [
        (KeyboardInterrupt, 130, 'error: interrupted'),
        (InputError('no such thing'), 1, 'error: no such thing'),
        (
            UnpicklingError(
                'Weights only load failed. There are two options:\n (1) ...\n '
                'WeightsUnpickler error: Unsupported global: GLOBAL os.mkdir was not an allowed '
                'global by default. Please ...\n\nCheck the documentation'
            ),
            1,
            'error: a checkpoint is more than data (Unsupported global: GLOBAL os.mkdir); to allow '
            'it: --trust-checkpoint',
        ),
        (
            UnpicklingError('Weights only ...\n\tWeightsUnpickler error: Unsupported operand 60'),
            1,
            'error: a checkpoint is damaged or none (Unsupported operand 60); copy or download it '
            'again',
        ),
        (
            UnpicklingError("invalid load key, '<'."),
            1,
            "error: a checkpoint is damaged or none (invalid load key, '<'.); copy or download it "
            'again',
        ),
    ],
    ids=['Ctrl-C', 'error', 'code', 'page', 'page, trusted'],
)
def test_ends_in_one_line(call, raised, status, line):
    def fail(args):
        raise raised

    command = SimpleNamespace(add_arguments=add_config_arguments, main=fail)
    command.__doc__ = 'Fail.'
    assert call(run=lambda: start(command, [])) == (status, '', f'{line}\n')


@pytest.mark.parametrize('sees_gpu', [False, True], ids=['CPU', 'GPU'])
@pytest.mark.parametrize('device', ['cpu', 'cuda', None])
def test_begins_anew_where_pytorch_has_looked_already(monkeypatch, device, sees_gpu):
    begun = []
    monkeypatch.setattr(os, 'execv', lambda *command: begun.append(command))
    monkeypatch.setattr('torch.cuda.is_available', lambda: sees_gpu)
    monkeypatch.setattr(os, 'environ', {})
    environment.set_environment(device, local_rank=3)
    assert begun == [(sys.executable, [sys.executable, *sys.orig_argv[1:]])]
    hidden = {'CUDA_VISIBLE_DEVICES': '-1'} if device == 'cpu' else {}
    assert os.environ == {'OMP_WAIT_POLICY': 'PASSIVE', 'LOCAL_RANK': '3', **hidden}
    # The second time PyTorch has read it.
    sees_gpu = sees_gpu and device != 'cpu'
    environment.set_environment(device, local_rank=3)
    assert len(begun) == 1


def test_demo_without_configs_keeps_what_was_there(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    demo.FOLDER.mkdir(parents=True)
    monkeypatch.setattr(shipped_configs, 'HOMES', (tmp_path / 'inside', tmp_path / 'beside'))
    with pytest.raises(InputError, match='neither in .*inside nor in .*beside; work in a clone'):
        demo.main(None)
    assert demo.FOLDER.is_dir()


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Give what stands in for the Python of an environment, and a folder that is on PATH."""
    environment, path = tmp_path / 'my env' / 'bin', tmp_path / 'bin'
    for folder in (environment, path):
        folder.mkdir(parents=True)
        for name in ('python', 'mmattn'):
            (folder / name).write_text('#!/bin/sh')
            (folder / name).chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(environment / 'python'))
    monkeypatch.setenv('PATH', str(path))
    return environment


@pytest.mark.parametrize('is_active', [False, True], ids=['not active', 'active'])
@pytest.mark.parametrize(
    ('is_installed', 'is_checkout', 'expected'),
    [
        (True, True, ['{python} tools/train.py {config}', 'python tools/train.py {config}']),
        (True, False, ['{python} -m mmattn train {config}', 'mmattn train {config}']),
        # As MMATTN_PYTHON may be: only -m finds the package, in the current folder.
        (False, True, ['{python} -m mmattn train {config}', 'python -m mmattn train {config}']),
    ],
    ids=['checkout', 'wheel', 'not installed'],
)
def test_demo_says_how_to_go_on(
    shell, tmp_path, monkeypatch, is_installed, is_checkout, expected, is_active
):
    home = tmp_path / 'a clone'
    (home / 'configs/_base_').mkdir(parents=True)
    if is_checkout:
        (home / 'tools').mkdir()
        (home / 'tools/train.py').touch()
    monkeypatch.setattr(shipped_configs, 'HOMES', (home,))
    monkeypatch.setattr(demo, '_is_installed', lambda: is_installed)
    monkeypatch.chdir(home if is_checkout else tmp_path)
    if is_active:
        monkeypatch.setenv('PATH', f'{shell}:{os.environ["PATH"]}')
    config = f'{"configs/" if is_checkout else "mmattn::"}{demo.NEXT}'
    # The place of the environment, seen from a clone that it is not in, or from beside it.
    python = f"'{shell / 'python'}'" if is_checkout else "'my env/bin/python'"
    command = expected[is_active].format(python=python, config=config)
    assert demo.next_command() == f'{command} --smoke'


def test_command_after_the_demo_is_that_of_the_readme_and_works(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv('PATH', f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
    monkeypatch.setattr(demo, '_is_installed', lambda: True)
    assert f'\n{demo.next_command()} ' in (ROOT / 'README.md').read_text()
    # Only make has set PYTHONPATH, and this Python may have the package or not.
    monkeypatch.undo()
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv('PYTHONPATH', raising=False)
    done = subprocess.run(
        ['bash', '-c', f'{demo.next_command()} --help'], capture_output=True, text=True
    )
    assert done.returncode == 0 and 'Train a model of any scope' in done.stdout, done.stderr


SCRIPTS = [
    *sorted((ROOT / 'tools').glob('*.py')),
    *(p for p in sorted((ROOT / 'docs/generate').glob('*.py')) if '__main__' in p.read_text()),
]


@pytest.mark.parametrize('script', SCRIPTS, ids=[path.name for path in SCRIPTS])
def test_asking_a_script_for_help_does_nothing_else(call, script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generated = [ROOT / 'docs', ROOT / 'configs']
    before = _times(*generated)
    status, out, _ = call('-h', run=lambda: runpy.run_path(str(script), run_name='__main__'))
    assert status == 0 and out.startswith('usage: ')
    assert _times(*generated) == before and not list(tmp_path.iterdir())


def _times(*folders):
    paths = [path for folder in folders for path in folder.rglob('*')]
    return {path: path.stat().st_mtime_ns for path in paths if '__pycache__' not in path.parts}
