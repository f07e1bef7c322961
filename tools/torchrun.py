"""Run torchrun, and end it with one line in place of its tracebacks."""

import contextlib
import errno
import os
import secrets
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from typing import Any, NoReturn

import torch.distributed as dist
from torch.distributed import launcher
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import rendezvous_handler_registry
from torch.distributed.elastic.rendezvous.static_tcp_rendezvous import StaticTCPRendezvous
from torch.distributed.run import parse_args, parse_min_max_nnodes, run

# What a store raises; mmattn.compat has it, too, but to import mmattn takes seconds.
DIST_ERRORS = (dist.DistError,) if hasattr(dist, 'DistError') else (RuntimeError, TimeoutError)
# Seconds.
_JOIN_TIMEOUT = 600
_STOP_TIMEOUT = 5


class Rendezvous(StaticTCPRendezvous):
    """The nodes meet at the address of node 0, which for one node is the loopback address.

    torchrun's own way, c10d, listens on all addresses and unpickles what it finds there.
    """

    master_port: int
    _store: dist.Store | None

    def get_backend(self) -> str:
        """Name this way to meet, to whoever makes it and then to whoever starts the ranks."""
        # Before 2.4, PyTorch tells the ranks of a store that is there by this name alone.
        return 'mmattn' if self._store is None else super().get_backend()

    def open_store(self) -> None:
        """Find the other nodes, or tell where this one waits for them."""
        if self._store is None:
            self._store = self._open_store()

    def _open_store(self) -> dist.Store:
        listener = None
        if self.world_size == 1:
            self.master_addr = '127.0.0.1'
            server = socket.create_server((self.master_addr, self.master_port))
            self.master_port, listener = server.getsockname()[1], server.detach()
        return dist.TCPStore(
            self.master_addr,
            self.master_port,
            self.world_size,
            is_master=self.rank == 0,
            timeout=self.timeout,
            master_listen_fd=listener,
        )


class Agent(LocalElasticAgent):
    """torchrun's agent, which does not wait for ranks and nodes without end."""

    def _initialize_workers(self, *args: Any) -> None:
        spec = self._worker_group.spec
        rendezvous: Any = spec.rdzv_handler
        with limited(rendezvous.timeout.total_seconds() + 5, 1):
            rendezvous.open_store()
            # Before 2.4 PyTorch does not ask the rendezvous where the ranks meet.
            spec.master_addr, spec.master_port = rendezvous.master_addr, rendezvous.master_port
            super()._initialize_workers(*args)

    def _start_workers(self, *args: Any) -> Any:
        started = super()._start_workers(*args)
        assert self._pcontext is not None
        close = self._pcontext.close

        def close_soon(death_sig: signal.Signals | None = None, timeout: int = 30) -> None:
            # Without a signal it is because one has failed: those that can end by themselves do,
            # and one that was stopped cannot. With one they are left time to write a checkpoint.
            close(death_sig, timeout if death_sig else _STOP_TIMEOUT)

        self._pcontext.close = close_soon  # type: ignore[method-assign]
        return started

    def _exit_barrier(self) -> None:
        # The ranks of this node are done.
        with limited(self._exit_barrier_timeout + 5, 0):
            super()._exit_barrier()


@contextlib.contextmanager
def limited(seconds: float, status: int) -> Iterator[None]:
    """End this process when another node has not answered in time."""

    def end() -> None:
        print('error: another node was stopped or cut off', file=sys.stderr, flush=True)
        os._exit(status)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def main() -> None:
    """Run torchrun as the command line says."""
    args = parse_args(sys.argv[1:])
    _, nodes = parse_min_max_nnodes(args.nnodes)
    master_addr = args.master_addr
    # PyTorch 2.1 warns that it is of no use to it.
    del args.master_addr
    where = f'{master_addr}:{args.master_port}'
    if nodes == 1:
        args.rdzv_id = uuid.uuid4().hex
    args.rdzv_backend, args.rdzv_endpoint = 'mmattn', where
    timeout = int(args.rdzv_conf.removeprefix('timeout=') or _JOIN_TIMEOUT)
    rendezvous_handler_registry.register(
        'mmattn',
        lambda _: Rendezvous(
            master_addr, args.master_port, args.node_rank, nodes, args.rdzv_id, timeout
        ),
    )
    # There is no option for it.
    launcher.api.LocalElasticAgent = Agent  # type: ignore[misc]
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        # After nohup; torchrun would listen to it all the same, and so would the ranks.
        signal.signal = keep_hangup_ignored  # type: ignore[assignment]
    # After a restart, train.py goes on from a checkpoint of this start only.
    os.environ['MMATTN_START_ID'] = secrets.token_hex(8)
    try:
        run(args)
    except DIST_ERRORS as error:
        if 'EADDRINUSE' in str(error):
            tell_of_port(args.master_port)
        if args.node_rank == 0:
            fail(
                f'not all of {nodes} nodes came to {where}; start this on each of them with the '
                'same NNODES, MASTER_ADDR and PORT, or give more time: JOIN_TIMEOUT'
            )
        fail(
            f'node 0 does not answer at {where}; start it first, and look at MASTER_ADDR, PORT and '
            'firewalls'
        )
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        tell_of_port(args.master_port)
    except ChildFailedError as error:
        tell_of_rank(*error.get_first_failure())
    except SignalException as error:
        fail(f'ended by {error.sigval.name}', 128 + error.sigval)


def keep_hangup_ignored(number: int, handler: Any, /, listen: Any = signal.signal) -> Any:
    """Set what is done at a signal, unless that is SIGHUP."""
    return listen(number, signal.SIG_IGN if number == signal.SIGHUP else handler)


def tell_of_port(port: int) -> NoReturn:
    """Say that a port is taken, and exit."""
    other = port + 1 if port < 65535 else port - 1
    fail(f'port {port} of {socket.gethostname()} is taken; choose another one: PORT={other}')


def tell_of_rank(rank: int, failure: ProcessFailure) -> NoReturn:
    """Say how a rank was ended, and exit as it did."""
    if failure.exitcode < 0:
        fail(
            f'rank {rank} (process {failure.pid}) was ended by {failure.signal_name()}'
            + (' - out of memory?' if failure.exitcode == -signal.SIGKILL else '')
        )
    # A rank that ends by itself has said why.
    sys.exit(failure.exitcode)


def fail(message: str, status: int = 1) -> NoReturn:
    """Print an error and exit."""
    print(f'error: {message}', file=sys.stderr)
    sys.exit(status)


if __name__ == '__main__':
    main()
