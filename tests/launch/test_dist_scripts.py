"""Several processes on the CPU, started as a user starts them."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmattn.datasets.synthetic.tiny_ade20k import make_tiny_ade20k
from mmattn.engine.build import build_runner
from mmattn.engine.config import load_config
from mmattn.probe.build import build
from tests import forked
from tests.helpers import randomize
from tests.launch import points
from tests.tools import test_tools

ROOT = Path(__file__).resolve().parents[2]
TRAIN, TEST = ROOT / 'tools' / 'dist_train.sh', ROOT / 'tools' / 'dist_test.sh'
ENV = {
    **os.environ,
    'PYTHON': sys.executable,
    'OMP_NUM_THREADS': '1',
    'OMP_WAIT_POLICY': 'PASSIVE',
    'CUDA_VISIBLE_DEVICES': '-1',
}


def start(*command, cwd=None, **env):
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env={**ENV, **{name: str(value) for name, value in env.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process):
    """Wait for a process; a hang is a failure of the test and leaves nothing behind."""
    try:
        out, err = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, out, err


def run(*command, **options):
    return finish(start(*command, **options))


def succeed(*command, **options):
    status, out, err = run(*command, **options)
    assert status == 0, out[-2000:] + err
    return out


def errors(err):
    return [line for line in err.splitlines() if line.startswith('error: ')]


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp('a folder') / 'toy.py'
    path.write_text(points.CONFIG)
    return path


@pytest.fixture(scope='module')
def trained(config):
    """Two processes, started from another folder with relative paths that have spaces."""
    folder = config.parent
    out = succeed(TRAIN, 'toy.py', 2, '--work-dir', 'two ranks', cwd=folder)
    return folder / 'two ranks', out


def test_one_rank_asks_for_public_weights_and_one_tells_that_there_are_none(tmp_path):
    nowhere = dict.fromkeys(('http_proxy', 'https_proxy'), 'http://127.0.0.1:9')
    env = dict(nowhere, no_proxy='', TORCH_HOME=tmp_path, HF_HOME=tmp_path)
    config = ROOT / 'configs/seg/upernet_van_b2_ade20k.py'
    status, _, err = run(TRAIN, config, 2, '--work-dir', tmp_path / 'run', **env)
    [line] = errors(err)
    assert status == 1 and 'mmattn://van_b2_in1k is not in ' in line
    assert line.endswith('; or start from random values: --from-scratch')


def weights(path):
    return torch.load(path, weights_only=False)['state_dict']


def assert_same_weights(path, other, **tolerance):
    expected = weights(other)
    torch.testing.assert_close(weights(path), expected, **tolerance)


def test_says_what_runs_where(trained):
    _, out = trained
    host = socket.gethostname()
    table = out[out.index('2 ranks over gloo') :].splitlines()[1:4]
    assert [line.split() for line in table[1:]] == [[r, host, r, 'cpu'] for r in '01']


def test_one_node_listens_on_the_loopback_address_only(trained):
    """torchrun and the ranks."""
    found = re.findall(r'listens at (.*)', trained[1])
    assert found == ['0100007F'] * 2


def test_gradients_are_those_of_one_process_with_the_same_batch(config, trained, tmp_path):
    cfg = load_config(str(config), {'train_dataloader.batch_size': 4, 'work_dir': str(tmp_path)})
    build_runner(cfg).train()
    for name in ('iter_2.pth', 'iter_4.pth'):
        assert_same_weights(trained[0] / name, tmp_path / name, rtol=1e-12, atol=1e-12)


def test_resumes(config, trained, tmp_path):
    options = ['--resume', trained[0] / 'iter_2.pth', '--work-dir', tmp_path]
    out = succeed(TRAIN, config, 2, *options)
    assert re.findall(r'Iter\(train\) \[(\d)/4\]', out) == ['3', '4']
    assert_same_weights(tmp_path / 'iter_4.pth', trained[0] / 'iter_4.pth', rtol=0, atol=0)


@pytest.mark.slow
def test_begins_again_after_a_failure(config, tmp_path):
    """From the last checkpoint; what an older training left is none."""
    (tmp_path / 'last_checkpoint').write_text('an older one')
    options = ['--work-dir', tmp_path, '--cfg-options', 'model.raises=1']
    out = succeed(TRAIN, config, 2, *options, MAX_RESTARTS=1)
    assert re.findall(r'Iter\(train\) \[(\d)/4\]', out) == ['1', '2', '3', '4']


def test_goes_on_after_nohup(tmp_path):
    script = tmp_path / 'rank.py'
    script.write_text(
        'import os, signal, time\n'
        'print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)\n'
        'os.killpg(0, signal.SIGHUP); time.sleep(1)\n'
        'print("goes on")\n'
    )
    torchrun = [sys.executable, ROOT / 'tools' / 'torchrun.py', '--master-port', 0]
    out = succeed('bash', '-c', 'trap "" HUP; exec "$@"', 'bash', *torchrun, script)
    assert out.split('\n')[:2] == ['True', 'goes on']


@pytest.fixture(scope='module')
def van(tmp_path_factory):
    folder = tmp_path_factory.mktemp('van')
    make_tiny_ade20k(folder / 'data', train=4, val=3)
    path = folder / 'tiny.py'
    path.write_text(test_tools.CONFIG.format(root=ROOT, data=folder / 'data'))
    return path


def test_segmentation_has_the_metrics_of_one_process(van):
    """VAN with SyncBN in its heads, and three images for two processes."""
    checkpoint = van.parent / 'random.pth'
    model = build(load_config(str(van)), meta=False)
    torch.save(randomize(model).state_dict(), checkpoint)
    work_dir = ['--work-dir', van.parent / 'test']
    # The log rounds to two digits; the class table and the means are all of it.
    two = succeed(TEST, van, checkpoint, 2, *work_dir)
    assert 'SyncBN does not run on the CPU: it is BN here' in two
    one = forked.run(ROOT / 'tools' / 'test.py', van, checkpoint, *work_dir).stdout

    def metrics(out):
        table = re.findall(r'^\|.*\|$', out, re.MULTILINE)
        return table + re.findall(r'(?:aAcc|mIoU|mAcc): [\d.]+', out)

    assert len(metrics(one)) > 150
    assert metrics(two) == metrics(one)


def test_an_exception_is_told_once(config, tmp_path):
    options = ['--work-dir', tmp_path, '--cfg-options', 'model.raises=1']
    status, _, err = run(TRAIN, config, 2, *options)
    assert status == 1
    assert errors(err) == ['error: rank 1: RuntimeError: the toy is broken']
    assert err.count('Traceback') == 1


@pytest.mark.slow
def test_a_start_that_fails_leaves_nothing(config, tmp_path):
    (tmp_path / 'cut.pth').write_bytes(b'PK\x03\x04 and no more')
    options = ['--work-dir', tmp_path / 'runs' / 'a', '--cfg-options']
    status, _, err = run(TRAIN, config, 2, *options, f'load_from={tmp_path / "cut.pth"}')
    [line] = errors(err)
    assert status == 1 and 'cut.pth' in line, err
    assert [path.name for path in tmp_path.iterdir()] == ['cut.pth']


def test_a_killed_rank_ends_the_others(config, tmp_path):
    options = ['--work-dir', tmp_path, '--cfg-options', 'model.dies=1']
    status, _, err = run(TRAIN, config, 2, *options)
    assert status == 1
    assert re.fullmatch(
        r'error: rank 1 \(process \d+\) was ended by SIGKILL - out of memory\?', errors(err)[-1]
    )
    assert 'Traceback' not in err


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as server:
        return server.getsockname()[1]


def start_tasks(config, *args, tasks=(0, 1), **env):
    """Start the ranks as srun does: nothing watches them."""
    return [
        start(
            *[sys.executable, ROOT / 'tools' / 'train.py', config, '--launcher', 'slurm', *args],
            PYTHONPATH=ROOT,
            **{'SLURM_NTASKS': 2, 'SLURM_PROCID': task, 'SLURM_LOCALID': task, **env},
        )
        for task in tasks
    ]


@pytest.mark.slow
def test_tasks_that_nothing_watches_end_with_the_one_that_is_killed(config, tmp_path):
    options = ['--work-dir', tmp_path, '--cfg-options', 'model.dies=1']
    tasks = start_tasks(config, *options, MASTER_PORT=free_port())
    (status, _, err), (killed, _, _) = map(finish, tasks)
    assert (status, killed) == (1, -signal.SIGKILL)
    [error] = errors(err)
    host = socket.gethostname()
    assert error.startswith(f'error: rank 0: rank 1 of 2 (on {host}) was killed, stopped or cut')
    assert 'Traceback' not in err


@pytest.mark.slow
def test_tasks_that_nothing_watches_end_with_the_one_that_fails(config, tmp_path):
    """Rank 0, with which the ranks' list of who failed ends."""
    options = ['--work-dir', tmp_path, '--cfg-options', 'model.raises=0']
    tasks = start_tasks(config, *options, MASTER_PORT=free_port())
    (status, _, err), (other, _, silent) = map(finish, tasks)
    assert (status, other) == (1, 1)
    assert errors(err) == ['error: rank 0: RuntimeError: the toy is broken']
    assert errors(silent) == [] and 'Traceback' not in silent


def test_missing_rank(config, tmp_path):
    options = ['--work-dir', tmp_path, '--cfg-options', 'env_cfg.dist_cfg.join_timeout=1']
    [task] = start_tasks(config, *options, tasks=[0], MASTER_PORT=free_port())
    status, _, err = finish(task)
    assert status == 1
    [error] = errors(err)
    assert 'rank 0: 1 of 2 ranks joined within 1 s, rank 1 did not' in error


def test_missing_rank_0(config, tmp_path):
    options = ['--work-dir', tmp_path, '--cfg-options', 'env_cfg.dist_cfg.join_timeout=1']
    port = free_port()
    [task] = start_tasks(config, *options, tasks=[1], MASTER_PORT=port)
    status, _, err = finish(task)
    assert status == 1
    assert f'error: rank 1: rank 0 does not answer at 127.0.0.1:{port} within 1 s' in err


def test_other_configs_on_other_ranks(tmp_path):
    path = tmp_path / 'toy.py'
    path.write_text(points.CONFIG.replace('lr=0.1', 'lr={{"$RANK:0"}}'))
    status, _, err = run(TRAIN, path, 2, '--work-dir', tmp_path)
    assert status == 1
    [error] = errors(err)
    assert re.fullmatch(
        r'error: rank [01]: rank 1 ran another config than rank 0: optim_wrapper\.optimizer\.lr is '
        r'1 on rank 1, 0 on rank 0; start all with the same',
        error,
    )


def test_port_is_taken(config, tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
        [task] = start_tasks(config, '--work-dir', tmp_path, tasks=[0], MASTER_PORT=port)
        assert f'error: rank 0: port {port} of' in finish(task)[2]
        status, _, err = run(TRAIN, config, 2, PORT=port)
    assert status == 1
    host = socket.gethostname()
    assert err == f'error: port {port} of {host} is taken; choose another one: PORT={port + 1}\n'


def test_missing_node(config):
    env = dict(NNODES=2, MASTER_ADDR='127.0.0.1', PORT=free_port(), JOIN_TIMEOUT=2)
    for node, message in enumerate(['not all of 2 nodes came to', 'node 0 does not answer at']):
        status, _, err = run(TRAIN, config, 1, NODE_RANK=node, **env)
        assert status == 1
        [error] = errors(err)
        assert error.startswith(f'error: {message} 127.0.0.1:')
        assert 'Traceback' not in err


@contextlib.contextmanager
def two_hosts():
    """Give the names of two network namespaces that a cable joins: 10.77.0.1 and 10.77.0.2."""
    names = [f'mmattn{os.getpid()}{i}' for i in '01']

    def ip(*args, check=True):
        return subprocess.run(['ip', *args], capture_output=True, text=True, check=check)

    if shutil.which('ip') is None:
        pytest.skip('two hosts need ip (iproute2)')
    made = ip('netns', 'add', names[0], check=False)
    if made.returncode:
        pytest.skip(f'network namespaces cannot be made here: {made.stderr.strip()}')
    try:
        ip('netns', 'add', names[1])
        cable = 'type veth peer name eth0 netns'.split()
        ip('link', 'add', 'eth0', 'netns', names[0], *cable, names[1])
        for i, name in enumerate(names, start=1):
            ip('-n', name, 'address', 'add', f'10.77.0.{i}/24', 'dev', 'eth0')
            for device in ('lo', 'eth0'):
                ip('-n', name, 'link', 'set', device, 'up')
        yield names
    finally:
        for name in names:
            ip('netns', 'delete', name, check=False)


@pytest.mark.slow
def test_two_nodes(config, trained, tmp_path):
    env = dict(NNODES=2, MASTER_ADDR='10.77.0.1', PORT=29500, GLOO_SOCKET_IFNAME='eth0')
    command = [TRAIN, config, 1, '--work-dir', tmp_path]
    with two_hosts() as hosts:
        nodes = [
            start('ip', 'netns', 'exec', host, *command, NODE_RANK=i, **env)
            for i, host in enumerate(hosts)
        ]
        results = [finish(node) for node in nodes]
    assert [status for status, _, _ in results] == [0, 0], results[0][2] + results[1][2]
    assert '2 ranks over gloo' in results[0][1] + results[1][1]
    assert_same_weights(tmp_path / 'iter_4.pth', trained[0] / 'iter_4.pth', rtol=0, atol=0)


@pytest.mark.parametrize('name', ['dist_train.sh', 'dist_test.sh', 'dist_launch.sh'])
def test_syntax(name):
    succeed('bash', '-n', ROOT / 'tools' / name)


def test_dry_run_prints_the_command():
    line = succeed(TRAIN, 'a b.py', 4, '--dry-run', '--amp')
    command = shlex.split(line)
    assert command[1] == str(ROOT / 'tools' / 'torchrun.py')
    assert command[2:] == [
        *'--nproc-per-node 4 --max-restarts 0 --master-port 0'.split(),
        *[str(ROOT / 'tools' / 'train.py'), 'a b.py', '--amp', '--launcher', 'pytorch'],
    ]
    env = dict(NNODES=2, NODE_RANK=1, MASTER_ADDR='node1', PORT=29501, MAX_RESTARTS=3)
    command = shlex.split(succeed(TEST, 'a.py', 'c.pth', 8, '--dry-run', **env))
    assert (
        command[2:-5]
        == (
            '--nproc-per-node 8 --max-restarts 3 --nnodes 2 --node-rank 1 --master-addr node1 '
            '--master-port 29501 --rdzv-id mmattn --rdzv-conf timeout=600'
        ).split()
    )
    assert command[-5:] == [
        *[str(ROOT / 'tools' / 'test.py'), 'a.py', 'c.pth', '--launcher', 'pytorch']
    ]


@pytest.mark.parametrize(
    ('command', 'env', 'status', 'message'),
    [
        ([TRAIN, 'a.py'], {}, 2, 'usage: .*dist_train.sh CONFIG GPUS'),
        ([TEST, 'a.py', 'b.pth'], {}, 2, 'usage: .*dist_test.sh CONFIG CHECKPOINT GPUS'),
        ([TRAIN, 'a.py', 'two'], {}, 1, 'error: GPUS=two; expected a whole number, 1 or more\n'),
        ([TRAIN, 'a.py', 0], {}, 1, 'error: GPUS=0; expected a whole number, 1 or more\n'),
        ([TRAIN, 'a.py', 2], {'NNODES': 2}, 1, 'error: NNODES=2 needs NODE_RANK, and MASTER_ADDR'),
        ([TRAIN, 'a.py', 2], {'NODE_RANK': 1}, 1, 'error: NODE_RANK=1; .* number from 0 to 0\n'),
        (
            [TRAIN, 'a.py', 2],
            {'NNODES': 10, 'NODE_RANK': '08', 'MASTER_ADDR': 'a'},
            1,
            'error: NODE_RANK=08; expected a whole number from 0 to 9\n',
        ),
        ([TRAIN, 'a.py', 2], {'PORT': '65536'}, 1, 'error: PORT=65536; .* from 1 to 65535\n'),
        ([TRAIN, 'a.py', 2], {'PORT': '9)) #'}, 1, r'error: PORT=9\)\) #; .* from 1 to 65535\n'),
        ([TRAIN, 'a.py', 2], {'MAX_RESTARTS': 'x'}, 1, 'error: MAX_RESTARTS=x; .*, 0 or more\n'),
        ([TRAIN, 'a.py', 2], {'JOIN_TIMEOUT': '0'}, 1, 'error: JOIN_TIMEOUT=0; .*, 1 or more\n'),
        ([TRAIN, 'a.py', 2], {'NNODES': 'a[$(exit 3)]'}, 1, r'error: NNODES=a\[\$\(exit 3\)\]; '),
    ],
    ids='train test number zero address node octal port code restarts patience shell'.split(),
)
def test_wrong_calls(command, env, status, message):
    got, out, err = run(*command, **env)
    assert (got, out) == (status, '')
    assert re.match(message, err)


def documented_commands():
    text = (ROOT / 'docs' / 'launch.md').read_text()
    return re.findall(r'^(?:\w+=\S+ )*bash tools/dist_\w+\.sh .*$', text, re.MULTILINE)


@pytest.mark.parametrize('command', documented_commands())
def test_documented_command(command):
    *_, out = succeed('bash', '-c', f'{command} --dry-run', cwd=ROOT).splitlines()
    path = next(part for part in shlex.split(out) if part.startswith('configs/'))
    assert (ROOT / path).is_file()
