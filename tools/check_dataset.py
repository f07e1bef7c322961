"""Read every file of a copy of a data set and tell what is wrong with it."""

import argparse
import os
import sys

# Before PyTorch is imported: processes that decode images need no threads of it.
os.environ.setdefault('OMP_NUM_THREADS', '1')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = ['ade20k', 'cityscapes', 'coco', 'voc']
    parser.add_argument('kind', choices=kinds, help='benchmark whose layout it has')
    parser.add_argument('root', help='folder of the data set, with all or some of its splits')
    parser.add_argument(
        '--workers', type=int, metavar='N', help='processes that read; default: one per CPU'
    )
    return parser.parse_args()


def main() -> int:
    """Inspect the data set and print the report."""
    args = parse_args()

    # Loading the package takes seconds, which --help and a mistyped option need not wait for.
    from mmattn.datasets.audit.run import inspect_dataset
    from mmattn.errors import InputError

    try:
        report = inspect_dataset(args.kind, args.root, workers=args.workers)
    except InputError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(report)
    return 1 if report.faults else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print('\ninterrupted', file=sys.stderr)
        sys.exit(130)
