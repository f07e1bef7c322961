"""Read a data set and tell what is wrong: a copy of a benchmark, or data of your own.

    mmattn data check coco data/coco
    mmattn data check my_config.py

A config is looked at as a training reads it: all its data sets, with its classes, folders and
loaders. The exit status is 1 if there are faults, with which a training would end or learn
nonsense, and 0 if there are only warnings.
"""

import argparse
import sys

from mmattn.cli.arguments import add_cfg_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    from mmattn.datasets.audit.run import AUDITED

    parser.add_argument(
        'what', help=f'config file, or the benchmark whose layout it has: {", ".join(AUDITED)}'
    )
    parser.add_argument(
        'root', nargs='?', help='folder of the benchmark, with all or some of its splits'
    )
    parser.add_argument(
        '--workers', type=int, metavar='N', help='processes that read; default: one per CPU'
    )
    add_cfg_options(parser)


def main(args: argparse.Namespace) -> int:
    """Look at the data, print the report, and give 1 if there are faults."""
    from mmattn.datasets.audit.config import plan_config
    from mmattn.datasets.audit.run import AUDITED, carry_out, inspect_dataset
    from mmattn.engine.config import load_config
    from mmattn.errors import InputError

    try:
        if args.what in AUDITED:
            if args.root is None:
                raise InputError(f'{args.what}: expected the folder of a copy as well')
            report = inspect_dataset(args.what, args.root, workers=args.workers)
        elif args.root is not None:
            raise InputError(f'{args.what} is no benchmark; expected one of {", ".join(AUDITED)}')
        else:
            plan = plan_config(load_config(args.what, args.cfg_options))
            report = carry_out(plan, workers=args.workers)
    except KeyboardInterrupt:
        # The bar of the progress has no end of line yet.
        print(file=sys.stderr)
        raise
    print(report)
    return 1 if report.faults else 0
