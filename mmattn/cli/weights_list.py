"""List public weights, or say all that is known of one of them."""

import argparse
import sys

from mmattn.weights.catalogue import CATALOGUE, SCHEME, Entry, entry_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('name', nargs='?', help='weights to tell of; default: a line for each')


def main(args: argparse.Namespace) -> None:
    """Print a table of the catalogue, or an entry of it."""
    if args.name:
        _tell(args.name, entry_of(args.name))
    else:
        _list()


def _list() -> None:
    from rich.console import Console
    from rich.table import Table

    from mmattn.weights.pretrained import find

    table = Table('mmattn://', 'reported', 'licence', 'here')
    for name, entry in CATALOGUE.items():
        reported = f'{entry.reported.value:g} {entry.reported.metric}' if entry.reported else ''
        table.add_row(name, reported, entry.licence, 'yes' if find(name) else '')
    # A file or a pipe takes lines of any length.
    Console(width=None if sys.stdout.isatty() else 160, markup=False).print(table)


def _tell(name: str, entry: Entry) -> None:
    from mmattn.weights.pretrained import find, url_of_source

    name = name.removeprefix(SCHEME)
    print(f'{SCHEME}{name}')
    for source in entry.sources:
        print(f'\n  {url_of_source(source)}')
        print(f'    file     {source.file}')
        print(
            f'    SHA-256  {f"begins with {source.check_sum}" if source.check_sum else "unknown"}'
        )
        print(f'    layout   {source.layout or "that of the model"}')
    print(f'\n  size      {f"about {entry.megabytes} MB" if entry.megabytes else "unknown"}')
    print(f'  licence   {entry.licence} (of the code it was published with)')
    if entry.reported:
        print(
            f'  reported  {entry.reported.metric} {entry.reported.value:g}, {entry.reported.where}'
        )
    if entry.config:
        print(f'  to test   {entry.config}: mmattn weights verify {name} --data-root DIR')
    if not entry.opened:
        print('  tested    not opened by this project: it loads if it is what its authors say')
    print(f'  here      {find(name) or f"no; mmattn weights get {name} downloads it"}')
