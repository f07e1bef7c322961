"""Read every file of a copy of a data set and tell what is wrong with it."""

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    from mmattn.datasets.audit.run import AUDITED

    parser.add_argument('kind', choices=AUDITED, help='benchmark whose layout it has')
    parser.add_argument('root', help='folder of the data set, with all or some of its splits')
    parser.add_argument(
        '--workers', type=int, metavar='N', help='processes that read; default: one per CPU'
    )


def main(args: argparse.Namespace) -> int:
    """Inspect the data set, print the report, and give 1 if there are faults."""
    from mmattn.datasets.audit.run import inspect_dataset

    try:
        report = inspect_dataset(args.kind, args.root, workers=args.workers)
    except KeyboardInterrupt:
        # The bar of the progress has no end of line yet.
        print(file=sys.stderr)
        raise
    print(report)
    return 1 if report.faults else 0
