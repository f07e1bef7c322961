"""Run torchrun, and end it with one line in place of its tracebacks."""

import os
import secrets
import signal
import socket
import sys

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import RendezvousConnectionError, RendezvousTimeoutError
from torch.distributed.run import parse_args, run


def main() -> None:
    """Run torchrun as the command line says."""
    args = parse_args(sys.argv[1:])
    if not args.standalone and args.local_addr is None:
        args.local_addr = own_address(args.rdzv_endpoint)
    # After a restart, train.py goes on from a checkpoint of this start only.
    os.environ['MMATTN_START_ID'] = secrets.token_hex(8)
    try:
        run(args)
    except RendezvousTimeoutError:
        fail(
            f'not all of {args.nnodes} nodes came to {args.rdzv_endpoint}; start this on each of '
            'them with the same NNODES, MASTER_ADDR and PORT, or give more time: JOIN_TIMEOUT'
        )
    except RendezvousConnectionError:
        fail(
            f'node 0 does not answer at {args.rdzv_endpoint}; start it first, and look at '
            'MASTER_ADDR, PORT and firewalls'
        )
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            fail(
                f'rank {rank} (process {failure.pid}) was ended by {failure.signal_name()}'
                + (' - out of memory?' if failure.exitcode == -signal.SIGKILL else '')
            )
        # A rank that ends by itself has said why.
        sys.exit(failure.exitcode)
    except SignalException as error:
        fail(f'ended by {error.sigval.name}', 128 + error.sigval)


def own_address(endpoint: str) -> str:
    """Give the address of this host on the way to node 0; its name may lead to 127.0.0.1 only."""
    host, port = endpoint.rsplit(':', 1)
    try:
        [(family, kind, _, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        with socket.socket(family, kind) as sender:
            sender.connect(address)  # sends nothing
            return sender.getsockname()[0]
    except OSError as error:
        fail(f'there is no way to MASTER_ADDR {host}: {error.strerror}')


def fail(message: str, status: int = 1) -> None:
    """Print an error and exit."""
    print(f'error: {message}', file=sys.stderr)
    sys.exit(status)


if __name__ == '__main__':
    main()
