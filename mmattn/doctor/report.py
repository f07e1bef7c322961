"""All checks, and what they found as a table or for programs."""

import itertools
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import get_args

from mmattn.doctor.environment import Environment
from mmattn.doctor.installers import check_mim, check_setuptools
from mmattn.doctor.machine import check_cores, check_disk, check_memory, check_shared_memory
from mmattn.doctor.mmattn_itself import check_configs, check_mmattn, check_python
from mmattn.doctor.numerics import check_numpy, check_opencv
from mmattn.doctor.openmmlab import check_openmmlab
from mmattn.doctor.optional import check_optional
from mmattn.doctor.row import Row, State
from mmattn.doctor.torch_builds import check_gpu, check_nccl, check_torch, check_torchvision

_CHECKS: tuple[Callable[[Environment], Row | Iterable[Row]], ...] = (
    check_python,
    check_mmattn,
    check_configs,
    check_numpy,
    check_opencv,
    check_torch,
    check_torchvision,
    check_gpu,
    check_nccl,
    check_openmmlab,
    check_setuptools,
    check_mim,
    check_optional,
    check_cores,
    check_memory,
    check_shared_memory,
    check_disk,
)


def examine(time_limit: float) -> list[Row]:
    """Make all checks.

    Args:
        time_limit: Seconds that one import may take in a child process.
    """
    env, rows = Environment(time_limit), []
    for check in _CHECKS:
        try:
            found = check(env)
            rows += [found] if isinstance(found, Row) else list(found)
        except Exception as error:
            # The others are to be told whatever is odd about this one.
            name = check.__name__.removeprefix('check_')
            rows.append(Row(name, 'not known', remark=f'{type(error).__name__}: {error}'))
    return rows


def is_broken(rows: Iterable[Row]) -> bool:
    """Tell whether something that is installed cannot be used."""
    return any(row.state == 'broken' for row in rows)


def as_json(rows: list[Row]) -> str:
    """Write rows for programs: every row has all keys, null where nothing is known."""
    return json.dumps({'broken': is_broken(rows), 'rows': [asdict(row) for row in rows]}, indent=2)


def as_table(rows: list[Row]) -> str:
    """Write rows for the screen; below a row stand what is wrong, and a command to be pasted."""
    width = min(120, max(80, shutil.get_terminal_size((100, 24)).columns))
    cells = [(row.name, row.state, row.version or '', _shorten(row.where or '')) for row in rows]
    columns = [max(map(len, column)) for column in zip(*cells, strict=True)]
    columns[2] = min(columns[2], (width - columns[0] - columns[1]) // 2)
    columns[3] = width - sum(columns[:3]) - 2 * len(columns)
    lines = []
    for row, row_cells in zip(rows, cells, strict=True):
        wrapped = [_wrap(cell, size) for cell, size in zip(row_cells, columns, strict=True)]
        for parts in itertools.zip_longest(*wrapped, fillvalue=''):
            padded = (part.ljust(size) for part, size in zip(parts, columns, strict=True))
            lines.append('  '.join(padded).rstrip())
        lines += [f'    {line}' for line in textwrap.wrap(row.remark or '', width - 4)]
        # Whole, so that it can be pasted.
        lines += [f'    {row.remedy}'] if row.remedy else []
    return '\n'.join([*lines, '', _summary(rows)])


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(1, width), break_on_hyphens=False) or ['']


def _shorten(where: str) -> str:
    """Leave the folder of this Python out, which stands in the row of Python."""
    return where.removeprefix(f'{sys.prefix}/')


def _summary(rows: Iterable[Row]) -> str:
    names = {state: [row.name for row in rows if row.state == state] for state in get_args(State)}
    parts = [
        f'{state}: {", ".join(names[state])}'
        for state in get_args(State)
        if names[state] and state != 'fine'
    ]
    return '; '.join(parts) or 'All is fine.'
