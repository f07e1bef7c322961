"""List the modules that a config can name as type."""

import argparse

from mmattn import KINDS, list_modules


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('--kind', choices=KINDS, help='only modules of this kind; default: all')


def main(args: argparse.Namespace) -> None:
    """Print the names, a line each."""
    print(*list_modules(args.kind), sep='\n')
