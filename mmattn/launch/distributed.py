"""Bring the processes of a distributed run together, on GPUs or on the CPU."""

import datetime
import errno
import ipaddress
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import TimeoutError

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dist import get_backend, get_world_size
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODEL_WRAPPERS
from torch import nn
from torch.nn.modules.batchnorm import SyncBatchNorm
from torch.nn.parallel import DistributedDataParallel

from mmattn.compat import DIST_ERRORS, are_stored, default_timeout, gpu_uuid
from mmattn.errors import InputError
from mmattn.launch import agreement, failure
from mmattn.launch.group import Group, group, join
from mmattn.launch.heartbeat import Heartbeat
from mmattn.launch.store import connect

# Where each launcher says which process this is: rank, number of ranks, rank on this host.
_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}
_HOW_TO_START = {
    'pytorch': 'tools/dist_train.sh or torchrun',
    'slurm': 'tools/slurm_train.sh or srun',
    'mpi': 'mpirun',
}
# Seconds. Ranks that read their code from a slow disk start a minute apart.
_JOIN_TIMEOUT = 120
# Seconds by which a limit of PyTorch and one of this file are apart, where one has to come first.
_MARGIN = 10


def prepare(cfg: Config) -> None:
    """Form the process group of ``cfg.launcher`` unless that is ``'none'``.

    It is nccl on GPUs and gloo on the CPU. ``cfg.env_cfg.dist_cfg`` may have ``backend`` for GPUs,
    ``timeout`` of a collective and ``join_timeout`` for the ranks to appear, both in seconds, and
    ``port``.

    Args:
        cfg: Config of the run, to be the same on all ranks.

    Raises:
        InputError: If ranks are missing or do not fit together.
    """
    if cfg.launcher == 'none':
        _warn_of_a_forgotten_launcher()
        return
    if group() is not None:
        return
    dist_cfg = dict(cfg.get('env_cfg', {}).get('dist_cfg', {}))
    rank, world_size, local_rank = _read_ranks(cfg.launcher)
    device = _take_device(local_rank)
    backend = dist_cfg.get('backend', 'nccl') if torch.cuda.is_available() else 'gloo'
    to_join = _seconds(dist_cfg, 'join_timeout', _JOIN_TIMEOUT)
    patience = _seconds(dist_cfg, 'timeout', default_timeout(backend).total_seconds())
    host, port = _find_rank_0(cfg.launcher, dist_cfg.get('port'))
    if is_loopback(host):
        _talk_on_loopback()

    server = _open_store(host, port, rank)
    store, heard = (_connect(host, port, to_join) for _ in range(2))
    heartbeat = Heartbeat(heard, rank, world_size, to_join, failure.tell_of_loss)
    ours = Group(rank, world_size, store, server, heartbeat)
    # Known from here on, so that one rank tells of an error that all have.
    join(ours)
    facts = dict(host=socket.gethostname(), local_rank=local_rank, **device)
    store.set(f'rank/{rank}', json.dumps({**facts, 'runs': agreement.facts(cfg)}))
    heartbeat.start()
    store.add('joined', 1)
    _wait_for_all(store, world_size, to_join)
    notes = store.multi_get([f'rank/{i}' for i in range(world_size)])
    ours.ranks = [json.loads(note) for note in notes]
    check_devices(ours.ranks)
    agreement.check(cfg, rank, [note['runs'] for note in ours.ranks], store)
    heartbeat.patience = patience
    # nccl ends the process without naming a rank: the heartbeat is to come first.
    limit = patience + (_MARGIN if 'nccl' in backend else 0)
    dist.init_process_group(
        backend,
        store=dist.PrefixStore('torch', store),
        rank=rank,
        world_size=world_size,
        timeout=datetime.timedelta(seconds=limit),
    )


def leave() -> None:
    """Take the process group down."""
    ours = group()
    if ours is not None:
        ours.heartbeat.leave()
    if dist.is_initialized():
        dist.destroy_process_group()


def describe() -> str:
    """List rank, host and device, one rank a line."""
    rows = [('rank', 'host', 'local rank', 'device')]
    ours = group()
    assert ours is not None
    ranks = ours.ranks
    for i, rank in enumerate(ranks):
        rows.append((str(i), rank['host'], str(rank['local_rank']), rank['device']))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return '\n'.join([f'{len(ranks)} ranks over {get_backend()}', *lines])


def check_devices(ranks: list[dict]) -> None:
    """Check that no two ranks have the same GPU.

    Args:
        ranks: ``host``, ``device`` and ``gpu`` of each rank; the last one is None on the CPU.

    Raises:
        InputError: If there are more ranks on a host than GPUs.
    """
    users: dict[tuple, list[int]] = {}
    for i, rank in enumerate(ranks):
        users.setdefault((rank['host'], rank['gpu'] or i), []).append(i)
    for (host, _), sharing in users.items():
        if len(sharing) > 1:
            here = sum(rank['host'] == host for rank in ranks)
            gpus = sum(where == host for where, _ in users)
            raise InputError(
                f'{here} ranks on {host}, but {gpus} GPU(s): {agreement.name_ranks(sharing)} would '
                f'share {ranks[sharing[0]]["device"]}; start as many ranks as there are GPUs'
            )


def data_parallel_options(wrapper_cfg: dict | None, cfg: Config) -> dict | None:
    """Say how mmengine has to wrap a model here.

    Args:
        wrapper_cfg: ``model_wrapper_cfg`` of the config.
        cfg: Config of the run.

    Returns:
        ``wrapper_cfg``, on the CPU without the device ids that mmengine gives.
    """
    if torch.cuda.is_available():
        return wrapper_cfg
    if wrapper_cfg is None:
        # What mmengine takes where there is no such config.
        unused = cfg.get('find_unused_parameters', False)
        wrapper_cfg = dict(broadcast_buffers=False, find_unused_parameters=unused)
    kind = wrapper_cfg.get('type', 'MMDistributedDataParallel')
    kind = MODEL_WRAPPERS.get(kind) if isinstance(kind, str) else kind
    if not issubclass(kind, DistributedDataParallel):
        return wrapper_cfg
    return {**wrapper_cfg, 'device_ids': None}


def revert_sync_bn(model: nn.Module, cfg: Config, logger: MMLogger) -> nn.Module:
    """Make BN of SyncBN where that cannot run: on the CPU, and with nobody to be in step with."""
    if torch.cuda.is_available() and get_world_size() > 1:
        return model
    wanted = cfg.pop('sync_bn', None)
    if wanted or any(_is_sync_bn(module) for module in model.modules()):
        reason = 'one process' if torch.cuda.is_available() else 'the CPU'
        logger.info(f'SyncBN does not run on {reason}: it is BN here, with statistics per process')
        return revert_sync_batchnorm(model)
    return model


def _is_sync_bn(module: nn.Module) -> bool:
    # mmcv's own is a class of its compiled ops.
    return isinstance(module, SyncBatchNorm) or type(module).__name__ == 'SyncBatchNorm'


def _warn_of_a_forgotten_launcher() -> None:
    for launcher, (rank, count, _) in _VARIABLES.items():
        tasks = os.environ.get(count, '1')
        if tasks not in ('0', '1') and os.environ.get(rank, '0') == '0':
            print(
                f'warning: {count} is {tasks}, but without --launcher {launcher} each process '
                'runs by itself; add it, or start one process',
                file=sys.stderr,
            )
            return


def _read_ranks(launcher: str) -> tuple[int, int, int]:
    names = _VARIABLES[launcher]
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise InputError(
            f'--launcher {launcher}, but {", ".join(missing)} is not set; start with '
            f'{_HOW_TO_START[launcher]}'
        )
    world_size = _whole_number(names[1], 1)
    rank, local_rank = (_whole_number(name, 0, world_size - 1) for name in (names[0], names[2]))
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world_size), LOCAL_RANK=str(local_rank))
    return rank, world_size, local_rank


def _whole_number(name: str, low: int, high: int | None = None) -> int:
    """Read a number of the environment."""
    text = os.environ[name]
    number = int(text) if re.fullmatch('[0-9]{1,18}', text) else None
    if number is None or number < low or (high is not None and number > high):
        limits = f'from {low} on' if high is None else f'from {low} to {high}'
        raise InputError(f'{name} has to be a whole number {limits}, got {text!r}')
    return number


def _take_device(local_rank: int) -> dict:
    if not torch.cuda.is_available():
        return dict(device='cpu', gpu=None)
    # `--gpus-per-task` shows each task only its own GPU, as number 0.
    index = min(local_rank, torch.cuda.device_count() - 1)
    torch.cuda.set_device(index)
    os.environ['LOCAL_RANK'] = str(index)  # where mmengine looks for the device
    name = torch.cuda.get_device_name(index)
    return dict(device=f'cuda:{index} {name}', gpu=gpu_uuid(index))


def _seconds(dist_cfg: dict, name: str, default: float) -> float:
    value = dist_cfg.get(name, default)
    if value is not default and not (isinstance(value, int | float) and 0 < value < 1e9):
        raise InputError(f'env_cfg.dist_cfg.{name} has to be a number of seconds, got {value!r}')
    return value


def _find_rank_0(launcher: str, port: int | None) -> tuple[str, int]:
    """Give the address and the port at which rank 0 listens."""
    if port is not None:
        os.environ['MASTER_PORT'] = str(port)
    if launcher == 'slurm':
        # Two jobs on a host get two ports.
        job = _whole_number('SLURM_JOB_ID', 0) if 'SLURM_JOB_ID' in os.environ else 0
        os.environ.setdefault('MASTER_PORT', str(20000 + job % 20000))
        if not os.environ.get('MASTER_ADDR'):
            os.environ['MASTER_ADDR'] = _first_host_of_the_job()
    missing = [name for name in ('MASTER_ADDR', 'MASTER_PORT') if not os.environ.get(name)]
    if missing:
        raise InputError(
            f'{" and ".join(missing)} is not set: where is rank 0? start with '
            f'{_HOW_TO_START[launcher]}, or export it'
        )
    return os.environ['MASTER_ADDR'], _whole_number('MASTER_PORT', 1, 65535)


def is_loopback(host: str) -> bool:
    """Tell whether an address leads to this host only, as that of a run on one node does."""
    try:
        return host == 'localhost' or ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Another name. That of this host may lead to 127.0.1.1, and yet be meant for others.
        return False


def _talk_on_loopback() -> None:
    """Keep what the ranks say to each other off the network."""
    names = [name for _, name in socket.if_nameindex()]
    loopback = next((name for name in ('lo', 'lo0') if name in names), None)
    if loopback is not None:
        os.environ.setdefault('GLOO_SOCKET_IFNAME', loopback)
        os.environ.setdefault('NCCL_SOCKET_IFNAME', loopback)


def _first_host_of_the_job() -> str:
    if os.environ.get('SLURM_NNODES', '1') == '1':
        return '127.0.0.1'
    hosts = os.environ.get('SLURM_STEP_NODELIST', os.environ.get('SLURM_JOB_NODELIST', ''))
    if shutil.which('scontrol'):
        done = subprocess.run(
            ['scontrol', 'show', 'hostnames', hosts], capture_output=True, text=True
        )
        if done.returncode == 0 and done.stdout.split():
            return done.stdout.split()[0]
    raise InputError(
        f'the first host of {hosts} is not known here, where scontrol does not run; '
        'export MASTER_ADDR before srun'
    )


def _open_store(host: str, port: int, rank: int) -> dist.Store | None:
    """Let rank 0 hold the store, unless torchrun does, which outlives the ranks."""
    if rank > 0 or os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True':
        return None
    listener = None
    try:
        if is_loopback(host):
            # By itself the store listens on all addresses.
            listener = socket.create_server((host, port), family=_family(host)).detach()
        return dist.TCPStore(
            host, port, is_master=True, wait_for_workers=False, master_listen_fd=listener
        )
    except (*DIST_ERRORS, OSError) as error:
        if 'EADDRINUSE' in str(error) or getattr(error, 'errno', None) == errno.EADDRINUSE:
            raise InputError(
                f'port {port} of {socket.gethostname()} is taken; export another MASTER_PORT'
            ) from error
        raise InputError(
            f'rank 0 cannot listen at {host}:{port} ({error}); look at MASTER_ADDR and MASTER_PORT'
        ) from error


def _family(host: str) -> int:
    return socket.AF_INET6 if ':' in host else socket.AF_INET


def _connect(host: str, port: int, timeout: float) -> dist.Store:
    try:
        return connect(host, port, timeout)
    except (*DIST_ERRORS, TimeoutError) as error:
        raise InputError(
            f'rank 0 does not answer at {host}:{port} within {timeout:g} s; it was not started, '
            'has ended or hangs, or MASTER_ADDR and MASTER_PORT are not those of its host'
        ) from error


def _wait_for_all(store: dist.Store, world_size: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while (joined := store.add('joined', 0)) < world_size:
        if time.monotonic() > deadline:
            missing = [i for i in range(world_size) if not are_stored(store, [f'rank/{i}'])]
            raise InputError(
                f'{joined} of {world_size} ranks joined within {timeout:g} s, '
                f'{agreement.name_ranks(missing)} did not; look at the output there, or give more '
                'time: env_cfg.dist_cfg.join_timeout=SECONDS'
            )
        time.sleep(0.05)
