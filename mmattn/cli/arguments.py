"""Arguments that several commands share."""

import argparse

from mmengine.config import DictAction


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that reads a config."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override values of the config',
    )


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that reads a config and a checkpoint."""
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read checkpoints that run code; only for files whose origin you trust',
    )
    add_cfg_options(parser)


def add_runner_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a command takes that runs a model: its folder, device and launcher."""
    parser.add_argument('--work-dir', help='folder for logs and results')
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='default: CUDA if there is one')
    add_config_arguments(parser)
    launchers = ['none', 'pytorch', 'slurm', 'mpi']
    parser.add_argument('--launcher', choices=launchers, default='none', help='job launcher')
    # torchrun spells it one way, older launchers the other.
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
