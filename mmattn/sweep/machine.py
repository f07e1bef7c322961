"""Where and with what something was measured."""

import functools
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mmcv
import mmengine
import torch

from mmattn.engine.shipped_configs import PACKAGE

_OTHERS = ('mmdet', 'mmsegmentation', 'mmpretrain')


@functools.cache
def machine(device: str | None = None) -> str:
    """Describe the processor, and the GPU unless a run is on the CPU."""
    name = platform.processor() or platform.machine()
    info = Path('/proc/cpuinfo')
    if info.is_file():
        models = [line for line in info.read_text().splitlines() if line.startswith('model name')]
        name = models[0].partition(':')[2].strip() if models else name
    text = f'{name}, {len(os.sched_getaffinity(0))} cores'
    if device != 'cpu' and torch.cuda.is_available():
        text += f', {torch.cuda.device_count()} x {torch.cuda.get_device_name()}'
    return text


def versions() -> dict[str, str]:
    """Give the versions of what a training runs on."""
    found = dict(
        python=platform.python_version(),
        torch=torch.__version__,
        mmengine=mmengine.__version__,
        mmcv=mmcv.__version__,
    )
    for package in _OTHERS:
        # The forks have other names of distributions.
        name = {'mmdet': 'mmdetection'}.get(package, package)
        for distribution in (package, f'onedl-{name}'):
            try:
                found[package] = version(distribution)
            except PackageNotFoundError:
                continue
    return found


@functools.cache
def revision(version: str) -> str:
    """Add to the version of mmattn the commit where it is a checkout."""
    if not (PACKAGE.parent / '.git').exists():
        return version
    git = ['git', '-C', str(PACKAGE.parent)]
    try:
        done = subprocess.run(
            [*git, 'describe', '--always', '--dirty', '--abbrev=12'],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return version
    return f'{version}, commit {done.stdout.strip()}'
