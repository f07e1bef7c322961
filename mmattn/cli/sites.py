"""List where attention can be inserted into a model."""

import argparse
import sys

from mmattn.cli.arguments import add_cfg_options, add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
    parser.add_argument(
        '--pattern',
        metavar='REGEX',
        default='.*',
        help='only modules whose whole name matches, as in after=REGEX of a site',
    )
    add_cfg_options(parser)


def main(args: argparse.Namespace) -> None:
    """Print the sites of the model of a config."""
    from rich.console import Console
    from rich.table import Table

    from mmattn.engine.config import load_config
    from mmattn.insertion.possible_sites import possible_sites
    from mmattn.probe.build import build

    model = build(load_config(args.config, args.cfg_options), meta=False)
    table = Table('name', 'class', 'maps there', 'calls')
    for site in possible_sites(model, args.pattern):
        shapes = '\n'.join(' x '.join(map(str, shape)) for shape in site.shapes)
        table.add_row(site.name or "'' (the model)", site.type, shapes, str(site.calls))
    # A file or a pipe takes lines of any length.
    Console(width=None if sys.stdout.isatty() else 160, markup=False).print(table)
