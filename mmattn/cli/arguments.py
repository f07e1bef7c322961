"""Arguments that several commands share."""

import argparse
from typing import Any

from mmengine.config import DictAction


class _CfgOptions(DictAction):
    """mmengine's action, with an error of argparse for what it cannot read."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        for value in values:
            if not value.partition('=')[0] or '=' not in value:
                raise argparse.ArgumentError(self, f'expected KEY=VALUE, got {value!r}')
            try:
                super().__call__(parser, namespace, [value], option_string)
            except (AssertionError, ValueError) as error:
                raise argparse.ArgumentError(self, f'{value!r} cannot be read: {error}') from error


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the config."""
    parser.add_argument(
        'config', help='config file, or mmattn::PATH for one that comes with the package'
    )


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that reads a config."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_CfgOptions,
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
    parser.add_argument(
        '--data-root',
        metavar='DIR',
        help="folder of the data, in the place of the config's data_root wherever that stands",
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='default: CUDA if there is one')
    add_config_arguments(parser)
    parser.add_argument(
        '--verbose', action='store_true', help='print all that goes into the log, from the start on'
    )
    launchers = ['none', 'pytorch', 'slurm', 'mpi']
    parser.add_argument('--launcher', choices=launchers, default='none', help='job launcher')
    # torchrun spells it one way, older launchers the other.
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
