"""Draw class activation maps: where in an image a model finds what speaks for its answer.

    mmattn cam my_config.py work_dirs/my_config/iter_160000.pth photo.jpg --target dog

There is one picture for each image, IMAGE_METHOD.png. With --compare, two models stand side by
side in it, both asked for the same. The exit status is 1 if an image could not be drawn.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmattn.cli.arguments import add_config, add_config_arguments

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mmattn.inspection.cam_target import Target
    from mmattn.prediction.model import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('images', nargs='+', metavar='image', help='image, or folder of images')
    parser.add_argument(
        '--method',
        choices=['grad-cam', 'layer-cam', 'eigen-cam'],
        default='grad-cam',
        help='default: grad-cam; eigen-cam asks for no target',
    )
    parser.add_argument(
        '--target',
        metavar='CLASS',
        help='name or number of a class; default: what the model is surest of',
    )
    parser.add_argument(
        '--region',
        nargs=4,
        type=int,
        metavar=('X1', 'Y1', 'X2', 'Y2'),
        help='of a segmentor: pixels of the image; of a detector: the detection there',
    )
    parser.add_argument(
        '--detection', type=int, metavar='N', help='of a detector: the N-th best, counted from 0'
    )
    parser.add_argument(
        '--layer',
        metavar='PATTERN',
        help='layers whose whole name matches this regular expression; default: backbone, or neck '
        'of a detector',
    )
    parser.add_argument(
        '--compare',
        nargs=2,
        metavar=('CONFIG2', 'CHECKPOINT2'),
        help='second model, asked for the same',
    )
    parser.add_argument(
        '--out', metavar='DIR', help='folder; default: work_dirs/NAME OF THE CONFIG/cam'
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='default: CUDA if there is one')
    add_config_arguments(parser)
    parser.set_defaults(local_rank=0)


def main(args: argparse.Namespace) -> int:
    """Draw the images, and give 1 if there were failures."""
    from mmattn.cli import options
    from mmattn.datasets.names import visible
    from mmattn.engine import terminal
    from mmattn.errors import InputError
    from mmattn.files.whole_file import write_whole
    from mmattn.inspection.cam_layers import find_layers
    from mmattn.inspection.cam_target import Target, find_class
    from mmattn.layers.packages import import_optional

    for package in ('pytorch_grad_cam', 'matplotlib'):
        import_optional(package, 'mmattn cam')
    terminal.use(verbose=False)
    options.check_device(args.device)
    pairs = [(args.config, args.checkpoint), *([tuple(args.compare)] if args.compare else [])]
    for _, checkpoint in pairs:
        options.check_checkpoint(checkpoint)
    models = _load(pairs, args)
    # What is wrong with every image alike is told once.
    for _, model in models:
        find_layers(model, args.layer)
        if args.target is not None:
            find_class(model, args.target)
    out = _make_folder(args)
    target = Target(args.target, args.region, args.detection)
    paths, failures = _find_images(args.images)
    drawn = 0
    for path, stem in zip(paths, _stems(paths), strict=True):
        file = out / f'{stem}_{args.method}.png'
        try:
            figure = _draw(models, path, target, args)
            save = partial(figure.savefig, format='png', dpi=110)
            write_whole(file, save, remedy='call the command again')
        except InputError as error:
            failures.append(f'{visible(path)}: {error}')
        except RuntimeError as error:
            reason = str(error).strip().partition('\n')[0]
            failures.append(f'{visible(path)}: it does not go through the model ({reason})')
        else:
            drawn += 1
            print(file)
    print(f'{drawn} of {len(paths)} images drawn')
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
        stem = path.stem.encode(errors='ignore')[:120].decode(errors='ignore')
        name, number = stem, 1
        while name in used:
            number += 1
            name = f'{stem}-{number}'
        used.add(name)
        yield name


def _load(pairs: list[tuple[str, str]], args: argparse.Namespace) -> list[tuple[str, 'Model']]:
    """Load the models, each with what it is called in the picture."""
    from mmattn.prediction.model import load

    names = [Path(config).stem for config, _ in pairs]
    if len(set(names)) < len(names):
        # Two trainings of one config.
        names = [checkpoint for _, checkpoint in pairs]
    return [
        (
            name,
            load(
                config,
                checkpoint,
                device=args.device,
                cfg_options=args.cfg_options,
                trust_checkpoint=args.trust_checkpoint,
            ),
        )
        for name, (config, checkpoint) in zip(names, pairs, strict=True)
    ]


def _make_folder(args: argparse.Namespace) -> Path:
    from mmattn.errors import InputError

    out = Path(args.out or f'work_dirs/{Path(args.config).stem}/cam')
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'--out {out} cannot be made ({error.strerror}); give another folder'
        ) from error
    return out


def _draw(
    models: list[tuple[str, 'Model']], path: Path, target: 'Target', args: argparse.Namespace
) -> 'Figure':
    """Draw one image, as one model sees it or two."""
    from mmattn.errors import InputError
    from mmattn.inspection.cam import ActivationMap, class_activation_map
    from mmattn.inspection.cam_picture import draw_activation_maps

    maps: list[ActivationMap] = []
    for name, model in models:
        try:
            found = class_activation_map(
                model, path, method=args.method, target=target, layer=args.layer
            )
        except InputError as error:
            raise InputError(f'{name}: {error}' if maps else str(error)) from error
        maps.append(found)
        # The next one is asked for what this one was.
        target = found.answer.target
    return draw_activation_maps(maps, [name for name, _ in models])
