"""Evaluate public weights on data of your own, beside what is reported of them.

The data are a copy of ImageNet-1K for classifiers and of ADE20K for segmentors. It is a test of the
config that `mmattn weights list NAME` names, with the options of a test.
"""

import argparse

from mmattn.cli.arguments import add_runner_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('name', help='weights that `list` names')
    add_runner_arguments(parser)


def main(args: argparse.Namespace) -> None:
    """Test the weights, and print what was measured and what is reported.

    Raises:
        InputError: If there is nothing to compare, or the weights cannot be had or do not fit.
    """
    import tempfile
    from pathlib import Path

    from mmengine.dist import is_main_process

    from mmattn.cli import test
    from mmattn.cli.conversion import whole_model, write_weights
    from mmattn.errors import InputError
    from mmattn.weights.catalogue import CATALOGUE, entry_of
    from mmattn.weights.pretrained import get
    from mmattn.weights.reading import read_weights
    from mmattn.weights.sources import trust_checkpoints

    entry = entry_of(args.name)
    if not entry.config or not entry.reported:
        others = ', '.join(name for name, other in CATALOGUE.items() if other.config)
        raise InputError(
            f'{args.name} is to begin with: no config here tests it as it was reported; there is '
            f'one for {others}'
        )
    trust_checkpoints(args.trust_checkpoint)
    weights = read_weights(str(get(args.name)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'whole.pth')
        write_weights(whole_model(weights), path)
        metrics = test.test(
            argparse.Namespace(
                **vars(args),
                config=entry.config,
                checkpoint=str(path),
                out=None,
                show_dir=None,
                tta=False,
            )
        )
    if is_main_process():
        metric, value, where = entry.reported.metric, entry.reported.value, entry.reported.where
        print(f'{metric} of {args.name}: {metrics[metric]:.2f} measured, {value:g} in {where}')
