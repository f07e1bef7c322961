"""Predict what is on images and videos: drawn, as masks, and as JSON.

    mmattn predict CONFIG CHECKPOINT photo.jpg folder 'more/*.png' film.mp4 --out results
    mmattn predict model.onnx photo.jpg --out results

A file that mmattn deploy wrote stands in the place of config and checkpoint.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mmattn.cli.arguments import add_config_arguments

if TYPE_CHECKING:
    from mmattn.prediction.model import Predictor

_THRESHOLD = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        'config',
        help='config file, mmattn::PATH for one that comes with the package, or a file that mmattn '
        'deploy wrote',
    )
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file, if the first is a config')
    parser.add_argument(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help='image, video, folder of them, or a pattern in quotes',
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the results')
    parser.add_argument(
        '--batch-size',
        type=_positive,
        default=1,
        metavar='N',
        help='images or frames at once, of one size each; default: 1',
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='default: CUDA if there is one')
    parser.add_argument(
        '--score-threshold',
        type=_score,
        metavar='SCORE',
        help=f'least score of a detection that is drawn and listed; default: {_THRESHOLD}',
    )
    parser.add_argument(
        '--classes', nargs='+', metavar='NAME', help='keep these classes only, by their names'
    )
    add_config_arguments(parser)
    parser.set_defaults(local_rank=0, interrupted='interrupted; results written so far are whole')


def main(args: argparse.Namespace) -> int:
    """Predict as the command line says, and give 1 if something failed."""
    # Before OpenCV looks at a video: a user knows nothing of what FFmpeg says of a damaged one.
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')

    from mmattn.cli import options
    from mmattn.engine import terminal
    from mmattn.prediction.inputs import find_inputs
    from mmattn.prediction.result import check_scores, labels_of
    from mmattn.prediction.run import Run
    from mmattn.prediction.writing import Folder

    terminal.use(verbose=False)
    options.check_device(args.device)
    _sort_out(args)
    folder = Folder(args.out)
    inputs, missing = find_inputs(args.inputs)
    if not inputs:
        return _end(missing)
    model = _load(args)
    threshold = args.score_threshold
    if threshold is not None:
        check_scores(model.task)
    elif model.task in ('detection', 'instance'):
        threshold = _THRESHOLD
    if args.classes:
        labels_of(args.classes, model.classes)
    run = Run(
        model,
        folder,
        batch_size=args.batch_size,
        classes=args.classes,
        score_threshold=threshold,
    )
    try:
        run.predict(inputs)
    finally:
        # After Ctrl-C, too, for what is done.
        print(run.summarize(args.config, args.checkpoint, missing))
    return _end(run.failures)


def _sort_out(args: argparse.Namespace) -> None:
    """Tell the checkpoint from the inputs, and check it.

    Raises:
        InputError: If it is none, or nothing is left to predict.
    """
    from mmattn.cli import options
    from mmattn.deploy.exported import ENDINGS
    from mmattn.errors import InputError

    words = [word for word in (args.checkpoint, *args.inputs) if word is not None]
    args.is_exported = Path(args.config).suffix in ENDINGS
    args.checkpoint = None if args.is_exported else words.pop(0)
    args.inputs = words
    if not words:
        raise InputError('no INPUT is given; expected CONFIG CHECKPOINT INPUT... or FILE INPUT...')
    if not args.is_exported:
        options.check_checkpoint(args.checkpoint)
        return
    if args.cfg_options:
        raise InputError(
            f'--cfg-options change a config, and {args.config} has none; give them to mmattn deploy'
        )
    if args.device == 'cuda':
        raise InputError(f'{args.config} runs on the CPU; leave --device cuda out')


def _load(args: argparse.Namespace) -> 'Predictor':
    from mmattn.deploy.exported import load_exported
    from mmattn.prediction.model import load

    if args.is_exported:
        return load_exported(args.config, trusted=args.trust_checkpoint)
    return load(
        args.config,
        args.checkpoint,
        device=args.device,
        cfg_options=args.cfg_options,
        trust_checkpoint=args.trust_checkpoint,
    )


def _end(failures: list) -> int:
    """List what failed, and give the exit status."""
    from mmattn.errors import InputError

    if len(failures) == 1:
        raise InputError(failures[0].reason)
    for failure in failures:
        print(f'error: {failure.reason}', file=sys.stderr)
    return 1 if failures else 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'expected 1 or more, got {text}')
    return number


def _score(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f'expected a score from 0 to 1, got {text}')
    return number
