"""Count what a model costs: parameters, and multiply-adds as the papers count them."""

import argparse

from mmattn.cli.arguments import add_cfg_options

# Height and width of the image where none are published, by what a config is written for.
SHAPES = {
    'mmdet': (800, 1280),
    'mmseg': (512, 512),
    'mmpretrain': (224, 224),
    'mmpose': (256, 192),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--shape',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help='height and width of the image in pixels; default: those of the published count',
    )
    add_cfg_options(parser)


def main(args: argparse.Namespace) -> None:
    """Print the counts of the model of a config."""
    from mmattn.engine.config import load_config
    from mmattn.engine.config_check import check_model
    from mmattn.errors import InputError
    from mmattn.probe.count import build, count_multiply_adds, count_parameters

    cfg = load_config(args.config, args.cfg_options)
    check_model(cfg)
    usual = SHAPES.get(cfg.get('default_scope'))
    shape = args.shape or cfg.get('published', {}).get('flops_shape', usual)
    if shape is None or min(shape) < 1:
        raise InputError('give the height and width of the image in pixels: --shape 224 224')
    model = build(cfg)
    print(f'parameters: {count_parameters(model) / 1e6:.2f} M')
    height, width = shape
    try:
        multiply_adds = count_multiply_adds(model, (height, width))
    except (NotImplementedError, RuntimeError, ValueError) as error:
        reason = f'{type(error).__name__}: {error}'.splitlines()[0]
        raise InputError(
            f'multiply-adds for {height} x {width} cannot be counted ({reason}); '
            'try another --shape'
        ) from error
    if multiply_adds is None:
        print('multiply-adds: not counted, they depend on the values of the maps')
    else:
        print(f'multiply-adds: {multiply_adds / 1e9:.2f} G for {height} x {width}')
