"""Imports that are tried in child processes, which they may end or stop for ever."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class _Probe(NamedTuple):
    """What is tried of a package: code that may set ``value``, if what it needs can be imported."""

    package: str
    needs: tuple[str, ...]
    code: str


_PROBES = (
    _Probe('numpy', (), 'import numpy'),
    _Probe('cv2', ('numpy',), 'import cv2'),
    _Probe(
        'torch',
        (),
        """
import torch
has_nccl = hasattr(getattr(torch, '_C', None), '_nccl_version')
is_available = getattr(getattr(torch, 'cuda', None), 'is_available', bool)
value = {'cuda': is_available(), 'nccl': torch.cuda.nccl.version() if has_nccl else None}
""",
    ),
    _Probe('torchvision', ('torch',), 'import torchvision; from torchvision.ops import nms'),
    _Probe('mmengine', ('cv2', 'torch'), 'import mmengine.runner'),
    _Probe('mmcv', ('mmengine',), 'import mmcv.cnn, mmcv.transforms'),
    _Probe(
        'mmcv._ext',
        ('mmcv',),
        """
import mmcv._ext, mmcv.ops
cuda = getattr(mmcv.ops, 'get_compiling_cuda_version', None)
value = cuda and cuda()
""",
    ),
    _Probe('mmdet', ('mmcv',), 'import mmdet'),
    _Probe('mmseg', ('mmcv',), 'import mmseg'),
    _Probe('mmpretrain', ('mmcv',), 'import mmpretrain'),
    _Probe('timm', ('torch',), 'import timm'),
    _Probe('panopticapi', ('numpy',), 'import panopticapi'),
    _Probe('safetensors', (), 'import safetensors'),
    _Probe('mmattn', ('mmcv',), 'import mmattn'),
)

# Seconds that a child may take longer, to start for instance.
_GRACE = 5


@dataclass(frozen=True)
class Outcome:
    """What came of an import: an error, or a value that was asked for."""

    error: str | None = None
    value: Any = None


def try_imports(is_there: Callable[[str], bool], time_limit: float) -> dict[str, Outcome]:
    """Import packages in a child process, and in another one those behind one that ended it.

    Args:
        is_there: Tells whether there is such a package.
        time_limit: Seconds that each may take.

    Returns:
        What came of each that was tried: those that are there and whose needs could be imported.
    """
    left = [probe for probe in _PROBES if is_there(probe.package.partition('.')[0])]
    outcomes: dict[str, Outcome] = {}
    failed = [probe.package for probe in _PROBES if probe not in left]
    while left:
        lines, ending = _run_child(left, failed, time_limit)
        outcomes.update({line.pop('done'): Outcome(**line) for line in lines if 'done' in line})
        last = lines[-1].get('begun') if lines else None
        if last is None:
            break
        outcomes[last] = Outcome(error=ending)
        # Each of those before it was tried, or needs what failed.
        count = 1 + [probe.package for probe in left].index(last)
        tried, left = left[:count], left[count:]
        failed += [p for p, *_ in tried if p not in outcomes or outcomes[p].error]
    return outcomes


def _run_child(
    probes: Iterable[_Probe], failed: list[str], time_limit: float
) -> tuple[list[dict[str, Any]], str]:
    """Give the lines that the child wrote, and how it ended."""
    asked = dict(path=sys.path, probes=[*probes], failed=failed, time_limit=time_limit)
    child = Path(__file__).with_name('child.py')
    # A file has an end even if something that the child has started holds it open.
    with tempfile.TemporaryFile() as report:
        process = subprocess.Popen(
            [sys.executable, child, json.dumps(asked)],
            stdin=subprocess.DEVNULL,
            stdout=report,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            status = _wait(process, report.fileno(), time_limit + _GRACE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        report.seek(0)
        return [json.loads(line) for line in report if line.endswith(b'\n')], _explain(
            status, time_limit
        )


def _wait(process: subprocess.Popen, report: int, time_limit: float) -> int:
    """Wait for the end of a child, or until it reports nothing for too long.

    It ends each import itself in time, unless a package takes its alarm away.
    """
    size, since = 0, time.monotonic()
    while time.monotonic() - since < time_limit:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(0.1)
        if (now := os.fstat(report).st_size) != size:
            size, since = now, time.monotonic()
    return -signal.SIGALRM


def _explain(status: int, time_limit: float) -> str:
    if status == -signal.SIGALRM:
        return f'its import does not end within {time_limit:g} s'
    if status < 0:
        return f'its import ends the process ({signal.strsignal(-status)})'
    return f'its import ends the process (exit status {status})'
