"""Where and with what something is measured."""

import functools
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path

import mmcv
import mmengine
import torch

_OTHERS = ('mmdet', 'mmsegmentation', 'mmpretrain', 'timm')


@functools.cache
def cpu_facts(path: Path = Path('/proc/cpuinfo')) -> dict[str, str]:
    """Read what Linux tells of the first core, by its names; nothing on other systems."""
    try:
        text = path.read_text(encoding='utf-8')
    except OSError:
        return {}
    pairs = [line.partition(':') for line in text.split('\n\n')[0].splitlines()]
    return {name.strip(): value.strip() for name, _, value in pairs}


def processor() -> str:
    """Name the CPU."""
    return cpu_facts().get('model name') or platform.processor() or platform.machine()


def has_bfloat16(path: Path = Path('/proc/cpuinfo')) -> bool:
    """Tell whether the CPU computes in bfloat16 itself; else oneDNN does it in float32."""
    facts = cpu_facts(path)
    words = f'{facts.get("flags", "")} {facts.get("Features", "")}'.split()
    return not {'avx512_bf16', 'amx_bf16', 'bf16'}.isdisjoint(words)


@functools.cache
def machine(device: str | None = None) -> str:
    """Describe the processor, and the GPU unless a run is on the CPU."""
    text = f'{processor()}, {len(os.sched_getaffinity(0))} cores'
    if device != 'cpu' and torch.cuda.is_available():
        text += f', {torch.cuda.device_count()} x {torch.cuda.get_device_name()}'
    return text


def versions() -> dict[str, str]:
    """Give the versions of what models run on."""
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
                found[package] = version_of(distribution)
            except PackageNotFoundError:
                continue
    return found


@functools.cache
def revision(version: str) -> str:
    """Add to the version of mmattn the commit where it is a checkout."""
    checkout = Path(__file__).parents[2]
    if not (checkout / '.git').exists():
        return version
    git = ['git', '-C', str(checkout)]
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
