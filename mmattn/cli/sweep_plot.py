"""Draw what a sweep has given: accuracy against cost, and learning curves."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('folder', help='folder of the sweep, its --out')
    parser.add_argument('--out', metavar='DIR', help='folder of the pictures; default: plots there')
    parser.add_argument(
        '--curve',
        action='append',
        metavar='NAME',
        help='scalar to draw over the training; default: the loss and the metric; may be repeated',
    )
    parser.add_argument('--format', choices=['png', 'svg', 'pdf'], default='png')


def main(args: argparse.Namespace) -> int:
    """Draw the pictures; those that cannot be drawn are listed at the end."""
    from functools import partial
    from pathlib import Path

    from mmattn.errors import InputError
    from mmattn.files.whole_file import write_whole
    from mmattn.sweep.database import Database
    from mmattn.sweep.plots import pictures
    from mmattn.sweep.results import read_results

    out = Path(args.out or Path(args.folder, 'plots'))
    failed = []
    with Database(Path(args.folder)) as database:
        results = read_results(database)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f'{out} cannot be written ({error.strerror}); give another --out'
            ) from error
        curves = args.curve or ['loss', results.metric]
        for name, draw in pictures(database, results, curves).items():
            path = out / f'{name}.{args.format}'
            figure = draw()
            if figure is None:
                failed.append(f'{path.name}: no run that is done has these values')
                continue
            try:
                write_whole(path, partial(figure.savefig, format=args.format, dpi=150))
            except InputError as error:
                failed.append(str(error))
            else:
                print(path)
    for line in failed:
        print(f'failed: {line}')
    return 1 if failed else 0
