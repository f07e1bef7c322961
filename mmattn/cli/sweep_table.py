"""Compare the variants of a sweep in a table: accuracy over seeds, what it shows, and costs."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('folder', help='folder of the sweep, its --out')
    parser.add_argument('--format', choices=['markdown', 'csv'], default='markdown')
    parser.add_argument('--out', metavar='FILE', help='write it into this file, not to the screen')


def main(args: argparse.Namespace) -> None:
    """Print or write the table."""
    from pathlib import Path

    from mmattn.files.whole_file import write_whole
    from mmattn.sweep.database import Database
    from mmattn.sweep.results import read_results
    from mmattn.sweep.table import comma_separated, markdown

    with Database(Path(args.folder)) as database:
        results = read_results(database)
    text = markdown(results) if args.format == 'markdown' else comma_separated(results)
    if args.out is None:
        print(text, end='')
    else:
        write_whole(Path(args.out), lambda path: path.write_text(text, encoding='utf-8'))
        print(f'table: {args.out}')
