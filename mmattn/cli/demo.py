"""Train a small UperNet + VAN on generated scenes, test it, and draw what it learnt and why."""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from mmattn.engine.shipped_configs import PREFIX, config_path, configs_folder

CONFIG = f'{PREFIX}demo/upernet_van_tiny_ade20k.py'
# What to try after it: as the README has it.
NEXT = 'seg/upernet_van_b2_ade20k.py'
FOLDER = Path('work_dirs/demo')  # In the current folder; the config looks for its data there.
TARGET = 60.0  # Held-out mIoU in percent that the run has to reach.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes, which is nothing."""


def main(args: argparse.Namespace) -> None:
    """Make the data, train, test, look and draw."""
    from mmattn.cli.demo_picture import draw, held_out
    from mmattn.errors import InputError
    from mmattn.layers.packages import import_optional
    from mmattn.prediction.model import load

    for package in ('matplotlib', 'pytorch_grad_cam'):
        import_optional(package, 'mmattn demo')

    config_path(CONFIG)  # Nothing is lost if there is none.
    shutil.rmtree(FOLDER, ignore_errors=True)
    data, run, predictions = FOLDER / 'data', FOLDER / 'run', FOLDER / 'predictions'
    mmattn('data', 'make', 'ade20k', '--out', data, '--train', 160, '--val', 32)
    mmattn('train', CONFIG, '--work-dir', run)
    checkpoint = run / 'iter_300.pth'
    mmattn('test', CONFIG, checkpoint, '--work-dir', FOLDER / 'test', '--out', predictions)
    images = held_out(data)
    mmattn('visualize', CONFIG, checkpoint, *images, '--out', FOLDER / 'gates')

    [log] = run.glob('*/vis_data/scalars.json')
    scalars = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [(s['step'], s['loss']) for s in scalars if 'loss' in s]
    mious = [(s['step'], s['mIoU']) for s in scalars if 'mIoU' in s]
    picture = FOLDER / 'overview.png'
    model = load(CONFIG, checkpoint, device='cpu')
    draw(model, images, data, predictions, losses, mious).savefig(picture, dpi=110)

    print('held-out mIoU: ' + ', '.join(f'{miou:.1f}% at {step}' for step, miou in mious))
    print(f'picture: {picture}')
    if mious[-1][1] < TARGET:
        raise InputError(
            f'expected a held-out mIoU of at least {TARGET:.0f}%, got {mious[-1][1]:.1f}%'
        )
    print('next, a model of full size on generated data, in about a minute:')
    print(f'  {next_command()}')


def next_command() -> str:
    """Give a command that works in the shell from which the demo was started, where it was."""
    configs = configs_folder()
    script = configs.parent / 'tools' / 'train.py'
    if _is_installed() and script.is_file() and configs.parent == Path.cwd():
        command = [_name_of_python(), _short(script)]
    elif _is_installed() and _finds('mmattn'):
        command = ['mmattn', 'train']
    else:
        # From a checkout, -m finds what is in the current folder.
        command = [_name_of_python(), '-m', 'mmattn', 'train']
    config = f'configs/{NEXT}' if configs.parent == Path.cwd() else f'{PREFIX}{NEXT}'
    return shlex.join([*command, config, '--smoke'])


def _is_installed() -> bool:
    """Tell whether this Python finds mmattn without PYTHONPATH, which make sets for a task only."""
    env = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    code = 'import importlib.util, sys; sys.exit(importlib.util.find_spec("mmattn") is None)'
    return not subprocess.run([sys.executable, '-c', code], env=env, cwd='/').returncode


def _name_of_python() -> str:
    name = next((name for name in ('python', 'python3') if _finds(name)), None)
    return name or _short(Path(sys.executable))


def _finds(program: str) -> bool:
    """Tell whether the shell finds this program beside this Python."""
    found = shutil.which(program)
    # Not where links lead: the Python of an environment is a link to that which made it.
    return found is not None and Path(found).parent.samefile(Path(sys.executable).parent)


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def mmattn(*words: object) -> None:
    """Show and run a command; stop when it fails."""
    command = [str(word) for word in words]
    print('$ mmattn', shlex.join(command), flush=True)
    status = subprocess.run([sys.executable, '-m', 'mmattn', *command]).returncode
    if status:
        sys.exit(status)
