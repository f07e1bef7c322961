"""Write weights under the names that they have in mmattn, or in the model of a config.

The format is that of the name: .pth or .safetensors. A file that is there is not overwritten.
"""

import argparse

from mmattn.cli.arguments import add_config_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('input', help='file of published weights, or an address')
    parser.add_argument('output', help='file to write')
    parser.add_argument('--config', help='take the names of the model of this config')
    add_config_arguments(parser)


def main(args: argparse.Namespace) -> None:
    """Read, rename and write."""
    from pathlib import Path

    from mmengine.logging import MMLogger
    from mmengine.runner import CheckpointLoader

    from mmattn.cli.conversion import (
        check_output,
        rename,
        rename_for,
        write_weights,
    )
    from mmattn.engine.config import load_config
    from mmattn.probe.build import build
    from mmattn.weights.files import find_state_dict
    from mmattn.weights.layouts import recognise
    from mmattn.weights.sources import trust_checkpoints

    trust_checkpoints(args.trust_checkpoint)
    MMLogger.get_instance('convert_checkpoint', log_level='ERROR')
    output = Path(args.output)
    check_output(output)
    state_dict = find_state_dict(CheckpointLoader.load_checkpoint(args.input, 'cpu'))
    if args.config:
        model = build(load_config(args.config, args.cfg_options), meta=False)
        renamed = rename_for(model, state_dict, args.input)
    else:
        renamed = rename(state_dict, args.input)
    write_weights(renamed, output)
    layout = recognise(state_dict)
    count = len(renamed.keys() - state_dict.keys())
    print(
        f'{args.input} ({layout.name if layout else "unknown"} layout): '
        f'{len(renamed)} tensors written to {output}, {count} of them renamed'
    )
