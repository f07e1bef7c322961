"""List where attention can be inserted into a model."""

import argparse
import sys

from mmattn.cli.arguments import add_cfg_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--pattern',
        metavar='REGEX',
        default='.*',
        help='only modules whose whole name matches, as in after=REGEX of a site',
    )
    add_cfg_options(parser)


def main(args: argparse.Namespace) -> None:
    """Print the sites of the model of a config."""
    from mmengine.registry import MODELS, init_default_scope
    from rich.console import Console
    from rich.table import Table

    from mmattn.engine.config import load_config
    from mmattn.engine.config_check import check_model
    from mmattn.insertion.possible_sites import possible_sites

    cfg = load_config(args.config, args.cfg_options)
    check_model(cfg)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    table = Table('name', 'class', 'maps there', 'calls')
    for site in possible_sites(MODELS.build(cfg.model), args.pattern):
        shapes = '\n'.join(' x '.join(map(str, shape)) for shape in site.shapes)
        table.add_row(site.name or "'' (the model)", site.type, shapes, str(site.calls))
    # A file or a pipe takes lines of any length.
    Console(width=None if sys.stdout.isatty() else 160, markup=False).print(table)
