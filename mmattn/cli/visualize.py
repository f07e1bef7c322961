"""Draw what every attention and fusion module of a trained model did to images.

    mmattn visualize my_config.py work_dirs/my_config/iter_160000.pth photo.jpg folder/

There are pages of pictures for each image (PNG), one of the blend factors of the whole model, and
report.html, which has all of them in it. The exit status is 1 if an image could not be drawn.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmattn.cli.arguments import add_config, add_config_arguments

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    from mmattn.inspection.report import Entry
    from mmattn.prediction.inputs import Input
    from mmattn.prediction.model import Model

_DPI = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        'images',
        nargs='+',
        metavar='IMAGE',
        help='image, folder of them, or a pattern in quotes',
    )
    parser.add_argument(
        '--site',
        metavar='PATTERN',
        default='.*',
        help='only modules whose whole name matches this regular expression',
    )
    parser.add_argument(
        '--out', metavar='DIR', help='folder; default: work_dirs/NAME OF THE CONFIG/attention'
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='default: CUDA if there is one')
    add_config_arguments(parser)
    parser.set_defaults(local_rank=0, interrupted='interrupted; pictures drawn so far are whole')


def main(args: argparse.Namespace) -> int:
    """Draw the images, write the report, and give 1 if there were failures."""
    from mmattn.cli import options
    from mmattn.datasets.names import visible
    from mmattn.engine import terminal
    from mmattn.errors import InputError
    from mmattn.inspection.sites import attention_sites, blend_factors
    from mmattn.layers.packages import import_optional
    from mmattn.prediction.inputs import find_inputs
    from mmattn.prediction.model import load

    for package in ('matplotlib', 'jinja2'):
        import_optional(package, 'mmattn visualize')
    from mmattn.inspection.report import write_report

    terminal.use(verbose=False)
    options.check_device(args.device)
    options.check_checkpoint(args.checkpoint)
    inputs, missing = find_inputs(args.images)
    failures = [failure.reason for failure in missing]
    if not inputs:
        return _end(failures)
    model = load(
        args.config,
        args.checkpoint,
        device=args.device,
        cfg_options=args.cfg_options,
        trust_checkpoint=args.trust_checkpoint,
    )
    sites = attention_sites(model.module, args.site)
    out = Path(args.out or f'work_dirs/{Path(args.config).stem}/attention')
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'--out {out} cannot be made ({error.strerror}); give another folder'
        ) from error

    entries = []
    for each in _with_progress(inputs):
        try:
            entries.append(_draw(model, each, sites, out))
        except InputError as error:
            failures.append(str(error))
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().partition('\n')[0]
            failures.append(
                f'{visible(each.path)} does not go through the model ({reason}); give another image'
            )
    if entries:
        try:
            blend = _draw_blend(blend_factors(model.module), out)
            report = out / 'report.html'
            names = Path(args.config).name, Path(args.checkpoint).name
            write_report(report, *names, blend, entries, failures)
            print(f'{len(entries)} of {len(inputs)} images drawn: {report}')
        except InputError as error:
            failures.append(str(error))
    return _end(failures)


def _end(failures: Sequence[str]) -> int:
    """List what failed, and give the exit status."""
    for failure in failures:
        print(f'error: {failure}', file=sys.stderr)
    return 1 if failures else 0


def _with_progress(inputs: Sequence['Input']) -> Iterator['Input']:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        yield from progress.track(inputs, description='drawing')


def _draw(model: 'Model', image: 'Input', sites: Mapping[str, 'nn.Module'], out: Path) -> 'Entry':
    """Draw the pages of one image."""
    from mmattn.datasets.names import visible
    from mmattn.errors import InputError
    from mmattn.inspection.gates import look
    from mmattn.inspection.pictures import pages
    from mmattn.inspection.report import Entry, describe

    if image.is_video:
        raise InputError(f'{visible(image.path)} is a video; give images')
    seen = look(model, model.read(image.path), sites)
    if not seen:
        raise InputError(f'no module that --site matches has run for {visible(image.path)}')
    files = []
    for number, page in enumerate(pages(seen, image.path.name), 1):
        files.append(out / f'{image.name}_{number}.png')
        _save(page, files[-1])
    return Entry(str(image.path), files, describe(seen))


def _draw_blend(factors: dict[str, list[float]], out: Path) -> Path | None:
    from mmattn.inspection.pictures import draw_blend

    if not factors:
        return None
    path = out / 'blend_factors.png'
    _save(draw_blend(factors), path)
    return path


def _save(figure: 'Figure', path: Path) -> None:
    from mmattn.files.whole_file import write_whole

    write_whole(
        path, partial(figure.savefig, format='png', dpi=_DPI), remedy='call the command again'
    )
