"""Tell what of a file of weights fits a model, tensor by tensor, without training.

The file is that of a model, as for load_from, or of a backbone, as for its init_cfg. The exit
status is 1 if a training would refuse it.
"""

import argparse

from mmattn.cli.arguments import add_config, add_config_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
    parser.add_argument('checkpoint', help='file of weights, or an address')
    add_config_arguments(parser)


def main(args: argparse.Namespace) -> None:
    """Compare, and print whatever does not simply fit."""
    from mmengine.logging import MMLogger

    from mmattn.engine.config import load_config
    from mmattn.probe.build import build
    from mmattn.weights.checking import check_weights
    from mmattn.weights.sources import trust_checkpoints

    trust_checkpoints(args.trust_checkpoint)
    # What initialization says of every tensor would hide the report.
    MMLogger.get_instance('check_weights', log_level='ERROR')
    model = build(load_config(args.config, args.cfg_options), meta=False)
    part, report, refusal = check_weights(model, args.checkpoint)
    print(f'{part or "model"}: {report.receiver}')
    print(report.line())
    for title, lines in report.listing().items():
        print(f'\n{len(lines)} {title}:', *lines, sep='\n  ')
    if refusal:
        raise refusal
