"""Tell what is installed, from where, and what is wrong with it, each fault with its remedy.

Nothing that may be broken is imported into this process. The exit status is 1 if something that is
installed cannot be used, else 0: what is absent or deserves a warning is listed, too.
"""

import argparse
import sys
from typing import NoReturn

from mmattn.doctor.report import as_json, as_table, examine, is_broken


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('--json', action='store_true', help='print the same for programs')
    parser.add_argument(
        '--time-limit',
        type=_seconds,
        default=60,
        metavar='SECONDS',
        help='how long the import of one package may take; default: 60',
    )


def main(args: argparse.Namespace) -> int:
    """Print the report, and give 1 if something is broken."""
    rows = examine(args.time_limit)
    print(as_json(rows) if args.json else as_table(rows))
    return 1 if is_broken(rows) else 0


def start(words: list[str]) -> NoReturn:
    """Run the command in a process that cannot import what the shell of the others needs.

    Raises:
        SystemExit: With its exit status.
    """
    parser = argparse.ArgumentParser(
        prog='mmattn doctor',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    args = parser.parse_args(words)
    try:
        sys.exit(main(args))
    except KeyboardInterrupt:
        print('error: interrupted', file=sys.stderr)
        sys.exit(130)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f'expected seconds, above 0, got {text!r}')
    return seconds
