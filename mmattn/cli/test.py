"""Test a checkpoint of a model of any scope."""

import argparse
from functools import partial
from pathlib import Path

from mmattn.cli.arguments import add_config, add_runner_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out', help='save the predictions: a folder of label maps for mmseg, else a .pkl file'
    )
    parser.add_argument('--show-dir', help='draw the predictions into this folder')
    parser.add_argument(
        '--tta', action='store_true', help='test-time augmentation: several scales and flips'
    )
    add_runner_arguments(parser)


def main(args: argparse.Namespace) -> None:
    """Test as the command line says."""
    test(args)


def test(args: argparse.Namespace) -> dict[str, float]:
    """Test as the arguments say.

    Returns:
        What the metrics of the config give.
    """
    from mmattn.cli import options
    from mmattn.cli.overview import Overview
    from mmattn.datasets.exchange import read_as_validation
    from mmattn.engine import terminal
    from mmattn.engine.build import build_runner
    from mmattn.engine.config import load_config
    from mmattn.engine.start import starting
    from mmattn.launch import distributed
    from mmattn.probe.config_check import check_config
    from mmattn.weights.sources import trust_checkpoints

    terminal.use(args.verbose)
    options.check_device(args.device)
    options.check_checkpoint(args.checkpoint)
    trust_checkpoints(args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options)
    options.check_test_part(cfg)
    options.use_data_root(cfg, args.data_root, 'test')
    cfg.launcher = args.launcher
    distributed.prepare(cfg)
    if args.out:
        options.save_predictions(cfg, args.out)
    if args.show_dir:
        options.draw_predictions(cfg, args.show_dir)
    if args.tta:
        options.use_tta(cfg)
    check_config(cfg, 'test')
    options.choose_work_dir(cfg, args.work_dir)
    made = [Path(path) for path in (args.out, args.show_dir) if path]

    with starting(cfg, *made) as start:
        remarks = options.check_data_of(cfg, 'test')
        exchanged = read_as_validation(cfg)
        cfg.load_from, cfg.resume = args.checkpoint, False
        runner = build_runner(cfg)
        runner.register_hook(Overview(start.begin))
        if exchanged:
            runner.logger.info(exchanged)
        for remark in remarks:
            runner.logger.warning(remark)
        # The runner loads when its hooks are set up, and then everything has to fit.
        runner.load_checkpoint = partial(runner.load_checkpoint, strict=True)
        return runner.test()
