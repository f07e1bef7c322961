"""List the modules that a config can name as type."""

import argparse
import importlib

from mmattn import KINDS, list_modules
from mmattn.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('--kind', choices=KINDS, help='only modules of this kind; default: all')
    parser.add_argument(
        '--import',
        nargs='+',
        default=[],
        dest='packages',
        metavar='PACKAGE',
        help='packages to import first, as in custom_imports; what they register is listed, too',
    )


def main(args: argparse.Namespace) -> None:
    """Print the names, a line each.

    Raises:
        InputError: If a package cannot be imported.
    """
    for package in args.packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise InputError(
                f'expected a package that can be imported, got {package} ({error}); install it, or '
                'put its folder on PYTHONPATH'
            ) from error
    print(*list_modules(args.kind), sep='\n')
