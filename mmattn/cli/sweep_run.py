"""Train and test many variants of a config, with several seeds each, and record the results."""

import argparse
import ast
import shlex
from pathlib import Path
from typing import Any

from mmattn.cli.arguments import add_cfg_options

_INTERRUPTED = (
    'interrupted; finished runs are recorded, the others go on when this is started again'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        'plan',
        nargs='?',
        help='plan file (.py, .yaml, .json); or a base config, with --modules and --after; without '
        'one, the sweep in --out goes on',
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the sweep')
    grid = parser.add_argument_group('instead of a plan file, around a base config')
    grid.add_argument('--modules', metavar='A,B', help='attention modules, by their names')
    grid.add_argument(
        '--after',
        action='append',
        metavar='PATTERN',
        help='where they are inserted: regular expression for names of modules; several are '
        'several positions to compare',
    )
    grid.add_argument('--starts', metavar='A,B', help='identity, paper, or both')
    grid.add_argument('--seeds', metavar='0,1,2', help='seeds of each variant')
    length = grid.add_mutually_exclusive_group()
    length.add_argument('--max-iters', type=int, metavar='N', help='length of each training')
    length.add_argument('--max-epochs', type=int, metavar='N', help='the same, in epochs')
    grid.add_argument('--metric', metavar='NAME', help='metric that counts, such as mIoU')
    grid.add_argument(
        '--shape',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help='image in pixels for which costs are counted',
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm'],
        default='none',
        help='run here one after another, each in one process or by torchrun; or as a job array',
    )
    parser.add_argument('--gpus', type=int, metavar='N', help='GPUs (or processes) of each run')
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='default: CUDA if there is one')
    parser.add_argument('--data-root', metavar='DIR', help='folder of the data, as of mmattn train')
    parser.add_argument(
        '--timeout', type=float, metavar='MINUTES', help='a run that takes longer has failed'
    )
    parser.add_argument(
        '--one', action='store_true', help='do one run and end, as a task of a job array does'
    )
    parser.add_argument(
        '--sbatch',
        metavar='OPTIONS',
        default='',
        help="with --launcher slurm: options of sbatch, such as '-p gpu --time 8:00:00'",
    )
    parser.add_argument(
        '--dry-run', action='store_true', help='list the runs, or print the job, and start none'
    )
    parser.set_defaults(interrupted=_INTERRUPTED, local_rank=0)


def main(args: argparse.Namespace) -> int:
    """Do the runs that are left, and measure what the variants cost."""
    from mmattn import __version__
    from mmattn.cli import options
    from mmattn.sweep.config_files import Base
    from mmattn.sweep.search import search
    from mmattn.sweep.sweep import Sweep
    from mmattn.sweep.training import Interrupted, Launch

    options.check_device(args.device)
    _check_numbers(args)
    plan = read(args)
    if args.dry_run and args.launcher != 'slurm':
        for run in plan.runs():
            print(run.name)
        return 0
    base = Base(plan.base, plan.metric)
    _check_plan(plan, base, args)
    sweep = Sweep(Path(args.out), plan, base)
    launch = Launch(
        launcher=args.launcher,
        gpus=args.gpus or 1,
        device=args.device,
        timeout=args.timeout and args.timeout * 60,
        version=__version__,
        options=['--data-root', args.data_root] if args.data_root else [],
    )
    if not args.one:
        sweep.database.retry()
    if args.launcher == 'slurm':
        submit(sweep, args)
        return 0
    try:
        sweep.work(launch, one=args.one)
        if plan.space:
            search(sweep, launch)
    except Interrupted:
        print('stopped; the run has saved itself, and goes on when this is started again')
        return 0
    sweep.measure(args.device, print)
    if not args.one:
        print(f'results: mmattn sweep table {args.out}')
    failed = [record for record in sweep.database.runs() if record.state == 'failed']
    for record in failed:
        print(f'failed: {record.name}: {record.error}')
    return 1 if failed else 0


def _check_plan(plan: Any, base: Any, args: argparse.Namespace) -> None:
    from mmattn.errors import InputError

    if (args.max_iters if base.by_epoch else args.max_epochs) is not None:
        counted = 'epochs: --max-epochs' if base.by_epoch else 'iterations: --max-iters'
        raise InputError(f'config {plan.base} counts its training in {counted}')
    if plan.space and (args.one or args.launcher == 'slurm'):
        raise InputError('a search runs its trials one after another: --launcher none or pytorch')


def submit(sweep: Any, args: argparse.Namespace) -> None:
    """Submit the runs that are left as a job array."""
    from mmattn.sweep import slurm

    words = ['--launcher', 'pytorch', '--gpus', str(args.gpus)] if (args.gpus or 1) > 1 else []
    for name in ('device', 'data_root', 'timeout'):
        if (value := getattr(args, name)) is not None:
            words += [f'--{name.replace("_", "-")}', str(value)]
    count = sum(record.state != 'done' for record in sweep.database.runs())
    if not count:
        print(f'no run is left; results: mmattn sweep table {args.out}')
        return
    gpus = 0 if args.device == 'cpu' else args.gpus or 1
    script = slurm.write_script(sweep.folder, count, gpus, words)
    command = slurm.command(script, args.sbatch)
    if args.dry_run:
        print(script.read_text())
        print(shlex.join(command))
    else:
        print(slurm.submit(command))


def _check_numbers(args: argparse.Namespace) -> None:
    from mmattn.errors import InputError

    if args.timeout is not None and args.timeout <= 0:
        raise InputError(f'--timeout is in minutes, above 0, got {args.timeout:g}')
    if args.gpus is not None and args.gpus < 1:
        raise InputError(f'--gpus is at least 1, got {args.gpus}')
    if args.launcher == 'none' and (args.gpus or 1) > 1:
        raise InputError(f'--gpus {args.gpus} needs --launcher pytorch or slurm')


def read(args: argparse.Namespace) -> Any:
    """Read the plan file, or make a plan of the command line."""
    from mmattn.errors import InputError
    from mmattn.sweep.plan import make_plan, read_plan

    short = dict(
        modules=args.modules,
        after=args.after,
        starts=args.starts,
        seeds=args.seeds,
        max_iters=args.max_iters,
        max_epochs=args.max_epochs,
        metric=args.metric,
        shape=args.shape,
        cfg_options=args.cfg_options,
    )
    given = [name for name, value in short.items() if value is not None]
    if args.plan is None:
        if given:
            raise InputError(f'--{given[0].replace("_", "-")} is for a base config; name it')
        return read_again(args.out)
    if args.modules is None and args.after is None:
        if given:
            raise InputError(
                f'--{given[0].replace("_", "-")} is for a base config with --modules and --after; '
                'a plan file has it inside'
            )
        return read_plan(args.plan)
    after = args.after or []
    content = dict(
        base=args.plan if '::' in args.plan else str(Path(args.plan).resolve()),
        modules=_words(args.modules),
        positions={pattern: pattern for pattern in after},
        starts=_words(args.starts or 'identity'),
        seeds=_numbers(args.seeds or '0'),
        lengths=[n for n in (args.max_iters, args.max_epochs) if n is not None],
        metric=args.metric,
        shape=args.shape,
        options=dict(args.cfg_options or {}),
    )
    return make_plan(content, 'the command line')


def read_again(folder: str) -> Any:
    """Read the plan of a sweep that was begun."""
    from mmattn.sweep.database import Database
    from mmattn.sweep.plan import make_plan

    with Database(Path(folder)) as database:
        return make_plan(ast.literal_eval(database.fact('plan')), f'the plan in {folder}')


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or '').split(',') if word.strip()]


def _numbers(text: str) -> list[int]:
    from mmattn.errors import InputError

    words = _words(text)
    if not all(word.isdecimal() for word in words):
        raise InputError(f'--seeds expected whole numbers such as 0,1,2, got {text!r}')
    return [int(word) for word in words]
