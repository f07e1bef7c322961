"""Download public weights, unless they are on the disk, and print where they are."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('names', nargs='+', metavar='name', help='weights that `list` names')


def main(args: argparse.Namespace) -> None:
    """Download, and print the files, a line each."""
    from mmattn.weights.catalogue import entry_of
    from mmattn.weights.pretrained import get

    for name in args.names:
        entry_of(name)
    for name in args.names:
        print(get(name))
