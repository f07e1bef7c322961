"""Show a page in the browser: drop an image, see prediction, gates and class activation map.

    mmattn app my_config.py work_dirs/my_config/*.pth

It listens on this machine alone unless --host says otherwise, and reads checkpoints as data only.
"""

import argparse

from mmattn.cli.arguments import add_cfg_options, add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
    parser.add_argument(
        'checkpoints', nargs='+', metavar='checkpoint', help='checkpoint file to choose from'
    )
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        metavar='ADDRESS',
        help='address to listen on; default: %(default)s, which others cannot reach',
    )
    parser.add_argument(
        '--port', type=_port, default=7860, metavar='N', help='default: %(default)s'
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='default: CUDA if there is one')
    add_cfg_options(parser)
    parser.set_defaults(local_rank=0)


def main(args: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    from functools import lru_cache, partial
    from pathlib import Path

    from mmattn.app.server import serve, uploads_elsewhere
    from mmattn.cli import options
    from mmattn.engine import terminal
    from mmattn.engine.config import load_config
    from mmattn.errors import InputError
    from mmattn.layers.packages import import_optional
    from mmattn.prediction.model import load

    terminal.use(verbose=False)
    options.check_device(args.device)
    for checkpoint in args.checkpoints:
        options.check_checkpoint(checkpoint)
    if len(set(args.checkpoints)) < len(args.checkpoints):
        raise InputError('a checkpoint is given twice; give each once')
    load_config(args.config, args.cfg_options)
    with uploads_elsewhere():
        for package in ('gradio', 'pytorch_grad_cam', 'matplotlib'):
            import_optional(package, 'mmattn app')
        from mmattn.app.page import make_page

        load_one = partial(load, args.config, device=args.device, cfg_options=args.cfg_options)
        # One at a time has to fit into memory. The first shows whether they belong together.
        load_last = lru_cache(maxsize=1)(load_one)
        load_last(args.checkpoints[0])
        page = make_page(f'mmattn: {Path(args.config).stem}', args.checkpoints, load_last)
        serve(page, args.host, args.port)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f'expected a number from 1 to 65535, got {text!r}')
    return int(text)
