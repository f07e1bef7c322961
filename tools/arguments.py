"""Arguments that the tools share."""

import argparse
import os

# Before PyTorch is imported. Threads that wait by spinning make a run on the CPU many times slower
# when its cores are shared.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from mmengine.config import DictAction  # noqa: E402


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every tool takes that reads a config and a checkpoint."""
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read checkpoints that run code; only for files whose origin you trust',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override values of the config',
    )


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments about the device, the launcher and the config."""
    parser.add_argument('--work-dir', help='folder for logs and results')
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='default: CUDA if there is one')
    add_config_arguments(parser)
    launchers = ['none', 'pytorch', 'slurm', 'mpi']
    parser.add_argument('--launcher', choices=launchers, default='none', help='job launcher')
    # torchrun spells it one way, older launchers the other.
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line and set the environment that it asks for.

    To be called before mmattn is imported, because mmengine then looks for a GPU.
    """
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
    return args
