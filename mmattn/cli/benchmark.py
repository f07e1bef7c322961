"""Measure ours beside its peers: time, memory traffic and what training keeps, in turn."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmattn.benchmark.cases import Conditions, Row
    from mmattn.benchmark.measure import Result
    from mmattn.benchmark.report import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        'what',
        nargs='*',
        metavar='WHAT',
        help='modules, backbones, models, training or data; or rows such as CBAM, models/upernet_*',
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu', help='default: cpu')
    parser.add_argument(
        '--dtype',
        nargs='+',
        choices=['float32', 'bfloat16', 'float16'],
        default=['float32'],
        help='of the autocast (default: float32, which is none); one after the other',
    )
    parser.add_argument(
        '--layout',
        nargs='+',
        choices=['nchw', 'nhwc'],
        default=['nchw'],
        help='memory format of maps and weights (default: nchw); one after the other',
    )
    parser.add_argument('--compile', action='store_true', help='compile all of them')
    parser.add_argument(
        '--shape', nargs=4, type=int, metavar=('N', 'C', 'H', 'W'), help='default: that of the row'
    )
    parser.add_argument(
        '--mode',
        choices=['eval', 'train'],
        default='eval',
        help='predictions (default), or forward and backward passes',
    )
    parser.add_argument(
        '--forms', nargs='+', default=[], metavar='FORM', help='measure ours in these forms, too'
    )
    parser.add_argument('--rounds', type=int, default=7, help='rounds, at least and by default 7')
    parser.add_argument('--count', action='store_true', help='count bytes, measure no time')
    parser.add_argument(
        '--bars',
        action='store_true',
        help='hold the rows (default: all) against their bars, each under conditions of its own',
    )
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='write benchmark.json and benchmark.md here'
    )
    parser.set_defaults(local_rank=0)


def main(args: argparse.Namespace) -> int:
    """Measure, print and write; the status is 1 if a row fails or a bar does not hold.

    Raises:
        InputError: If an option is none that can be.
    """
    from mmattn import __version__
    from mmattn.cli.options import check_device
    from mmattn.cli.quiet import quiet

    # What packages print while they are imported is no part of the tables.
    with quiet():
        from mmattn.benchmark.report import Report
        from mmattn.benchmark.rows import ROWS, find_rows
    check_device(args.device)
    _check(args)
    rows = find_rows(args.what) if args.what else ROWS
    if args.out:
        _make_folder(args.out)
        args.interrupted = f'interrupted; what was measured until then is in {args.out}'
    report = Report(_command(args), args.out, __version__)
    return _judge(args, rows, report) if args.bars else _measure(args, rows, report)


# What the bars say themselves.
_CONDITIONS = ('device', 'dtype', 'layout', 'compile', 'shape', 'mode', 'forms', 'count')


def _check(args: argparse.Namespace) -> None:
    """Check what goes together, and the numbers.

    Raises:
        InputError: If something does not.
    """
    from mmattn.benchmark.forms import FORMS
    from mmattn.benchmark.rows import GROUPS
    from mmattn.errors import InputError
    from mmattn.probe.timing import ROUNDS

    if args.bars:
        given = [name for name in _CONDITIONS if getattr(args, name) != _default(name)]
        if given:
            options = ', '.join(f'--{name}' for name in given)
            raise InputError(f'--bars has conditions of its own; leave out {options}')
    elif not args.what:
        raise InputError(f'expected what to measure: {", ".join(GROUPS)}, or names of rows')
    if args.rounds < ROUNDS:
        raise InputError(f'--rounds {args.rounds}: expected a whole number from {ROUNDS} on')
    if args.shape and min(args.shape) < 1:
        shape = ' '.join(map(str, args.shape))
        raise InputError(f'--shape {shape}: expected four whole numbers from 1 on, N C H W')
    for name in args.forms:
        if name not in FORMS:
            raise InputError(f'--forms {name}: expected one of {", ".join(FORMS)}')


def _default(name: str) -> object:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.get_default(name)


def _make_folder(folder: Path) -> None:
    """Make the folder for the results.

    Raises:
        InputError: If it cannot be made or written to.
    """
    import os

    from mmattn.errors import InputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'--out {folder} cannot be made ({error.strerror}); name another folder'
        ) from error
    if not os.access(folder, os.W_OK):
        raise InputError(f'--out {folder} cannot be written to; name another folder')


def _command(args: argparse.Namespace) -> str:
    """Write the command line again, so that anybody can repeat it."""
    import shlex

    words = ['mmattn', 'benchmark', *args.what]
    for name in (*_CONDITIONS, 'rounds', 'bars'):
        value = getattr(args, name)
        if value != _default(name):
            values = value if isinstance(value, list) else [] if value is True else [value]
            words += [f'--{name}', *map(str, values)]
    return shlex.join(words)


def _conditions(args: argparse.Namespace) -> 'Iterator[Conditions]':
    from mmattn.benchmark.cases import Conditions

    for dtype in args.dtype:
        for layout in args.layout:
            shape = tuple(args.shape) if args.shape else None
            yield Conditions(args.device, dtype, layout, args.compile, shape, args.mode)


def _measure(args: argparse.Namespace, rows: 'list[Row]', report: 'Report') -> int:
    """Measure rows under the conditions of the command line."""
    for conditions in _conditions(args):
        for row in rows:
            _look(args, report, row, conditions, args.forms, not args.count)
    return int(any(result.failed for result in report.results))


def _judge(args: argparse.Namespace, rows: 'list[Row]', report: 'Report') -> int:
    """Hold rows against their bars."""
    from mmattn.benchmark.bars import BARS, judge
    from mmattn.benchmark.report import line_of

    for verdict in judge(BARS, rows, partial(_look, args, report)):
        report.add_verdict(verdict)
    print(*map(line_of, report.verdicts), sep='\n')
    failed = any(result.failed for result in report.results)
    return int(failed or any(verdict.holds is False for verdict in report.verdicts))


def _look(
    args: argparse.Namespace,
    report: 'Report',
    row: 'Row',
    conditions: 'Conditions',
    forms: list[str],
    timed: bool,
) -> 'Result':
    """Measure a row, keep the result and print it."""
    from mmattn.benchmark.measure import measure
    from mmattn.benchmark.report import lines_of
    from mmattn.cli.quiet import quiet

    with quiet():
        result = measure(row, conditions, forms=forms, timed=timed, rounds=args.rounds)
    report.add(result)
    print(*lines_of(result), sep='\n', flush=True)
    return result
