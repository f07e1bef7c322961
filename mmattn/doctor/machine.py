"""What the machine, or the container, lets a training have."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mmattn.doctor.environment import Environment
from mmattn.doctor.row import Row

_GIB = 1 << 30


def check_cores(env: Environment, root: Path = Path('/')) -> Row:
    """Look whether more threads would start than there are cores to run them."""
    cores, quota = len(os.sched_getaffinity(0)), cpu_quota(root)
    if quota is None or quota >= cores:
        return Row('cores', 'fine', f'{cores}')
    row = Row('cores', 'fine', f'{quota:g} of {cores}', 'control group')
    threads = os.environ.get('OMP_NUM_THREADS', '')
    if threads.isdecimal() and int(threads) <= max(1, quota):
        return row
    return row.warning(
        f'torch starts {cores} threads, which share {quota:g} cores and wait for each other',
        f'export OMP_NUM_THREADS={max(1, int(quota))}',
    )


def check_memory(env: Environment, root: Path = Path('/')) -> Row:
    """Look how much memory there is."""
    total, limit = _total_memory(root), memory_limit(root)
    if total is None and limit is None:
        return Row('memory', 'not known')
    usable = min(size for size in (total, limit) if size is not None)
    is_limited = total is None or usable < total
    of = f' of {total / _GIB:.1f}' if is_limited and total else ''
    return Row(
        'memory', 'fine', f'{usable / _GIB:.1f}{of} GiB', 'control group' if is_limited else None
    )


def cpu_quota(root: Path = Path('/')) -> float | None:
    """Give the cores that the control groups of this process let it have; None if all."""
    quotas = []
    for folder in _groups(root, 'cpu'):
        # "max" and -1 are no limit.
        words = _read(folder / 'cpu.max').split()
        words += [_read(folder / f'cpu.cfs_{name}_us').strip() for name in ('quota', 'period')]
        quota, period = map(_number, words[:2])
        if quota and quota > 0 and period:
            quotas.append(quota / period)
    return min(quotas, default=None)


def memory_limit(root: Path = Path('/')) -> int | None:
    """Give the bytes that the control groups of this process let it have; None if all."""
    texts = [
        _read(folder / name)
        for folder in _groups(root, 'memory')
        for name in ('memory.max', 'memory.limit_in_bytes')
    ]
    limits = [number for text in texts if (number := _number(text.strip())) is not None]
    # The older kind writes a number near 2 ** 63 for no limit.
    return min((limit for limit in limits if 0 < limit < 1 << 60), default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Give the folders of the control groups that hold this process, of both kinds."""
    mount = root / 'sys/fs/cgroup'
    for line in _read(root / 'proc/self/cgroup').splitlines():
        number, controllers, path = [*line.split(':', 2), '', ''][:3]
        if number == '0' and not controllers:
            tops = [mount, mount / 'unified']
        elif controller in controllers.split(','):
            tops = [mount / controller, mount / controllers]
        else:
            continue
        # A container may see its own group as the top, whatever it is called outside.
        inner = Path(path.lstrip('/'))
        for top in tops:
            yield from (top / each for each in (inner, *inner.parents))


def _total_memory(root: Path) -> int | None:
    for line in _read(root / 'proc/meminfo').splitlines():
        if line.startswith('MemTotal:') and (number := _number(line.split()[1])) is not None:
            return number * 1024
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ''


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def check_shared_memory(env: Environment, path: Path = Path('/dev/shm')) -> Row:
    """Look whether the workers of a loader can hand batches over."""
    row = Row('/dev/shm', 'fine')
    try:
        usage = shutil.disk_usage(path)
    except OSError as error:
        return row.not_known(f'{path} cannot be looked at: {error.strerror}')
    row = Row('/dev/shm', 'fine', f'{usage.free / _GIB:.2f} of {usage.total / _GIB:.2f} GiB free')
    if usage.free >= _GIB:
        return row
    is_container = Path('/.dockerenv').exists() or Path('/run/.containerenv').exists()
    return row.warning(
        'workers of a DataLoader hand batches over through it, and die of a bus error when it is '
        'full',
        'docker run --shm-size=8g ...'
        if is_container
        else 'sudo mount -o remount,size=8G /dev/shm',
    )


def check_disk(env: Environment, path: Path = Path()) -> Row:
    """Look whether checkpoints have room in the current folder."""
    path = path.absolute()
    try:
        usage, files = shutil.disk_usage(path), os.statvfs(path)
    except OSError as error:
        return Row('disk', 'not known', where=str(path), remark=error.strerror)
    row = Row('disk', 'fine', f'{usage.free / _GIB:.0f} GiB free', str(path))
    if usage.free < 5 * _GIB:
        return row.warning('checkpoints and data need room', f'du -xsh {path}/* | sort -h')
    # Some file systems count none.
    if files.f_files and files.f_favail < 10_000:
        return row.warning(f'it can hold only {files.f_favail} more files', f'df -i {path}')
    return row
