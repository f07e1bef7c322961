"""Ranks that are killed, stopped and cut off at any moment: all end, and the run goes on."""

import ctypes
import multiprocessing
import os
import random
import re
import runpy
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.launch import points
from tests.launch.test_dist_scripts import (
    ROOT,
    TRAIN,
    errors,
    finish,
    free_port,
    start,
    two_hosts,
)

ITERATIONS, TIMEOUT = 120, 4
CONFIG = (
    points.CONFIG.replace('end=4', f'end={ITERATIONS}')
    + f"""
train_cfg.update(max_iters={ITERATIONS}, val_interval=1000)
default_hooks['checkpoint']['interval'] = 20
env_cfg['dist_cfg'].update(timeout={TIMEOUT}, join_timeout=30)
"""
)
ROUNDS = int(os.environ.get('KILL_ROUNDS', 3))
CLONE_NEWNET = 0x40000000


def be_rank(rank, env, host, arguments, log):
    """Train as a rank that nothing watches, on a host of two if it is named."""
    os.setsid()
    if host is not None:
        with open(f'/run/netns/{host}') as namespace:
            assert ctypes.CDLL(None).setns(namespace.fileno(), CLONE_NEWNET) == 0
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ.update(env, RANK=str(rank), WORLD_SIZE='2', LOCAL_RANK=str(rank))
    tools = ROOT / 'tools'
    sys.path.insert(0, str(tools))
    sys.argv = ['train.py', *map(str, arguments), '--launcher', 'pytorch']
    runpy.run_path(str(tools / 'train.py'), run_name='__main__')


@pytest.fixture(scope='module')
def server():
    """Processes that have imported everything already."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['mmattn.engine', 'tests.launch.test_kill_rounds'])
    return context


class Run:
    """Two ranks of a training."""

    def __init__(self, server, folder, *arguments, hosts=(None, None), **env):
        env = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port()), **env)
        if hosts[0]:
            env.update(MASTER_ADDR='10.77.0.1', GLOO_SOCKET_IFNAME='eth0')
        self.logs = [folder / f'rank{rank}.log' for rank in range(2)]
        arguments = [folder.parent / 'toy.py', '--work-dir', folder, *arguments]
        folder.mkdir(exist_ok=True)
        self.ranks = [
            server.Process(target=be_rank, args=(i, env, host, arguments, log))
            for i, (host, log) in enumerate(zip(hosts, self.logs, strict=True))
        ]
        for rank in self.ranks:
            rank.start()

    def wait_for_iteration(self, number):
        deadline = time.monotonic() + 120
        while f'Iter(train) [{number:3d}/{ITERATIONS}]' not in self.output(0):
            assert time.monotonic() < deadline and self.ranks[0].is_alive(), self.output(0)
            time.sleep(0.002)

    def finish(self, seconds=60, ranks=(0, 1)):
        """Wait for ranks and give their statuses and how long it took."""
        start = time.monotonic()
        for rank in ranks:
            self.ranks[rank].join(max(0, start + seconds - time.monotonic()))
        took = time.monotonic() - start
        statuses = [self.ranks[rank].exitcode for rank in ranks]
        for rank in self.ranks:
            if rank.is_alive():
                os.kill(rank.pid, signal.SIGKILL)
            rank.join()
        assert None not in statuses, f'{statuses} after {took:.1f} s: ' + self.output()[-3000:]
        return statuses, took

    def output(self, *ranks):
        return '\n'.join(
            self.logs[rank].read_text() for rank in ranks or range(2) if self.logs[rank].exists()
        )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('rounds')
    (folder / 'toy.py').write_text(CONFIG)
    return folder


@pytest.fixture(scope='module')
def whole(server, folder):
    """Give the weights and the optimizer state of a training that nothing has stopped."""
    run = Run(server, folder / 'whole')
    assert run.finish()[0] == [0, 0], run.output()[-3000:]
    return load(folder / 'whole')


def load(folder):
    state = torch.load(folder / f'iter_{ITERATIONS}.pth', weights_only=False)
    return {name: state[name] for name in ('state_dict', 'optimizer')}


def assert_goes_on(server, folder, whole, *arguments):
    run = Run(server, folder, '--resume', *arguments)
    assert run.finish()[0] == [0, 0], run.output()[-3000:]
    torch.testing.assert_close(load(folder), whole, rtol=0, atol=0)


def wait_for_checkpoint(work_dir):
    """Wait for the first checkpoint of a training."""
    deadline = time.monotonic() + 120
    while not (work_dir / 'last_checkpoint').exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def moment():
    """Give an iteration, and a pause after it that ends anywhere in the next ones."""
    return random.SystemRandom().randrange(2, ITERATIONS - 30), random.SystemRandom().random() / 20


def report(record_property, took):
    record_property('seconds', took)
    print(f'ended after {took:.1f} s')


@pytest.mark.slow
@pytest.mark.parametrize(
    ('number', 'ranks'),
    [
        *[(signal.SIGTERM, ranks) for ranks in ([0], [1], [0, 1])],
        (signal.SIGHUP, [1]),
    ],
    ids=['TERM-rank 0', 'TERM-rank 1', 'TERM-both', 'HUP-rank 1'],
)
@pytest.mark.parametrize('count', range(ROUNDS))
def test_signal(server, folder, whole, record_property, count, ranks, number):
    work_dir = folder / f'{number.name}{ranks}{count}'
    run = Run(server, work_dir)
    iteration, pause = moment()
    run.wait_for_iteration(iteration)
    time.sleep(pause)
    for rank in ranks:
        os.kill(run.ranks[rank].pid, number)
    statuses, took = run.finish(TIMEOUT + 15)
    report(record_property, took)
    assert statuses == [0, 0], run.output()[-3000:]
    assert len(re.findall(f'stopped by {number.name} at iteration', run.output())) == 1
    assert_goes_on(server, work_dir, whole)


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGSTOP, signal.SIGKILL], ids=['STOP', 'KILL'])
@pytest.mark.parametrize('rank', [0, 1])
@pytest.mark.parametrize('count', range(ROUNDS))
def test_loss(server, folder, whole, record_property, count, rank, number):
    work_dir = folder / f'{number.name}{rank}{count}'
    run = Run(server, work_dir)
    iteration, pause = moment()
    wait_for_checkpoint(work_dir)
    run.wait_for_iteration(iteration)
    time.sleep(pause)
    os.kill(run.ranks[rank].pid, number)
    statuses, took = run.finish(TIMEOUT + 15, [1 - rank])
    report(record_property, took)
    assert statuses == [1]
    [error] = errors(run.output())
    assert error.startswith(f'error: rank {1 - rank}: rank {rank} of 2'), error
    assert 'Traceback' not in run.output()
    assert_goes_on(server, work_dir, whole)


@pytest.fixture(scope='module')
def hosts():
    with two_hosts() as hosts:
        yield hosts


@pytest.mark.slow
@pytest.mark.parametrize('count', range(ROUNDS))
def test_host_that_is_cut_off(server, folder, whole, hosts, record_property, count):
    """Each side misses the other one."""
    work_dir = folder / f'cut{count}'
    run = Run(server, work_dir, hosts=hosts)
    iteration, pause = moment()
    wait_for_checkpoint(work_dir)
    run.wait_for_iteration(iteration)
    time.sleep(pause)
    link = f'ip -n {hosts[1]} link set eth0'
    try:
        assert os.system(f'{link} down') == 0
        statuses, took = run.finish(TIMEOUT + 15)
    finally:
        assert os.system(f'{link} up') == 0
    report(record_property, took)
    assert statuses == [1, 1]
    for rank in range(2):
        [error] = errors(run.output(rank))
        assert error.startswith(f'error: rank {rank}: rank {1 - rank} of 2'), error
    assert 'Traceback' not in run.output()
    assert_goes_on(server, work_dir, whole)


def rank_of(process, rank):
    """Give the number of the process that is a rank, below torchrun."""
    [children] = Path(f'/proc/{process}/task/{process}').glob('children')
    for child in children.read_text().split():
        if f'RANK={rank}' in Path(f'/proc/{child}/environ').read_text().split('\0'):
            return int(child)


@pytest.mark.slow
@pytest.mark.parametrize('rank', [0, 1])
def test_torchrun_ends_with_a_stopped_rank(folder, tmp_path, record_property, rank):
    options = ['--work-dir', tmp_path, '--cfg-options', 'train_cfg.max_iters=100000']
    torchrun = start(TRAIN, folder / 'toy.py', 2, *options)
    wait_for_checkpoint(tmp_path)
    os.kill(rank_of(torchrun.pid, rank), signal.SIGSTOP)
    begin = time.monotonic()
    status, _, err = finish(torchrun)
    took = time.monotonic() - begin
    report(record_property, took)
    assert status == 1
    [error] = errors(err)
    assert error.startswith(f'error: rank {1 - rank}: rank {rank} of 2'), error
    assert took < TIMEOUT + 15


@pytest.mark.slow
def test_torchrun_ends_on_hosts_that_are_cut_off(folder, tmp_path, hosts, record_property):
    options = ['--work-dir', tmp_path, '--cfg-options', 'train_cfg.max_iters=100000']
    env = dict(NNODES=2, MASTER_ADDR='10.77.0.1', PORT=free_port(), GLOO_SOCKET_IFNAME='eth0')
    command = [TRAIN, folder / 'toy.py', 1, *options]
    nodes = [
        start('ip', 'netns', 'exec', host, *command, NODE_RANK=i, **env)
        for i, host in enumerate(hosts)
    ]
    wait_for_checkpoint(tmp_path)
    link = f'ip -n {hosts[1]} link set eth0'
    try:
        assert os.system(f'{link} down') == 0
        begin = time.monotonic()
        results = [finish(node) for node in nodes]
        took = time.monotonic() - begin
    finally:
        assert os.system(f'{link} up') == 0
    report(record_property, took)
    for rank, (status, _, err) in enumerate(results):
        assert status == 1
        [error] = errors(err)
        assert error.startswith(f'error: rank {rank}: rank {1 - rank} of 2'), error
    assert took < TIMEOUT + 15


@pytest.mark.slow
@pytest.mark.parametrize('rank', [0, 1])
def test_stopped_at_the_start(server, folder, rank):
    """Before the ranks have joined."""
    run = Run(server, folder / f'start{rank}', '--cfg-options', 'env_cfg.dist_cfg.join_timeout=8')
    os.kill(run.ranks[rank].pid, signal.SIGSTOP)
    statuses, _ = run.finish(60, [1 - rank])
    assert statuses == [1]
    [error] = errors(run.output())
    assert error.startswith(f'error: rank {1 - rank}: '), error
    assert f'rank {rank} did' in error or f'rank {rank} does not answer' in error
