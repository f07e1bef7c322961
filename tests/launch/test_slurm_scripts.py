"""The Slurm scripts without Slurm: what they would run, by --dry-run and by stand-ins."""

import os
import re
import shlex
import shutil
import subprocess

import pytest

from tests.launch.helpers import ENV, ROOT, TOY

TOOLS = ROOT / 'tools'
# What the scripts call, in a folder that has no Slurm.
COMMANDS = ('bash', 'basename', 'cat', 'dirname', 'grep', 'printf', 'realpath', 'sed')
COMMANDS += ('xargs',)
# Notes its arguments and its input, and ends with status 5.
RECORDER = '#!/usr/bin/env bash\nprintf "%s\\0" "$@" > {folder}/{name}.arguments\n{body}\nexit 5\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'bin').mkdir()
    for name in COMMANDS:
        (tmp_path / 'bin' / name).symlink_to(shutil.which(name))
    (tmp_path / 'my toy.py').write_text(TOY)
    (tmp_path / 'toy2.py').write_text(TOY)
    (tmp_path / 'a.pth').touch()
    return tmp_path


def run(folder, script, *args, **variables):
    return subprocess.run(
        ['bash', TOOLS / script, *args],
        cwd=folder,
        env={**ENV, 'PATH': str(folder / 'bin'), 'PYTHON': 'python', **variables},
        capture_output=True,
        text=True,
    )


def dry_run(folder, script, *args, **variables):
    """Give the words of the command and the lines after it."""
    done = run(folder, script, *args, '--dry-run', **variables)
    assert done.returncode == 0, done.stderr
    command, *rest = done.stdout.splitlines()
    return shlex.split(command), rest


def fail(folder, script, *args, **variables):
    done = run(folder, script, *args, **variables)
    assert not done.stdout
    [line] = done.stderr.splitlines()
    return done.returncode, line


def replace_program(folder, name, body=''):
    path = folder / 'bin' / name
    path.write_text(RECORDER.format(folder=folder, name=name, body=body))
    path.chmod(0o755)


def recorded(folder, name='srun'):
    return (folder / f'{name}.arguments').read_text().split('\0')[:-1]


SCRIPTS = sorted(path.name for path in TOOLS.glob('slurm_*'))


@pytest.mark.parametrize('script', SCRIPTS)
def test_syntax(script):
    subprocess.run(['bash', '-n', TOOLS / script], check=True)


@pytest.mark.parametrize('script', [name for name in SCRIPTS if name != 'slurm_launch.sh'])
def test_is_executable_and_says_how_to_call_it(folder, script):
    assert os.access(TOOLS / script, os.X_OK)
    status, line = fail(folder, script)
    assert status == 2 and line.startswith('usage: ') and f'tools/{script} ' in line


def test_default_is_a_node_of_eight_gpus(folder):
    command, table = dry_run(folder, 'slurm_train.sh', 'gpu', 'job', 'toy2.py')
    options = '--nodes=1 --ntasks=8 --ntasks-per-node=8 --cpus-per-task=5 --gres=gpu:8'.split()
    assert command == [
        *['srun', '--partition=gpu', '--job-name=job', *options, '--kill-on-bad-exit=1'],
        *['python', '-u', f'{TOOLS}/train.py', '--launcher=slurm', 'toy2.py'],
    ]
    assert len(table) == 1 + 8


@pytest.mark.parametrize(
    ('variables', 'options', 'ranks'),
    [
        (
            dict(GPUS='4', GPUS_PER_NODE='2', CPUS_PER_TASK='3'),
            '--nodes=2 --ntasks=4 --ntasks-per-node=2 --cpus-per-task=3 --gres=gpu:2',
            [(0, 0, 0), (1, 0, 1), (2, 1, 0), (3, 1, 1)],
        ),
        (
            dict(GPUS='1'),
            '--nodes=1 --ntasks=1 --ntasks-per-node=1 --cpus-per-task=5 --gres=gpu:1',
            [(0, 0, 0)],
        ),
        (
            dict(GPUS='0', NTASKS='2'),
            '--nodes=1 --ntasks=2 --ntasks-per-node=2 --cpus-per-task=5',
            [(0, 0, 0), (1, 0, 1)],
        ),
        (
            dict(GPUS='1', SRUN_ARGS='--gpus-per-task=1'),
            '--nodes=1 --ntasks=1 --ntasks-per-node=1 --cpus-per-task=5 --gpus-per-task=1',
            [(0, 0, 0)],
        ),
        (
            dict(GPUS='1', SRUN_ARGS='-x n1 --gres=gpu:a100:1'),
            '--nodes=1 --ntasks=1 --ntasks-per-node=1 --cpus-per-task=5 -x n1 --gres=gpu:a100:1',
            [(0, 0, 0)],
        ),
        (
            dict(GPUS='0', ACCOUNT='me', QOS='low', TIME='1:00:00', CONSTRAINT='a|b'),
            '--nodes=1 --ntasks=1 --ntasks-per-node=1 --cpus-per-task=5 --account=me --qos=low '
            '--time=1:00:00 --constraint=a|b',
            [(0, 0, 0)],
        ),
    ],
    ids=['two nodes', 'fewer than a node', 'cpu', 'gpus per task', 'kind of gpu', 'limits'],
)
def test_what_is_asked_for(folder, variables, options, ranks):
    command, table = dry_run(folder, 'slurm_train.sh', 'p', 'j', 'toy2.py', **variables)
    assert command[3 : command.index('--kill-on-bad-exit=1')] == options.split()
    assert [tuple(map(int, line.split())) for line in table[1:]] == ranks


def test_arguments_arrive_as_they_were_given(folder):
    replace_program(folder, 'srun', 'printf "%s" "$PYTHONPATH" > path')
    given = ['my toy.py', 'a.pth', '--cfg-options', 'a=[1, 2]', 'b="*"', "c='$HOME'"]
    variables = dict(GPUS='0', SRUN_ARGS='--comment="two words" --nice', PYTHONPATH='/b c')
    done = run(folder, 'slurm_test.sh', 'a partition', 'a job', *given, **variables)
    assert done.returncode == 5
    arguments = recorded(folder)
    assert arguments[:2] == ['--partition=a partition', '--job-name=a job']
    assert '--comment=two words' in arguments and '--nice' in arguments
    tool = arguments.index(f'{TOOLS}/test.py')
    assert arguments[tool + 1 :] == ['--launcher=slurm', *given]
    assert (folder / 'path').read_text() == f'{ROOT}:/b c'


def test_runs_from_any_folder_and_through_a_link(folder):
    (folder / 'bin' / 'train').symlink_to(TOOLS / 'slurm_train.sh')
    done = subprocess.run(
        ['train', 'p', 'j', 'toy2.py', '--dry-run'],
        cwd=folder,
        env={**ENV, 'PATH': str(folder / 'bin')},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f' {TOOLS}/train.py ' in done.stdout


@pytest.mark.parametrize('script', ['slurm_train.sh', 'slurm_sweep.sh'])
def test_config_that_comes_with_the_package(folder, script):
    config = 'mmattn::seg/upernet_van_b0_ade20k.py'
    command, rest = dry_run(folder, script, 'p', 'j', config)
    [line] = [line for line in [shlex.join(command), *rest] if 'upernet_van_b0_ade20k' in line]
    assert config in shlex.split(line)
    if script == 'slurm_sweep.sh':
        assert 'work_dirs/j/upernet_van_b0_ade20k' in shlex.split(line)


@pytest.mark.parametrize(
    ('args', 'variables', 'message'),
    [
        (['slurm_train.sh', 'p', 'j', 'nope.py'], {}, 'config nope.py is not a file'),
        (['slurm_sweep.sh', 'p', 'j', 'toy2.py', 'nope.py'], {}, 'config nope.py is not a file'),
        (['slurm_train.sh', 'p', 'j', 'mmattn::a.py'], {}, 'config mmattn::a.py is not a file'),
        (['slurm_test.sh', 'p', 'j', 'toy2.py', 'nope.pth'], {}, 'checkpoint nope.pth is not a'),
        (
            ['slurm_train.sh', 'p', 'j', 'toy2.py'],
            dict(GPUS='12'),
            'GPUS=12 is not a multiple of GPUS_PER_NODE=8',
        ),
        (
            ['slurm_train.sh', 'p', 'j', 'toy2.py'],
            dict(GPUS='08'),
            'GPUS=08; expected a whole number, 0 or more',
        ),
        (
            ['slurm_train.sh', 'p', 'j', 'toy2.py'],
            dict(GPUS_PER_NODE='0'),
            'GPUS_PER_NODE=0; expected a whole number, 1 or more',
        ),
        (
            ['slurm_train.sh', 'p', 'j', 'toy2.py'],
            dict(NTASKS='2'),
            'NTASKS=2 is for jobs on CPUs, GPUS=0',
        ),
        (
            ['slurm_train.sh', 'p', 'j', 'toy2.py'],
            dict(SRUN_ARGS='--comment="a'),
            'SRUN_ARGS=--comment="a has a quote that does not end',
        ),
        (['slurm_train.sh', 'p', 'j', 'toy2.py'], {}, 'srun is not found'),
        (['slurm_sweep.sh', 'p', 'j', 'toy2.py'], {}, 'sbatch is not found'),
        (
            ['slurm_sweep.sh', 'p', 'j', 'toy2.py'],
            dict(SEEDS='1 1'),
            'toy2.py and toy2.py would share work_dirs/j/toy2-seed1',
        ),
        (
            # No names of files.
            ['slurm_sweep.sh', 'p', 'j', 'toy2.py'],
            dict(SEEDS='1 *'),
            'a seed of SEEDS=*; expected a whole number from 0 to 4294967295',
        ),
        (
            ['slurm_sweep.sh', 'p', 'j', 'toy2.py'],
            dict(MAX_RUNNING='x'),
            'MAX_RUNNING=x; expected a whole number, 1 or more',
        ),
    ],
)
def test_bad_input(folder, args, variables, message):
    status, line = fail(folder, *args, **variables)
    assert status == 1 and line.startswith(f'error: {message}')


@pytest.mark.parametrize(
    ('given', 'work_dir'),
    [
        ([], 'work_dirs/my toy'),
        (['--work-dir', 'a b'], 'a b'),
        (['--work-dir=a b', '--amp'], 'a b'),
    ],
)
def test_batch_job_goes_on_where_there_is_a_checkpoint(folder, given, work_dir):
    args = ['slurm_train.sbatch', 'my toy.py', *given]
    command, _ = dry_run(folder, *args)
    start = command[command.index('--launcher=slurm') + 1 :]
    assert start == ['my toy.py', *(given or ['--work-dir', work_dir])]
    (folder / work_dir).mkdir(parents=True)
    (folder / work_dir / 'last_checkpoint').touch()
    command, _ = dry_run(folder, *args)
    assert command[command.index('--launcher=slurm') + 1 :] == [*start, '--resume']


def test_batch_job_of_several_nodes_names_the_first_one(folder):
    replace_program(folder, 'scontrol', 'echo node07; echo node09; exit')
    replace_program(folder, 'srun', 'printf "%s" "$MASTER_ADDR" > address')
    job = dict(SLURM_JOB_ID='1', SLURM_NNODES='2', SLURM_JOB_NODELIST='node[07,09]')
    done = run(folder, 'slurm_train.sbatch', 'toy2.py', **job, SLURM_CPUS_PER_TASK='4')
    # An error of the training is the error of the job.
    assert done.returncode == 5, done.stderr
    assert (folder / 'address').read_text() == 'node07'
    assert recorded(folder)[0] == '--cpus-per-task=4'


def test_sweep_gives_each_task_of_the_array_its_combination(folder):
    replace_program(folder, 'sbatch', 'cat > script')
    args = ['p', 'my job', 'my toy.py', 'toy2.py', '--cfg-options', 'a=[1, 2]']
    variables = dict(SEEDS='0 5', GPUS='1', MAX_RUNNING='2')
    command, script = dry_run(folder, 'slurm_sweep.sh', *args, **variables)
    assert run(folder, 'slurm_sweep.sh', *args, **variables).returncode == 5
    assert recorded(folder, 'sbatch') == command[1:] and '--array=0-3%2' in command
    assert (folder / 'script').read_text().splitlines() == script
    assert '#SBATCH --requeue' in script and '#SBATCH --signal=B:USR1@120' in script

    combinations = [(path, seed) for path in ('my toy', 'toy2') for seed in (0, 5)]
    for i, (name, seed) in enumerate(combinations):
        done = subprocess.run(
            ['bash', 'script'],
            cwd=folder,
            env={**ENV, 'DRY_RUN': '1', 'SLURM_ARRAY_TASK_ID': str(i)},
            capture_output=True,
            text=True,
            check=True,
        )
        words = shlex.split(done.stdout)
        assert words[words.index('--launcher=slurm') + 1 :] == [
            *[f'{name}.py', '--work-dir', f'work_dirs/my job/{name}-seed{seed}'],
            *['--cfg-options', 'a=[1, 2]', '--cfg-options', f'randomness.seed={seed}'],
        ]


def test_sweep_over_configs_alone(folder):
    _, script = dry_run(folder, 'slurm_sweep.sh', 'p', 'j', 'my toy.py', 'toy2.py', WORK_DIR='w')
    cases = [line.split('set -- ')[1] for line in script if 'set -- ' in line]
    assert [shlex.split(case.removesuffix(';;')) for case in cases] == [
        ['my toy.py', '--work-dir', 'w/my toy'],
        ['toy2.py', '--work-dir', 'w/toy2'],
    ]


def commands_of_the_docs():
    text = '\n'.join(path.read_text() for path in sorted((ROOT / 'docs').glob('launch*.md')))
    blocks = re.findall(r'```bash\n(.*?)```', text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if re.search(r'tools/slurm_|sbatch|scancel', line)]


def test_commands_of_the_docs(folder):
    for name in ('tools', 'configs'):
        (folder / name).symlink_to(ROOT / name)
    (folder / 'iter_160000.pth').touch()
    replace_program(folder, 'srun', 'exit')
    replace_program(folder, 'scancel', 'exit')
    # What sbatch would start, if it is not the script of a sweep.
    start = 'while [[ $# -gt 0 && $1 != *.sbatch ]]; do shift; done'
    start += '; [ $# -gt 0 ] || exec cat > script'
    replace_program(folder, 'sbatch', f'{start}\nbash "$@" --dry-run\nexit')
    lines = commands_of_the_docs()
    assert len(lines) > 10
    for line in lines:
        env = {**ENV, 'PATH': str(folder / 'bin')}
        done = subprocess.run(line, shell=True, cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f'{line}: {done.stderr}'
