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
    from mmattn.prediction.model import Model

_DPI = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('images', nargs='+', metavar='image', help='image, or folder of images')
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
    parser.set_defaults(local_rank=0)


def main(args: argparse.Namespace) -> int:
    """Draw the images, write the report, and give 1 if there were failures."""
    from mmattn.cli import options
    from mmattn.datasets.names import visible
    from mmattn.engine import terminal
    from mmattn.errors import InputError
    from mmattn.inspection.sites import attention_sites, blend_factors
    from mmattn.layers.packages import import_optional
    from mmattn.prediction.model import load

    for package in ('matplotlib', 'jinja2'):
        import_optional(package, 'mmattn visualize')
    from mmattn.inspection.report import write_report

    terminal.use(verbose=False)
    options.check_device(args.device)
    options.check_checkpoint(args.checkpoint)
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

    paths, failures = _find_images(args.images)
    entries = []
    for path, stem in _with_progress(paths, _stems(paths)):
        try:
            entries.append(_draw(model, path, sites, out, stem))
        except InputError as error:
            failures.append(str(error))
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().partition('\n')[0]
            failures.append(
                f'{visible(path)} does not go through the model ({reason}); give another image'
            )
    if entries:
        try:
            blend = _draw_blend(blend_factors(model.module), out)
            report = out / 'report.html'
            names = Path(args.config).name, Path(args.checkpoint).name
            write_report(report, *names, blend, entries, failures)
            print(f'{len(entries)} of {len(paths)} images drawn: {report}')
        except InputError as error:
            failures.append(str(error))
    for failure in failures:
        print(f'error: {failure}', file=sys.stderr)
    return 1 if failures else 0


def _find_images(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Give the images that the command line names, and what is wrong with it, a line each."""
    from PIL import Image

    from mmattn.datasets.names import visible

    suffixes = Image.registered_extensions()
    paths, failures = [], []
    for word in words:
        path = Path(word)
        inside = []
        if path.is_dir():
            inside = sorted(each for each in path.iterdir() if each.suffix.lower() in suffixes)
            if not inside:
                failures.append(f'folder {visible(path)} has no image in it; check the path')
        paths += inside if path.is_dir() else [path]
    return paths, failures


def _stems(paths: Sequence[Path]) -> Iterator[str]:
    """Give the names of the pictures of each image: no two the same, none too long for a file."""
    used = set()
    for path in paths:
        stem = ''.join(letter if letter.isprintable() else '_' for letter in path.stem)
        stem = stem.encode(errors='ignore')[:120].decode(errors='ignore')
        name, number = stem, 1
        while name in used:
            number += 1
            name = f'{stem}-{number}'
        used.add(name)
        yield name


def _with_progress(paths: Sequence[Path], stems: Iterator[str]) -> Iterator[tuple[Path, str]]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not sys.stderr.isatty()) as progress:
        pairs = list(zip(paths, stems, strict=True))
        yield from progress.track(pairs, description='drawing')


def _draw(
    model: 'Model', path: Path, sites: Mapping[str, 'nn.Module'], out: Path, stem: str
) -> 'Entry':
    """Draw the pages of one image."""
    from mmattn.datasets.names import visible
    from mmattn.errors import InputError
    from mmattn.inspection.gates import look
    from mmattn.inspection.pictures import pages
    from mmattn.inspection.report import Entry, describe

    seen = look(model, model.read(path), sites)
    if not seen:
        raise InputError(f'no module that --site matches has run for {visible(path)}')
    files = []
    for number, page in enumerate(pages(seen, path.name), 1):
        files.append(out / f'{stem}_{number}.png')
        _save(page, files[-1])
    return Entry(str(path), files, describe(seen))


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
