"""The test matrix, with stand-ins for Pythons, pip and the script that makes environments."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import pytest

from tests import matrix

ROOT = Path(__file__).resolve().parents[1]

SUITE = """<testsuites><testsuite>{}</testsuite></testsuites>"""
PASSED = '<testcase classname="{}" name="{}"/>'
SKIPPED = '<testcase classname="{}" name="{}"><skipped type="pytest.skip" message="{}"/></testcase>'
FAILED = '<testcase classname="{}" name="{}"><failure message="no">traceback</failure></testcase>'


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n{text}')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def leg(tmp_path, monkeypatch):
    """Let a leg's tests come out as a list of elements says; return a function for it."""
    folder = tmp_path / 'leg'
    page = tmp_path / 'docs' / 'install.md'
    page.parent.mkdir()
    shutil.copy(matrix.PAGE, page)
    monkeypatch.setattr(matrix, 'ROOT', tmp_path)
    monkeypatch.setattr(matrix, 'PAGE', page)
    monkeypatch.setattr(matrix, 'INSTALL', tmp_path / 'install.sh')

    def prepare(*elements, status=0, install=None):
        folder.mkdir(exist_ok=True)
        (folder / 'report').write_text(SUITE.format(''.join(elements)))
        versions = json.dumps({'Python': '3.10.1', 'torch': '2.1.2'})
        python = program(
            folder / 'bin' / 'python',
            f"if [ $1 = -c ]; then echo '{versions}'; exit; fi\n"
            f'echo "$@" >> {folder}/asked\n'
            'for word; do case $word in\n'
            f'--junitxml=*) cp {folder}/report ${{word#*=}};;\nesac; done\nexit {status}\n',
        )
        program(tmp_path / 'install.sh', install or f'echo "$@" >> {folder}/made; echo {python}\n')
        return folder

    return prepare


def test_names_the_commit_and_what_differs_from_it_but_the_page(leg, tmp_path):
    git = ['git', '-C', tmp_path, '-c', 'user.name=a', '-c', 'user.email=a@b']
    (tmp_path / 'code').write_text('one')
    for words in (['init', '-q'], ['add', '.'], ['commit', '-qm', 'one']):
        subprocess.run([*git, *words], check=True)
    matrix.PAGE.write_text('other figures')
    assert re.fullmatch('commit [0-9a-f]{7,}', matrix.commit())
    (tmp_path / 'code').write_text('two')
    assert matrix.commit().endswith(' with changes')


GOOD = [
    PASSED.format('tests.attention.test_contract', 'test_onnx[ECA]'),
    PASSED.format('tests.weights.test_files', 'test_a'),
    PASSED.format('tests.backbones.test_van.TestVAN', 'test_shapes'),
    SKIPPED.format('tests.ops.test_norm', 'test_half[1]', 'no float16 | here'),
    SKIPPED.format('tests.ops.test_norm', 'test_half[2]', 'no float16 | here'),
    SKIPPED.format('', 'tests.heads.test_ssdlite_head', 'no mmdet&#10;a second line'),
]
TABLE = """\
| part | passed | failed | skipped |
| --- | --: | --: | --: |
| import | 0 | 0 | 0 |
| contract | 1 | {failed} | 2 |
| checkpoints | 1 | 0 | 0 |
| networks | 1 | 0 | 1 |
| insertion | 0 | 0 | 0 |
| training | 0 | 0 | 0 |
| smoke runs | 0 | 0 | 0 |
| all | 3 | {failed} | 3 |

| skipped | why |
| --: | --- |
| 2 | no float16 \\| here |
| 1 | no mmdet |
"""


def test_prints_the_figures_of_a_leg(leg, capsys):
    folder = leg(*GOOD)
    assert matrix.main(['A']) == 0
    out = capsys.readouterr().out
    assert TABLE.format(failed=0) in out and '\n3 passed, 0 failed, 3 skipped\n' in out
    assert re.search(r'\*\*Leg A\*\*, .* no commit, .*: Python 3\.10\.1, torch 2\.1\.2\.\n', out)
    assert (folder / 'made').read_text() == 'test A\n'
    asked = (folder / 'asked').read_text().split()
    assert asked[:2] == ['-m', 'pytest'] and {*asked} >= {*chain(*matrix.PARTS.values())}


def test_writes_the_figures_of_the_legs_that_were_run_alone(leg, capsys):
    leg(*GOOD)
    before = matrix.PAGE.read_text()
    assert matrix.main(['C', '--write']) == 0
    text = matrix.PAGE.read_text()
    inside = matrix.figures_of('C').search(text)[0]
    assert TABLE.format(failed=0) in inside and text.count('**Leg C**') == 1
    assert before == text.replace(inside, matrix.figures_of('C').search(before)[0])
    assert matrix.main(['C', '--write']) == 0
    assert matrix.PAGE.read_text() == text


def test_a_leg_whose_tests_fail(leg, capsys):
    leg(*GOOD, FAILED.format('tests.ops.test_norm', 'test_b'), status=1)
    assert matrix.main(['A', '--write']) == 1
    assert TABLE.format(failed=1) in capsys.readouterr().out
    assert TABLE.format(failed=1) in matrix.PAGE.read_text()


def test_the_other_legs_are_run_after_one_that_fails(leg, capsys):
    folder = leg(FAILED.format('tests.ops.test_norm', 'test_b'), status=1)
    assert matrix.main([]) == 1
    assert (folder / 'made').read_text() == 'test A\ntest B\ntest C\n'


def test_a_failure_that_the_report_alone_knows_of(leg, capsys):
    leg('<testcase classname="" name="tests.ops.test_x"><error message="no"/></testcase>')
    assert matrix.main(['A']) == 1


@pytest.mark.parametrize('first', [0, 1])
def test_a_test_that_is_there_twice_fails_once(leg, capsys, first):
    case = ('tests.ops.test_norm', 'test_b')
    leg(*[FAILED.format(*case), PASSED.format(*case)][:: 1 if first else -1], status=1)
    assert matrix.main(['A']) == 1
    assert '\n0 passed, 1 failed, 0 skipped\n' in capsys.readouterr().out


def test_no_figures_of_a_pytest_that_does_not_run(leg, capsys):
    leg(*GOOD, status=4)
    before = matrix.PAGE.read_text()
    assert matrix.main(['A', '--write']) == 1
    assert 'leg A was not run: pytest ended with status 4' in capsys.readouterr().out
    assert matrix.PAGE.read_text() == before


NOT_HERE, NO_ENVIRONMENT, NO_TIME = f'exit {matrix.NOT_HERE}', 'exit 1', 'sleep 60'
WHY = {
    NOT_HERE: 'there is no Python or no disk for it, see above',
    NO_ENVIRONMENT: 'its environment cannot be made, see above',
    NO_TIME: 'the time limit is over',
}


@pytest.mark.parametrize('install', WHY, ids=['no Python', 'no environment', 'no time'])
@pytest.mark.parametrize(
    ('args', 'left_out'),
    [
        ([], [NOT_HERE]),
        (['A', 'C'], []),
        (['--quick'], [NOT_HERE, NO_TIME]),
        (['--quick', 'A', 'C'], [NOT_HERE, NO_TIME]),
    ],
    ids=['all', 'named', 'quick', 'quick and named'],
)
def test_a_leg_that_is_not_run(leg, capsys, install, args, left_out):
    leg(install=install)
    begin = time.monotonic()
    status = matrix.main([*args, *(['--limit', '0.01'] if install is NO_TIME else [])])
    assert time.monotonic() - begin < 30
    out = capsys.readouterr().out
    for name in 'AC':
        assert f'leg {name} was not run: {WHY[install]}\n' in out
    assert status == (install not in left_out)


def test_the_limit_ends_what_was_started(leg, tmp_path):
    leg(install=f'(sleep 5; touch {tmp_path}/late) & wait')
    assert matrix.main(['A', '--limit', '0.01']) == 1
    time.sleep(6)
    assert not (tmp_path / 'late').exists()


def test_quick_tests_a_sample_without_ops(leg, capsys):
    folder = leg(*GOOD[:2])
    assert matrix.main(['--quick']) == 0
    assert (folder / 'made').read_text() == 'demo A\ndemo C\n'
    assert matrix.SEG not in (folder / 'asked').read_text().partition('\n')[0]


def test_a_python_that_is_used_as_it_is(leg, capsys):
    folder = leg(*GOOD)
    assert matrix.main(['A', '--python', f'A={folder / "bin" / "python"}']) == 0
    assert not (folder / 'made').exists()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['D'], 'the legs are A, B, C, not D'),
        (['--quick', 'B'], 'the legs of --quick are A, C, not B'),
        (['--quick', '--write'], 'a sample, whose figures are not written'),
        (['--python', 'A'], 'takes LEG=PYTHON'),
        (['--python', 'A=/nowhere/python'], 'not A=/nowhere/python'),
        (['--python', f'D={sys.executable}'], 'not D='),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else '',
)
def test_options_that_cannot_be(leg, capsys, args, message):
    with pytest.raises(SystemExit) as raised:
        matrix.main(args)
    assert raised.value.code == 2 and message in capsys.readouterr().err


def test_a_page_without_a_place_for_figures(leg, capsys):
    leg(*GOOD)
    matrix.PAGE.write_text('# Install\n')
    with pytest.raises(SystemExit):
        matrix.main(['B', '--write'])
    assert 'no place for the figures of leg B' in capsys.readouterr().err


def test_the_tests_of_a_leg_are_there():
    groups = [*matrix.PARTS.values(), *chain(*(parts.values() for parts in matrix.QUICK.values()))]
    for name in chain(*groups):
        path, _, test = name.partition('::')
        assert (ROOT / path).exists(), name
        assert not test or f'def {test.partition("[")[0]}(' in (ROOT / path).read_text(), name


# ---- The script that makes the environments ----

PINS = ['stock-torch21.txt', 'newest.txt']


def pins(name):
    lines = (ROOT / 'requirements' / name).read_text().splitlines()
    return dict(line.split('==') for line in lines if line and line[0] not in '#-')


@pytest.mark.parametrize('name', PINS)
def test_every_pin_of_a_leg_is_exact_and_agrees_with_what_tests_need(name):
    found, tools = pins(name), pins('dev.txt')
    for package in found.keys() & tools.keys():
        assert found[package] == tools[package], package


@pytest.mark.parametrize('name', PINS)
def test_the_page_names_the_versions_that_are_pinned(name):
    page = matrix.PAGE.read_text()
    for package, version in pins(name).items():
        if package.startswith(('mm', 'onedl-mm')):
            named = re.findall(rf'(?<![\w-]){package}[ =]+(\d+\.\d+\.\d+)', page)
            assert {*named} <= {version}, package


@pytest.fixture
def checkout(tmp_path):
    """What the script reads, without a Python that any leg could take."""
    shutil.copytree(ROOT / 'requirements', tmp_path / 'requirements')
    for name in ('pyproject.toml', 'setup.py'):
        shutil.copy(ROOT / name, tmp_path)
    for version in ('', '.9', '.10', '.11', '.12', '.13', '.14', '.15'):
        program(tmp_path / 'bin' / f'python3{version}', 'exit 1')
    free(tmp_path, 10)
    return tmp_path


def free(checkout, gigabytes):
    """Let the disk have so much left."""
    program(checkout / 'bin' / 'df', f'echo head; echo /dev/a 1 1 {gigabytes * 1_000_000} 1% /')


def add_python(checkout, path, version):
    """A Python that makes environments of itself, and writes down what it is asked for."""
    (checkout / 'Python.h').touch()
    return program(
        checkout / path,
        f'case "$*" in\n'
        f'*version_info*torch*|*torch*version_info*) echo torch-x-cp;;\n'
        f'*version_info*) echo {version};;\n'
        f'*mmcv._ext*) [ -e {checkout}/compiled ];;\n'
        f'*sysconfig*) echo {checkout};;\n'
        f'"-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python";;\n'
        f'*"cache dir") echo {checkout}/cache;;\n'
        f'*) echo "$PIP_CONSTRAINT $*" >> {checkout}/pip; case "$*" in\n'
        f'*pip*wheel*) for word; do case $last in --wheel-dir) touch "$word/a.whl";; esac;'
        f' last=$word; done;;\n'
        f'*a.whl) touch {checkout}/compiled;;\nesac;;\nesac\n',
    )


def install(checkout, *args, **env):
    path = f'{checkout}/bin{os.pathsep}{os.environ["PATH"]}'
    env = {**os.environ, 'PATH': path, 'PYENV_ROOT': f'{checkout}/pyenv', 'CXX': 'true', **env}
    for name in ('MMATTN_PYTHON', 'VIRTUAL_ENV', 'PYTHON'):
        if name not in env or env[name] == os.environ.get(name):
            env.pop(name, None)
    command = ['bash', f'{checkout}/requirements/install.sh', *args]
    return subprocess.run(command, env=env, capture_output=True, text=True)


@pytest.mark.parametrize(('leg', 'versions'), [('A', '3.10 or 3.11'), ('C', '3.13 or 3.12')])
def test_a_leg_without_a_python(checkout, leg, versions):
    done = install(checkout, 'test', leg)
    assert done.returncode == matrix.NOT_HERE and done.stdout == ''
    assert f'no Python {versions} found' in done.stderr and 'PYTHON=/path' in done.stderr
    assert not (checkout / f'.venv-{leg}').exists()


@pytest.mark.parametrize(('leg', 'status'), [('B', 1), ('C', matrix.NOT_HERE)])
def test_a_disk_that_is_too_small(checkout, leg, status):
    add_python(checkout, 'bin/python3.12', '3.12')
    free(checkout, 9)
    done = install(checkout, 'demo', leg)
    assert done.returncode == status and done.stdout == ''
    line = f'mmattn: {checkout} needs 10 GB of free disk, and has 9 GB; '
    assert done.stderr.splitlines()[-1].startswith(line)
    assert 'torch' not in (checkout / 'pip').read_text()
    free(checkout, 10)
    assert install(checkout, 'demo', leg).returncode == 0


def test_a_leg_that_is_none(checkout):
    done = install(checkout, 'test', 'D')
    assert (done.returncode, done.stderr) == (1, 'mmattn: the legs are A, B and C, not D\n')


@pytest.mark.parametrize(
    ('path', 'version', 'said'),
    [
        ('bin/python3.13', '3.13', ''),
        ('pyenv/versions/3.13.2/bin/python', '3.13', ''),
        ('bin/python3.12', '3.12', 'leg C is meant for Python 3.13; python3.12 is 3.12\n'),
    ],
)
def test_the_python_of_a_leg(checkout, path, version, said):
    add_python(checkout, path, version)
    done = install(checkout, 'demo', 'C')
    assert done.returncode == 0, done.stderr
    assert done.stdout == f'{checkout}/.venv-C/bin/python\n'
    assert ('is meant for' in done.stderr) == bool(said) and said in done.stderr


def test_a_python_that_is_named_comes_first_where_it_serves(checkout):
    add_python(checkout, 'bin/python3.10', '3.10')
    named = add_python(checkout, 'other/python', '3.11')
    assert f'{named} is 3.11' in install(checkout, 'demo', 'A', PYTHON=named).stderr
    shutil.rmtree(checkout / '.venv-A')
    unfit = add_python(checkout, 'other/python', '3.12')
    done = install(checkout, 'demo', 'A', PYTHON=unfit)
    assert done.returncode == 0 and 'is meant for' not in done.stderr


@pytest.mark.parametrize(
    ('leg', 'version', 'file', 'plain', 'compiled'),
    [
        ('A', '3.10', 'stock-torch21.txt', 'mmcv-lite==2.1.0', 'mmcv-2.1.0-torch-x-cp'),
        ('C', '3.13', 'newest.txt', 'onedl-mmcv==2.3.6', 'onedl-mmcv-2.3.6-torch-x-cp'),
    ],
)
def test_a_leg_gets_its_pins_and_its_ops_once(checkout, leg, version, file, plain, compiled):
    add_python(checkout, f'bin/python{version}', version)
    assert install(checkout, 'demo', leg).returncode == 0
    asked = [line for line in (checkout / 'pip').read_text().splitlines() if ' pip ' in line]
    assert all(line.startswith(f'requirements/{file} -m pip ') for line in asked)
    assert any(line.endswith(f'install --no-deps --no-cache-dir {plain}') for line in asked)

    (checkout / 'pip').write_text('')
    done = install(checkout, 'test', leg)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f'{checkout}/.venv-{leg}/bin/python\n'
    asked = (checkout / 'pip').read_text()
    wheel = checkout / 'cache' / 'mmattn' / compiled / 'a.whl'
    assert asked.count(' wheel ') == 1 and asked.endswith(f'--no-deps {wheel}\n')
    assert ('uninstall -y mmcv-lite' in asked) == (leg == 'A')

    (checkout / 'pip').write_text('')
    assert install(checkout, 'test', leg).returncode == 0
    assert (checkout / 'pip').read_text() == ''
    shutil.rmtree(checkout / f'.venv-{leg}')
    (checkout / 'compiled').unlink()
    assert install(checkout, 'test', leg).returncode == 0
    assert ' wheel ' not in (checkout / 'pip').read_text()


def test_a_change_of_its_pins_makes_a_leg_again_and_no_other(checkout):
    for version in ('3.10', '3.13'):
        add_python(checkout, f'bin/python{version}', version)
    for leg in 'AC':
        assert install(checkout, 'demo', leg).returncode == 0
    with (checkout / 'requirements' / 'newest.txt').open('a') as file:
        file.write('# changed\n')
    assert 'making .venv-C again' in install(checkout, 'demo', 'C').stderr
    assert 'again' not in install(checkout, 'demo', 'A').stderr
