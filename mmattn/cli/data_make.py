"""Draw a small data set on which a config can be tried."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    from mmattn.datasets.benchmarks import BENCHMARKS

    parser.add_argument('kind', choices=BENCHMARKS, help='benchmark whose layout is written')
    parser.add_argument('--out', required=True, metavar='DIR', help='new or empty folder')
    parser.add_argument('--train', type=int, default=64, metavar='N', help='images to train on')
    parser.add_argument('--val', type=int, default=16, metavar='N', help='images to validate on')
    parser.add_argument('--seed', type=int, default=0, metavar='N', help='same seed, same images')
    parser.set_defaults(interrupted='interrupted; nothing was written')


def main(args: argparse.Namespace) -> None:
    """Write the data set and say where it is."""
    from mmattn.datasets.benchmarks import BENCHMARKS

    benchmark = BENCHMARKS[args.kind]
    benchmark.make(args.out, train=args.train, val=args.val, seed=args.seed)
    print(
        f'wrote {args.train} training and {args.val} validation images to {args.out}; '
        f'give this folder to {benchmark.use}'
    )
