"""The check at ``import mmattn``, and what a command does where it fails."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FAULT = 'mmcv 2.1.0 and onedl-mmcv 2.3.6 share the folder'
SCRIPT = """#!{python}
import sys
from mmattn.cli.main import main
if __name__ == '__main__':
    sys.exit(main())
"""


@pytest.fixture(scope='module')
def environment(tmp_path_factory):
    """An environment with nothing in it but records of what shares a folder."""
    folder = tmp_path_factory.mktemp('environment') / 'a venv'
    venv.create(folder, symlinks=True)
    [packages] = folder.glob('lib/python*/site-packages')
    for name in ('mmengine-0.10.7', 'mmcv-2.1.0', 'onedl_mmcv-2.3.6'):
        info = packages / f'{name}.dist-info'
        info.mkdir()
        written, version = name.replace('_', '-').rsplit('-', 1)
        (info / 'METADATA').write_text(f'Name: {written}\nVersion: {version}\n')
    for package in ('mmengine', 'mmcv'):
        (packages / package).mkdir()
        # It is not to be imported.
        (packages / package / '__init__.py').write_text('import os; os._exit(77)')
    return folder


@pytest.fixture
def python(environment, tmp_path):
    def run(*words, checkout=True):
        env = {k: v for k, v in os.environ.items() if k not in ('PYTHONPATH', 'PYTHONHOME')}
        if checkout:
            env['PYTHONPATH'] = str(ROOT)
        words = [environment / 'bin' / 'python', *words]
        return subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)

    return run


@pytest.fixture
def script(environment, tmp_path):
    """What pip makes of the entry point."""
    path = tmp_path / 'mmattn'
    path.write_text(SCRIPT.format(python=environment / 'bin' / 'python'))
    return path


def test_import_says_it_in_one_line(python):
    done = python('-c', 'import mmattn')
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f'ImportError: {FAULT}')
    # And again, to whoever goes on.
    code = 'for _ in 1, 2:\n  try: import mmattn\n  except ImportError as error: print(error)'
    done = python('-c', code)
    first, second = done.stdout.splitlines()
    assert first == second and first.startswith(FAULT)


def test_part_of_it_says_it_as_well(python):
    done = python('-c', 'from mmattn.attention import CoordAtt')
    assert done.stderr.splitlines()[-1].startswith(f'ImportError: {FAULT}')


@pytest.mark.parametrize('words', [['train', 'x.py'], ['--help'], ['list'], []], ids=str)
def test_a_command_ends_in_one_line(python, script, words):
    for start in (['-m', 'mmattn'], [script], ['-X', 'utf8', '-m', 'mmattn']):
        done = python(*start, *words)
        assert (done.returncode, done.stdout) == (1, '')
        [line] = done.stderr.splitlines()
        assert line.startswith(f'error: {FAULT}') and 'pip uninstall -y onedl-mmcv' in line


def test_a_script_of_a_checkout_ends_in_one_line(python):
    done = python(ROOT / 'tools' / 'complexity.py', 'x.py')
    [line] = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith(f'error: {FAULT}')


def test_another_program_of_modules_is_no_command(python, tmp_path):
    (tmp_path / 'other.py').write_text('import mmattn')
    for words in (['-m', 'other', 'doctor'], ['other.py', 'doctor']):
        done = python(*words)
        assert done.returncode == 1 and 'Traceback' in done.stderr and done.stdout == ''


@pytest.mark.parametrize('start', ['module', 'script', 'checkout'])
def test_doctor_runs_nevertheless(python, script, start):
    words = {
        'module': ['-m', 'mmattn', 'doctor'],
        'script': [script, 'doctor'],
        'checkout': [ROOT / 'tools' / 'doctor.py'],
    }[start]
    done = python(*words, '--json', checkout=start != 'checkout')
    assert (done.returncode, done.stderr) == (1, '')
    rows = {row['name']: row for row in json.loads(done.stdout)['rows']}
    assert rows['mmcv']['remark'].startswith(FAULT)
    assert rows['torch']['state'] == 'broken'
    done = python(*words, checkout=start != 'checkout')
    assert done.returncode == 1 and f'    {rows["mmcv"]["remedy"]}' in done.stdout.splitlines()


def test_help_of_the_doctor_needs_nothing(python):
    done = python('-m', 'mmattn', 'doctor', '--help')
    assert done.returncode == 0 and done.stdout.startswith('usage: mmattn doctor ')
    done = python('-m', 'mmattn', 'doctor', '--nope')
    assert done.returncode == 2 and '--nope' in done.stderr


def test_doctor_is_asked_before_torch_is_imported():
    code = 'import sys; sys.argv = ["/bin/mmattn", "doctor", "--help"]\ntry: import mmattn\n'
    code += 'except SystemExit: print({"torch", "mmengine", "mmcv"} & {*sys.modules})'
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=env)
    assert done.stdout.splitlines()[-1] == 'set()', done.stderr


def test_check_imports_no_package():
    code = (
        'import sys, types; m = sys.modules["mmattn"] = types.ModuleType("mmattn")\n'
        f'm.__path__ = [{str(ROOT / "mmattn")!r}]; before = {{*sys.modules}}\n'
        'import mmattn.entrance; mmattn.entrance.enter()\n'
        'new = {name.partition(".")[0] for name in {*sys.modules} - before}\n'
        'print(new - {*sys.stdlib_module_names})'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout == "{'mmattn'}\n", done.stderr
