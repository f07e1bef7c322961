"""Draw what attention and fusion modules did to images.

    mmattn visualize my_config.py work_dirs/my_config/iter_160000.pth photo.jpg folder/

There are pages of pictures for each image (PNG), one of the blend factors of the whole model, and
report.html, which has all of them in it. The exit status is 1 if an image could not be drawn.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mmattn.cli.drawing import (
    add_image_arguments,
    draw_each,
    list_failures,
    make_folder,
    save_figure,
)

if TYPE_CHECKING:
    from torch import nn

    from mmattn.inspection.report import Entry
    from mmattn.prediction.inputs import Input
    from mmattn.prediction.model import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_image_arguments(parser, 'attention')
    parser.add_argument(
        '--site',
        metavar='PATTERN',
        default='.*',
        help='only modules whose whole name matches this regular expression',
    )


def main(args: argparse.Namespace) -> int:
    """Draw the images, write the report, and give 1 if there were failures."""
    from mmattn.cli import options
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
        return list_failures(failures)
    model = load(
        args.config,
        args.checkpoint,
        device=args.device,
        cfg_options=args.cfg_options,
        trust_checkpoint=args.trust_checkpoint,
    )
    sites = attention_sites(model.module, args.site)
    out = make_folder(args)
    entries: list[Entry] = []
    failures += draw_each(inputs, lambda each: entries.append(_draw(model, each, sites, out)))
    if entries:
        try:
            blend = _draw_blend(blend_factors(model.module), out)
            report = out / 'report.html'
            names = Path(args.config).name, Path(args.checkpoint).name
            write_report(report, *names, blend, entries, failures)
            print(f'{len(entries)} of {len(inputs)} images drawn: {report}')
        except InputError as error:
            failures.append(str(error))
    return list_failures(failures)


def _draw(model: 'Model', image: 'Input', sites: Mapping[str, 'nn.Module'], out: Path) -> 'Entry':
    """Draw the pages of one image."""
    from mmattn.datasets.names import visible
    from mmattn.errors import InputError
    from mmattn.inspection.gates import look
    from mmattn.inspection.pictures import pages
    from mmattn.inspection.report import Entry, describe

    seen = look(model, model.read(image.path), sites)
    if not seen:
        raise InputError(f'no module that --site matches has run for {visible(image.path)}')
    files = []
    for number, page in enumerate(pages(seen, image.path.name), 1):
        files.append(out / f'{image.name}_{number}.png')
        save_figure(page, files[-1])
    return Entry(str(image.path), files, describe(seen))


def _draw_blend(factors: dict[str, list[float]], out: Path) -> Path | None:
    from mmattn.inspection.pictures import draw_blend

    if not factors:
        return None
    path = out / 'blend_factors.png'
    save_figure(draw_blend(factors), path)
    return path
