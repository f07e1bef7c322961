"""Limits of containers, of both kinds of control groups, and what is not known."""

import os
from collections import namedtuple

import pytest

from mmattn.doctor import machine
from mmattn.doctor.machine import (
    check_cores,
    check_disk,
    check_memory,
    check_shared_memory,
    cpu_quota,
    memory_limit,
)

GIB = 1 << 30
ONE = 'sys/fs/cgroup'


def lay(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ('files', 'cores', 'memory'),
    [
        ({}, None, None),
        (
            {
                'proc/self/cgroup': '0::/\n',
                f'{ONE}/cpu.max': '150000 100000\n',
                f'{ONE}/memory.max': f'{8 * GIB}\n',
            },
            1.5,
            8 * GIB,
        ),
        (
            {
                'proc/self/cgroup': '0::/a/b\n',
                f'{ONE}/a/b/cpu.max': 'max 100000\n',
                f'{ONE}/a/cpu.max': '400000 100000\n',
                f'{ONE}/a/b/memory.max': 'max\n',
                f'{ONE}/a/memory.max': f'{4 * GIB}\n',
            },
            4,
            4 * GIB,
        ),
        (
            {
                'proc/self/cgroup': '9:x:/\n4:memory:/docker/x\n1:cpu,cpuacct:/docker/x\n',
                f'{ONE}/cpu,cpuacct/cpu.cfs_quota_us': '200000\n',
                f'{ONE}/cpu,cpuacct/cpu.cfs_period_us': '100000\n',
                f'{ONE}/memory/docker/x/memory.limit_in_bytes': f'{2 * GIB}\n',
            },
            2,
            2 * GIB,
        ),
        (
            {
                'proc/self/cgroup': '4:memory:/\n1:cpu:/\n',
                f'{ONE}/cpu/cpu.cfs_quota_us': '-1\n',
                f'{ONE}/cpu/cpu.cfs_period_us': '100000\n',
                f'{ONE}/memory/memory.limit_in_bytes': '9223372036854771712\n',
            },
            None,
            None,
        ),
        (
            {
                'proc/self/cgroup': 'nonsense\n0::/\n',
                f'{ONE}/cpu.max': 'words\n',
                f'{ONE}/memory.max': '\n',
            },
            None,
            None,
        ),
    ],
    ids=['none', 'v2', 'v2 parents', 'v1', 'v1 without limits', 'nonsense'],
)
def test_limits_of_control_groups(tmp_path, files, cores, memory):
    lay(tmp_path, files)
    assert (cpu_quota(tmp_path), memory_limit(tmp_path)) == (cores, memory)


@pytest.mark.parametrize(
    ('threads', 'state'), [(None, 'warning'), ('8', 'warning'), ('x', 'warning'), ('1', 'fine')]
)
def test_fewer_cores_than_threads(tmp_path, monkeypatch, threads, state):
    lay(tmp_path, {'proc/self/cgroup': '0::/\n', f'{ONE}/cpu.max': '150000 100000\n'})
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: range(16))
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    if threads:
        monkeypatch.setenv('OMP_NUM_THREADS', threads)
    row = check_cores(None, tmp_path)
    assert (row.state, row.version) == (state, '1.5 of 16')
    assert row.remedy == ('export OMP_NUM_THREADS=1' if state == 'warning' else None)


def test_all_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: range(16))
    assert check_cores(None, tmp_path).version == '16'


def test_memory(tmp_path):
    assert check_memory(None, tmp_path).state == 'not known'
    lay(tmp_path, {'proc/meminfo': f'MemTotal: {64 * GIB // 1024} kB\n'})
    assert check_memory(None, tmp_path).version == '64.0 GiB'
    lay(tmp_path, {'proc/self/cgroup': '0::/\n', f'{ONE}/memory.max': f'{8 * GIB}\n'})
    row = check_memory(None, tmp_path)
    assert (row.version, row.where) == ('8.0 of 64.0 GiB', 'control group')


Usage = namedtuple('Usage', 'total used free')


@pytest.mark.parametrize(
    ('total', 'free', 'state'),
    [(64 << 20, 64 << 20, 'warning'), (8 * GIB, 1 << 20, 'warning'), (8 * GIB, 8 * GIB, 'fine')],
    ids=['small', 'full', 'large'],
)
def test_shared_memory(monkeypatch, total, free, state):
    monkeypatch.setattr(machine.shutil, 'disk_usage', lambda _: Usage(total, total - free, free))
    row = check_shared_memory(None)
    assert row.state == state
    assert state == 'fine' or 'shm' in row.remedy


def test_without_shared_memory(tmp_path):
    row = check_shared_memory(None, tmp_path / 'none')
    assert row.state == 'not known' and 'No such file or directory' in row.remark


def test_disk(tmp_path, monkeypatch):
    assert check_disk(None, tmp_path / 'none').state == 'not known'
    free, files = 100 * GIB, 10**6
    Files = namedtuple('Files', 'f_files f_favail')
    monkeypatch.setattr(machine.shutil, 'disk_usage', lambda _: Usage(free, 0, free))
    monkeypatch.setattr(machine.os, 'statvfs', lambda _: Files(10**6, files))
    assert check_disk(None, tmp_path).state == 'fine'
    files = 12
    row = check_disk(None, tmp_path)
    assert row.state == 'warning' and 'only 12 more files' in row.remark
    free = GIB
    row = check_disk(None, tmp_path)
    assert row.state == 'warning' and str(tmp_path) in row.remedy
