"""What the commands share that draw what a trained model makes of images."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmattn.cli.arguments import add_config, add_config_arguments

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mmattn.prediction.inputs import Input


def add_image_arguments(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add model, images, and where the pictures go.

    Args:
        parser: Parser of the command.
        folder: Name of the folder for the pictures if none is given, in that of the config.
    """
    add_config(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        'images', nargs='+', metavar='IMAGE', help='image, folder of them, or a pattern in quotes'
    )
    parser.add_argument(
        '--out', metavar='DIR', help=f'folder; default: work_dirs/NAME OF THE CONFIG/{folder}'
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='default: CUDA if there is one')
    add_config_arguments(parser)
    parser.set_defaults(
        folder=folder, local_rank=0, interrupted='interrupted; pictures drawn so far are whole'
    )


def make_folder(args: argparse.Namespace) -> Path:
    """Make the folder for the pictures.

    Raises:
        InputError: If that is impossible.
    """
    from mmattn.errors import InputError

    out = Path(args.out or f'work_dirs/{Path(args.config).stem}/{args.folder}')
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'--out {out} cannot be made ({error.strerror}); give another folder'
        ) from error
    return out


def draw_each(inputs: Sequence['Input'], draw: Callable[['Input'], None]) -> list[str]:
    """Draw images one after the other; what fails does not keep the others from being done.

    Args:
        inputs: The images.
        draw: Draws one.

    Returns:
        What failed, and why, a line each that names the image.
    """
    from rich.console import Console
    from rich.progress import Progress

    from mmattn.datasets.names import visible
    from mmattn.errors import InputError

    failures = []
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        for each in progress.track(inputs, description='drawing'):
            shown = visible(each.path)
            try:
                if each.is_video:
                    raise InputError(f'{shown} is a video; give images')
                draw(each)
            except InputError as error:
                reason = str(error)
                failures.append(reason if shown in reason else f'{shown}: {reason}')
            except (RuntimeError, ValueError) as error:
                reason = str(error).strip().partition('\n')[0]
                failures.append(
                    f'{shown} does not go through the model ({reason}); give another image'
                )
    return failures


def save_figure(figure: 'Figure', path: Path) -> None:
    """Write a figure as a PNG file, whole or not at all.

    Raises:
        InputError: If it cannot be written.
    """
    from mmattn.files.whole_file import write_whole

    save = partial(figure.savefig, format='png', dpi=100)
    write_whole(path, save, remedy='call the command again')


def list_failures(failures: Sequence[str]) -> int:
    """List what failed, and give the exit status."""
    for failure in failures:
        print(f'error: {failure}', file=sys.stderr)
    return 1 if failures else 0
