"""Count what a model costs: computation, memory and time, with and without its attention."""

import argparse
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmattn.cli.arguments import add_cfg_options, add_config

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmattn.cli.complexity_tables import Model
    from mmattn.engine.cluster import Training
    from mmattn.probe.latency import Latency

# What batch norms train on, and as many as any GPU has room for.
BATCH_SIZE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
    parser.add_argument(
        '--shape',
        nargs='+',
        type=int,
        metavar='N',
        help='image as C H W, or as H W in pixels; default: that of the published count',
    )
    parser.add_argument(
        '--compare',
        metavar='CONFIG2',
        help='put this model beside it; default: the same model without attention, if it has some',
    )
    parser.add_argument(
        '--depth',
        type=int,
        default=2,
        help='names that a row for a part consists of, 2 for backbone.layer1; 0 for no parts',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        help=f'images of a training step; default: those of the config, else {BATCH_SIZE}',
    )
    parser.add_argument(
        '--latency',
        nargs='+',
        type=int,
        metavar='BATCH',
        help='measure how long a prediction of so many images takes; several numbers may be given',
    )
    parser.add_argument(
        '--device',
        choices=['cpu', 'cuda'],
        default='cpu',
        help='where to measure (default: cpu); cuda measures the peak of a training step, too',
    )
    parser.add_argument('--amp', action='store_true', help='measure in half precision')
    parser.add_argument(
        '--channels-last', action='store_true', help='measure with channels innermost in memory'
    )
    parser.add_argument('--warm-up', type=int, default=5, help='passes that are not measured')
    parser.add_argument('--repeats', type=int, default=20, help='passes that are measured')
    parser.add_argument(
        '--gpus', type=int, metavar='N', help='say what a training on so many GPUs needs'
    )
    parser.add_argument('--memory', type=float, metavar='GB', help='of a GPU, for the batch')
    parser.add_argument(
        '--bandwidth', type=float, metavar='GB/s', help='at which a GPU sends, for the time'
    )
    parser.add_argument(
        '--step-time', type=float, metavar='S', help='of one GPU in seconds, for the time'
    )
    parser.add_argument(
        '--format', default='table', help='table (default), markdown, csv or json', metavar='NAME'
    )
    parser.add_argument('--out', type=Path, metavar='FILE', help='write it here')
    add_cfg_options(parser)
    parser.set_defaults(local_rank=0)


def main(args: argparse.Namespace) -> None:
    """Print or write what the model of a config costs."""
    from mmattn.cli.complexity_tables import FORMATS, Report
    from mmattn.cli.options import check_device
    from mmattn.cli.quiet import quiet
    from mmattn.engine.config import load_config
    from mmattn.errors import InputError
    from mmattn.files.whole_file import write_whole
    from mmattn.insertion.without_attention import without_attention
    from mmattn.probe.config_check import check_model

    if args.format not in FORMATS:
        raise InputError(f'--format {args.format}: expected one of {", ".join(FORMATS)}')
    _check_numbers(args)
    check_device(args.device)
    if args.out:
        _check_out(args.out)
    cfg = load_config(args.config, args.cfg_options)
    check_model(cfg)
    if args.compare:
        other, name = load_config(args.compare), args.compare
    else:
        other, name = without_attention(cfg), 'without attention'
    shape = _shape(args.shape, cfg)
    loader = cfg.get('train_dataloader') or {}
    batch_size = args.batch_size or loader.get('batch_size') or BATCH_SIZE
    with quiet():
        models = [_measure(cfg, args.config, shape, batch_size, args)]
        if other is not None:
            models.append(_measure(other, name, shape, batch_size, args))
        training = _plan(cfg, shape, batch_size, args) if args.gpus else None
    report = Report(shape, batch_size, models, training, args.depth)
    if args.out:
        text = FORMATS[args.format](report)
        write_whole(args.out, lambda path: path.write_text(text, encoding='utf-8'))
    else:
        print(FORMATS[args.format](report))


def _check_numbers(args: argparse.Namespace) -> None:
    """Check the numbers of the command line.

    Raises:
        InputError: If one is none that can be.
    """
    from mmattn.errors import InputError

    least = dict(depth=0, batch_size=1, gpus=1, warm_up=0, repeats=1)
    for name, low in least.items():
        value = getattr(args, name)
        if value is not None and value < low:
            raise InputError(f'{_option(name)} {value}: expected a whole number from {low} on')
    for value in args.latency or ():
        if value < 1:
            raise InputError(f'--latency {value}: expected whole numbers from 1 on')
    for name in ('memory', 'bandwidth', 'step_time'):
        value = getattr(args, name)
        if value is not None and not args.gpus:
            raise InputError(f'{_option(name)} is of a training on several GPUs; give --gpus N')
        if value is not None and not (0 < value < math.inf):
            raise InputError(f'{_option(name)} {value}: expected a number above 0')
    if (args.amp or args.channels_last) and not args.latency:
        raise InputError('--amp and --channels-last are of what is measured; give --latency 1')


def _option(name: str) -> str:
    return f'--{name.replace("_", "-")}'


def _check_out(path: Path) -> None:
    """Check that a file can be written, before anything is counted.

    Raises:
        InputError: If it cannot.
    """
    from mmattn.errors import InputError

    if path.is_dir():
        raise InputError(f'--out {path} is a folder; name a file in it')
    if not path.parent.is_dir():
        raise InputError(f'--out {path}: {path.parent} is no folder; make it, or name another')
    if not os.access(path.parent, os.W_OK):
        raise InputError(f'--out {path}: {path.parent} cannot be written to; name another folder')


def _shape(given: list[int] | None, cfg: 'Config') -> tuple[int, int, int]:
    """Give the shape (C, H, W) of an image.

    Raises:
        InputError: If it is none, or none is given and none is usual.
    """
    from mmattn.errors import InputError
    from mmattn.probe.count import counted_size

    sizes = given or counted_size(cfg)
    if sizes is None or len(sizes) not in (2, 3) or min(sizes) < 1:
        got = f'got {" ".join(map(str, given))}; ' if given else ''
        raise InputError(
            f'{got}give the height and width of the image in pixels: --shape 224 224, or its '
            'channels before them: --shape 3 224 224'
        )
    channels, height, width = (3, *sizes) if len(sizes) == 2 else sizes
    return channels, height, width


def _measure(
    cfg: 'Config',
    name: str,
    shape: tuple[int, int, int],
    batch_size: int,
    args: argparse.Namespace,
) -> 'Model':
    """Count a model, and measure of it what was asked for."""
    from mmattn.cli.complexity_tables import Model, Timing
    from mmattn.errors import InputError
    from mmattn.probe.build import build
    from mmattn.probe.complexity import count_complexity

    counts = count_complexity(build(cfg), shape, batch_size)
    timings, peak = [], None
    try:
        for size, latency in _latencies(cfg, shape, args) if args.latency else ():
            timings.append(Timing(size, args.device, args.amp, args.channels_last, latency))
        if args.device == 'cuda' and 'training' not in counts.uncounted:
            peak = _measured_peak(cfg, shape, batch_size)
    except (MemoryError, RuntimeError) as error:
        reason = f'{type(error).__name__}: {error}'.splitlines()[0]
        raise InputError(
            f'{name} cannot be measured on {args.device} ({reason}); try a smaller batch or --shape'
        ) from error
    return Model(name, counts, timings, peak)


def _latencies(
    cfg: 'Config', shape: tuple[int, int, int], args: argparse.Namespace
) -> Iterator[tuple[int, 'Latency']]:
    from mmattn.errors import InputError
    from mmattn.probe.build import build
    from mmattn.probe.latency import measure_latency
    from mmattn.probe.passes import needs_values

    model = build(cfg, meta=False).to(args.device)
    if needs_values(model):
        raise InputError('--latency: what a Mask2Former computes depends on a real image')
    for size in args.latency:
        yield (
            size,
            measure_latency(
                model,
                (size, *shape),
                amp=args.amp,
                channels_last=args.channels_last,
                warm_up=args.warm_up,
                repeats=args.repeats,
            ),
        )


def _measured_peak(cfg: 'Config', shape: tuple[int, int, int], batch_size: int) -> int:
    from mmattn.probe.build import build
    from mmattn.probe.memory import measure_training_memory

    return measure_training_memory(build(cfg, meta=False).cuda(), (batch_size, *shape))


def _plan(
    cfg: 'Config', shape: tuple[int, int, int], batch_size: int, args: argparse.Namespace
) -> 'Training':
    """Say what a training on several GPUs needs."""
    from mmattn.engine.cluster import plan_training
    from mmattn.probe.build import build

    return plan_training(
        build(cfg),
        cfg,
        args.config,
        shape,
        batch_size,
        args.gpus,
        memory=args.memory and args.memory * 1e9,
        bandwidth=args.bandwidth and args.bandwidth * 1e9,
        step_time=args.step_time,
    )
