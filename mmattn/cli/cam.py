"""Draw class activation maps: where in an image a model finds what speaks for its answer.

    mmattn cam my_config.py work_dirs/my_config/iter_160000.pth photo.jpg --target dog

There is one picture for each image, IMAGE_METHOD.png. With --compare, two models stand side by
side in it, both asked for the same. The exit status is 1 if an image could not be drawn.
"""

import argparse
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
    from mmattn.prediction.inputs import Input
    from mmattn.prediction.model import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_image_arguments(parser, 'cam')
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


def main(args: argparse.Namespace) -> int:
    """Draw the images, and give 1 if there were failures."""
    from mmattn.cli import options
    from mmattn.engine import terminal
    from mmattn.layers.packages import import_optional
    from mmattn.prediction.inputs import find_inputs

    for package in ('pytorch_grad_cam', 'matplotlib'):
        import_optional(package, 'mmattn cam')
    terminal.use(verbose=False)
    options.check_device(args.device)
    models = _load(args)
    out = make_folder(args)
    inputs, missing = find_inputs(args.images)

    def draw(image: 'Input') -> None:
        file = out / f'{image.name}_{args.method}.png'
        _draw(models, image, args, file)
        print(file)

    failures = draw_each(inputs, draw)
    print(f'{len(inputs) - len(failures)} of {len(inputs)} images drawn')
    return list_failures([*(failure.reason for failure in missing), *failures])


def _load(args: argparse.Namespace) -> list[tuple[str, 'Model']]:
    """Load the models, each with what it is called in the picture."""
    from mmattn.cli import options
    from mmattn.inspection.cam_layers import find_layers
    from mmattn.inspection.cam_target import find_class
    from mmattn.prediction.model import load

    pairs = [(args.config, args.checkpoint), *([tuple(args.compare)] if args.compare else [])]
    for _, checkpoint in pairs:
        options.check_checkpoint(checkpoint)
    names = [Path(config).stem for config, _ in pairs]
    if len(set(names)) < len(names):
        # Two trainings of one config.
        names = [checkpoint for _, checkpoint in pairs]
    models = [
        load(
            config,
            checkpoint,
            device=args.device,
            cfg_options=args.cfg_options,
            trust_checkpoint=args.trust_checkpoint,
        )
        for config, checkpoint in pairs
    ]
    # What is wrong with every image alike is told once.
    for model in models:
        find_layers(model, args.layer)
        if args.target is not None:
            find_class(model, args.target)
    return list(zip(names, models, strict=True))


def _draw(
    models: list[tuple[str, 'Model']], image: 'Input', args: argparse.Namespace, file: Path
) -> None:
    """Draw one image, as one model sees it or two."""
    from mmattn.errors import InputError
    from mmattn.inspection.cam import ActivationMap, class_activation_map
    from mmattn.inspection.cam_picture import draw_activation_maps
    from mmattn.inspection.cam_target import Target

    target = Target(args.target, args.region, args.detection)
    maps: list[ActivationMap] = []
    for name, model in models:
        try:
            found = class_activation_map(
                model, image.path, method=args.method, target=target, layer=args.layer
            )
        except InputError as error:
            raise InputError(f'{name}: {error}' if maps else str(error)) from error
        maps.append(found)
        # The next one is asked for what this one was.
        target = found.answer.target
    save_figure(draw_activation_maps(maps, [name for name, _ in models]), file)
