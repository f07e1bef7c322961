"""Train a model of any scope from a config."""

import argparse
import gc
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from mmengine.config import Config

from mmattn.cli.arguments import add_config, add_runner_arguments

# After Ctrl-C, from the first iteration on.
_INTERRUPTED = 'interrupted; checkpoints written so far are whole, go on with --resume'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='go on from PATH, or from the last checkpoint in the work dir',
    )
    parser.add_argument(
        '--resume-partial',
        action='store_true',
        help='with --resume: go on even if parts of the checkpoint are missing or do not fit, such '
        'as the optimizer; a warning names them',
    )
    parser.add_argument(
        '--resume-schedule',
        choices=('config', 'checkpoint'),
        help='with --resume, where learning rate or schedule of the config are not those of the '
        'checkpoint: which ones hold (default: those of the config)',
    )
    parser.add_argument(
        '--from-scratch',
        action='store_true',
        help='start from random values, without the pretrained weights that the config names',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision (CUDA)')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the real over the intended total batch size',
    )
    parser.add_argument(
        '--smoke',
        action='store_true',
        help='try the config on the first images of its data, or on generated ones if there are '
        'none: 4 iterations, a validation, a checkpoint, and 2 iterations resumed from it',
    )
    add_runner_arguments(parser)
    parser.set_defaults(interrupted='interrupted before the first iteration')


def main(args: argparse.Namespace) -> None:
    """Train as the command line says."""
    from mmattn.cli import options
    from mmattn.cli.pretrained import get_pretrained
    from mmattn.engine import terminal
    from mmattn.engine.config import load_config
    from mmattn.engine.start import starting
    from mmattn.engine.work_dir import locked
    from mmattn.launch import distributed
    from mmattn.probe.config_check import check_config
    from mmattn.probe.schedule_check import remarks_on_schedule
    from mmattn.weights.sources import trust_checkpoints

    terminal.use(args.verbose)
    options.check_device(args.device)
    trust_checkpoints(args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options)
    options.use_data_root(cfg, args.data_root, 'train')
    cfg.launcher = args.launcher
    distributed.prepare(cfg)
    check_config(cfg, 'train')
    work_dir = args.work_dir
    if args.smoke:
        work_dir = work_dir or f'work_dirs/{Path(args.config).stem}_smoke'
    options.choose_work_dir(cfg, work_dir)

    with starting(cfg) as start, locked(cfg.work_dir):

        def begin() -> None:
            start.begin()
            args.interrupted = _INTERRUPTED

        if args.smoke:
            try_out(cfg, begin)
        else:
            use_options(cfg, args)
            get_pretrained(cfg)
            remarks = [*options.check_data_of(cfg, 'train'), *remarks_on_schedule(cfg)]
            train(cfg, begin, remarks)


def use_options(cfg: Config, args: argparse.Namespace) -> None:
    """Do to a config what the command line says, and find what to go on from."""
    from mmattn.cli import options
    from mmattn.cli.pretrained import drop_pretrained

    if args.from_scratch:
        drop_pretrained(cfg.model)
    if args.amp:
        options.use_amp(cfg)
    if args.auto_scale_lr:
        options.use_auto_scale_lr(cfg)
    if args.resume_partial:
        cfg.resume_partial = True
    if args.resume_schedule:
        cfg.resume_schedule = args.resume_schedule
    if options.has_restarted(cfg):
        options.resume(cfg, 'auto')
    elif args.resume:
        options.resume(cfg, args.resume)


def try_out(cfg: Config, begin: Callable[[], None]) -> None:
    """Train for some iterations on generated data, and go on for some more."""
    from mmattn.cli import smoke

    with tempfile.TemporaryDirectory() as data_root:
        smoke.shrink(cfg, data_root)
        train(cfg, begin)
        # A model of the size of VAN-B6 should be gone before the next one is built. Not after any
        # training: loaders with workers are to end with the process, or their threads complain.
        gc.collect()
        smoke.go_on(cfg)
        train(cfg, begin)
    print(f'smoke run passed; its log and checkpoints are in {cfg.work_dir}')


def find_random_backbone(cfg: Config) -> str | None:
    """Give the place in a config of a backbone that starts from random values, if it does.

    ``type='InsertAttention'`` has the model, or the backbone, one step further down.
    """
    place, part = 'model', cfg.model
    parts = [part]
    while inner := next((key for key in ('host', 'backbone') if key in part), None):
        place, part = f'{place}.{inner}', part[inner]
        parts.append(part)
    init_cfgs: list[dict] = []
    for part in parts:
        init_cfg = part.get('init_cfg') or []
        init_cfgs += init_cfg if isinstance(init_cfg, list) else [init_cfg]
    pretrained = any(init_cfg.get('type') == 'Pretrained' for init_cfg in init_cfgs)
    pretrained = pretrained or any(part.get('pretrained') for part in parts)
    return None if pretrained or cfg.get('load_from') else place


def train(cfg: Config, begin: Callable[[], None], remarks: Iterable[str] = ()) -> None:
    """Build and run a training.

    Args:
        cfg: Its config.
        begin: What is to be done when the first iteration begins.
        remarks: What the log is to warn of.
    """
    from mmattn.cli.overview import Overview
    from mmattn.engine.build import build_runner
    from mmattn.engine.hooks.preemption import PreemptionHook

    runner = build_runner(cfg)
    runner.register_hook(PreemptionHook())
    runner.register_hook(Overview(begin))
    for remark in remarks:
        runner.logger.warning(remark)
    backbone = find_random_backbone(cfg)
    if backbone:
        runner.logger.warning(
            'The backbone starts from random values. Published figures start from pretrained '
            f'weights: --cfg-options {backbone}.init_cfg.type=Pretrained '
            f'{backbone}.init_cfg.checkpoint=FILE'
        )
    runner.train()
