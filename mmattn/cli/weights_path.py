"""Print where public weights are on the disk, without a network."""

import argparse

from mmattn.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('name', help='weights that `list` names')


def main(args: argparse.Namespace) -> None:
    """Print the file.

    Raises:
        InputError: If it is not there.
    """
    from mmattn.weights.pretrained import find

    path = find(args.name)
    if path is None:
        raise InputError(
            f'{args.name} is not on this disk; mmattn weights get {args.name} downloads it'
        )
    print(path)
