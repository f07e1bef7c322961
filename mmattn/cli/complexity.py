"""Count what a model costs: parameters, and multiply-adds as the papers count them."""

import argparse

from mmattn.cli.arguments import add_cfg_options, add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
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
    from mmattn.errors import InputError
    from mmattn.probe.build import build
    from mmattn.probe.count import count_multiply_adds, count_parameters, counted_size

    cfg = load_config(args.config, args.cfg_options)
    model = build(cfg)
    size = args.shape or counted_size(cfg)
    if size is None or min(size) < 1:
        raise InputError('give the height and width of the image in pixels: --shape 224 224')
    print(f'parameters: {count_parameters(model) / 1e6:.2f} M')
    height, width = size
    try:
        multiply_adds = count_multiply_adds(model, (1, 3, height, width))
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
