"""List where attention can be inserted into a model."""

import argparse
import sys

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--pattern',
        metavar='REGEX',
        default='.*',
        help='only modules whose whole name matches, as in after=REGEX of a site',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override values of the config',
    )
    return parser.parse_args()


def main() -> None:
    """Print the sites of the model of a config."""
    from mmengine.registry import MODELS, init_default_scope
    from rich.console import Console
    from rich.table import Table

    from mmattn.engine.config import load_config
    from mmattn.errors import InputError
    from mmattn.insertion.possible_sites import possible_sites

    cfg = load_config(args.config, args.cfg_options)
    if 'model' not in cfg:
        raise InputError(f'config {args.config} has no model; give one that trains')
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    table = Table('name', 'class', 'maps there', 'calls')
    for site in possible_sites(MODELS.build(cfg.model), args.pattern):
        shapes = '\n'.join(' x '.join(map(str, shape)) for shape in site.shapes)
        table.add_row(site.name or "'' (the model)", site.type, shapes, str(site.calls))
    # A file or a pipe takes lines of any length.
    Console(width=None if sys.stdout.isatty() else 160, markup=False).print(table)


if __name__ == '__main__':
    args = parse_args()
    from mmattn.engine.tool import run_tool

    run_tool(main)
