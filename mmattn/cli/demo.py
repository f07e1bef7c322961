"""Train a small UperNet + VAN on generated scenes, test it, and draw what it learnt."""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# An installed package has the configs inside, a checkout beside it.
HOMES = (PACKAGE / '.mim', PACKAGE.parent)
CONFIG = Path('configs/demo/upernet_van_tiny_ade20k.py')
FOLDER = Path('work_dirs/demo')  # In the current folder; the config looks for its data there.
TARGET = 60.0  # Held-out mIoU in percent that the run has to reach.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes, which is nothing."""


def main(args: argparse.Namespace) -> None:
    """Make the data, train, test and draw."""
    from mmattn.cli.demo_picture import draw
    from mmattn.errors import InputError

    config = find_config()
    shutil.rmtree(FOLDER, ignore_errors=True)
    data, run, predictions = FOLDER / 'data', FOLDER / 'run', FOLDER / 'predictions'
    mmattn('data', 'make', 'ade20k', '--out', data, '--train', 160, '--val', 32)
    mmattn('train', config, '--work-dir', run)
    checkpoint = run / 'iter_300.pth'
    mmattn('test', config, checkpoint, '--work-dir', FOLDER / 'test', '--out', predictions)

    [log] = run.glob('*/vis_data/scalars.json')
    scalars = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [(s['step'], s['loss']) for s in scalars if 'loss' in s]
    mious = [(s['step'], s['mIoU']) for s in scalars if 'mIoU' in s]
    picture = FOLDER / 'overview.png'
    draw(data, predictions, losses, mious).savefig(picture, dpi=110)

    print('held-out mIoU: ' + ', '.join(f'{miou:.1f}% at {step}' for step, miou in mious))
    print(f'picture: {picture}')
    if mious[-1][1] < TARGET:
        raise InputError(
            f'expected a held-out mIoU of at least {TARGET:.0f}%, got {mious[-1][1]:.1f}%'
        )


def find_config() -> Path:
    """Find the config of the demo.

    Raises:
        InputError: If this package came without configs.
    """
    from mmattn.errors import InputError

    for home in HOMES:
        if (home / CONFIG).is_file():
            return home / CONFIG
    raise InputError(
        f'{CONFIG} is neither in {HOMES[0]} nor in {HOMES[1]}; run the demo from a clone of the '
        'repository, or install a wheel: pip wheel --no-deps CLONE'
    )


def mmattn(*words: object) -> None:
    """Show and run a command; stop when it fails."""
    command = [str(word) for word in words]
    print('$ mmattn', shlex.join(command), flush=True)
    status = subprocess.run([sys.executable, '-m', 'mmattn', *command]).returncode
    if status:
        sys.exit(status)
