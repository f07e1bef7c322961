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

    from mmattn.cli.conversion import (
        check_output,
        rename_weights,
        rename_weights_for,
        write_weights,
    )
    from mmattn.engine.config import load_config
    from mmattn.probe.build import build
    from mmattn.weights.reading import read_weights
    from mmattn.weights.sources import trust_checkpoints

    trust_checkpoints(args.trust_checkpoint)
    MMLogger.get_instance('convert_checkpoint', log_level='ERROR')
    output = Path(args.output)
    check_output(output)
    weights = read_weights(args.input)
    if args.config:
        model = build(load_config(args.config, args.cfg_options), meta=False)
        renamed = rename_weights_for(model, weights)
    else:
        renamed = rename_weights(weights)
    write_weights(renamed, output)
    count = len(renamed.keys() - weights.tensors.keys())
    print(
        f'{weights.source} ({weights.layout.name if weights.layout else "unknown"} layout): '
        f'{len(renamed)} tensors written to {output}, {count} of them renamed'
    )
