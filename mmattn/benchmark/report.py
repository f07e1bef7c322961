"""What was measured, as lines for a terminal, as data and as Markdown, and on which machine."""

import json
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from mmattn.benchmark.bars import Verdict, ratio_of
from mmattn.benchmark.cases import Conditions
from mmattn.benchmark.measure import Figures, Result
from mmattn.files.whole_file import write_whole
from mmattn.probe.machine import has_bfloat16, processor, revision, versions

COLUMNS = (
    *('candidate', 'wall', 'ratio', 'quartiles', 'cpu', 'ratio', 'moved', 'ratio'),
    *('kept', 'ratio', 'operations', 'difference'),
)


def describe_run(command: str, version: str | None = None) -> dict[str, Any]:
    """Describe what figures depend on besides their conditions.

    Args:
        command: The command line.
        version: Of mmattn.
    """
    return dict(
        command=command,
        time=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        mmattn=revision(version) if version else None,
        machine=dict(
            processor=processor(),
            has_bfloat16=has_bfloat16(),
            cores=len(os.sched_getaffinity(0)),
            threads=torch.get_num_threads(),
            load=os.getloadavg()[0],
            gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        ),
        versions=versions(),
    )


def title(result: Result) -> str:
    """Name a row and its conditions."""
    return f'{result.group}/{result.name}: {describe(result.conditions, result.shapes)}'


def describe(conditions: Conditions, shapes: list[tuple[int, ...]]) -> str:
    """Write conditions in words.

    Args:
        conditions: The conditions.
        shapes: Shapes of the inputs, if they are known.
    """
    shape = shapes[0] if shapes else conditions.shape
    words = ['x'.join(map(str, shape))] if shape else []
    words += [conditions.device, conditions.dtype, conditions.layout, conditions.mode]
    return ', '.join([*words, 'compiled'] if conditions.compiled else words)


def cells(figures: Figures, first: Figures) -> list[str]:
    """Write the figures of a candidate, a cell for each of :data:`COLUMNS`.

    Args:
        figures: The figures.
        first: Those of the first candidate.
    """
    found = [figures.name]
    timed = figures.timed
    if timed is None:
        found += [''] * 5
    else:
        found += [_milliseconds(timed.wall), f'{timed.wall_ratio:.2f}']
        found += [f'{timed.lower:.2f}-{timed.upper:.2f}']
        found += [_milliseconds(timed.cpu), f'{timed.cpu_ratio:.2f}']
    moved, first_moved = (each.traffic and each.traffic.moved for each in (figures, first))
    found += [*_counted(moved, first_moved), *_counted(figures.kept, first.kept)]
    found.append(str(figures.traffic.operations) if figures.traffic else '')
    found.append('' if figures.difference is None else f'{figures.difference:.1g}')
    return found


def _milliseconds(seconds: float) -> str:
    return f'{seconds * 1000:.3f} ms'


def _counted(own: int | None, other: int | None) -> list[str]:
    if own is None:
        return ['', '']
    return [f'{own / 1e6:.3f} MB', '' if other is None else f'{ratio_of(own, other):.2f}']


def lines_of(result: Result) -> Iterator[str]:
    """Lay out a row for a terminal."""
    yield title(result)
    rows = [list(COLUMNS), *(cells(each, result.figures[0]) for each in result.figures)]
    # A column without figures, such as time where it is only counted, is left out.
    kept = [i for i in range(len(COLUMNS)) if any(row[i] for row in rows[1:])]
    widths = {i: max(len(row[i]) for row in rows) for i in kept}
    for row in rows if result.figures else []:
        name, *others = [
            row[i].ljust(widths[i]) if i == 0 else row[i].rjust(widths[i]) for i in kept
        ]
        yield '  ' + '  '.join([name, *others]).rstrip()
    for remark in result.remarks:
        yield f'  {remark}'


def line_of(verdict: Verdict) -> str:
    """Write down whether a bar holds."""
    bar = verdict.bar
    what = f'{verdict.row}, {bar.candidate}, {bar.figure}'
    if bar.base:
        what += f' against {bar.base}'
    what += f' ({describe(bar.conditions, [])})'
    if verdict.measured is None:
        return f'{what}: <= {bar.limit:.2f} was not measured: {verdict.note}'
    word = 'holds' if verdict.holds else 'DOES NOT HOLD'
    return f'{what}: {verdict.measured:.2f} <= {bar.limit:.2f} {word} ({verdict.note})'


class Report:
    """All that was measured in a run, kept on the disk as soon as it is there.

    Args:
        command: The command line.
        folder: Folder for ``benchmark.json`` and ``benchmark.md``; None for none.
        version: Of mmattn.
    """

    def __init__(
        self, command: str, folder: Path | None = None, version: str | None = None
    ) -> None:
        self.run = describe_run(command, version)
        self.folder = folder
        self.results: list[Result] = []
        self.verdicts: list[Verdict] = []
        self._write()

    def add(self, result: Result) -> None:
        """Add a row."""
        self.results.append(result)
        self._write()

    def add_verdict(self, verdict: Verdict) -> None:
        """Add whether a bar holds."""
        self.verdicts.append(verdict)
        self._write()

    def _write(self) -> None:
        if self.folder is None:
            return
        for name, text in (
            ('benchmark.json', self.as_json()),
            ('benchmark.md', self.as_markdown()),
        ):
            _write_text(self.folder / name, text)

    def as_json(self) -> str:
        """Give everything as JSON."""
        data = dict(
            **self.run,
            rows=[_data_of(result) for result in self.results],
            bars=[_data_of_verdict(verdict) for verdict in self.verdicts],
        )
        return json.dumps(data, indent=2) + '\n'

    def as_markdown(self) -> str:
        """Give everything as Markdown."""
        machine, versions = self.run['machine'], self.run['versions']
        lines = [
            f'`{self.run["command"]}`',
            '',
            f'- {self.run["time"]}, mmattn {self.run["mmattn"] or "of an unknown version"}',
            f'- {machine["processor"]}, {machine["cores"]} cores, {machine["threads"]} threads, '
            f'bfloat16 {"in hardware" if machine["has_bfloat16"] else "in software"}, '
            f'load {machine["load"]:.1f}, GPU: {machine["gpu"] or "none"}',
            f'- {", ".join(f"{name} {number}" for name, number in versions.items())}',
        ]
        for result in self.results:
            lines += ['', f'## {title(result)}', '']
            if result.figures:
                rows = [cells(each, result.figures[0]) for each in result.figures]
                ruler = ['---', *['--:'] * (len(COLUMNS) - 1)]
                lines += [f'| {" | ".join(row)} |' for row in [list(COLUMNS), ruler, *rows]]
            lines += ['', *(f'- {remark}' for remark in result.remarks)] if result.remarks else []
        if self.verdicts:
            lines += ['', '## Bars', '', *(f'- {line_of(verdict)}' for verdict in self.verdicts)]
        return '\n'.join(lines) + '\n'


def _write_text(path: Path, text: str) -> None:
    remedy = 'measure again'
    write_whole(path, lambda partial: partial.write_text(text, encoding='utf-8'), remedy=remedy)


def _data_of(result: Result) -> dict[str, Any]:
    return dict(
        group=result.group,
        name=result.name,
        conditions={**vars(result.conditions), 'shape': result.conditions.shape},
        shapes=[list(shape) for shape in result.shapes],
        candidates=[_data_of_figures(each, result.figures[0]) for each in result.figures],
        remarks=result.remarks,
        failed=result.failed,
    )


def _data_of_figures(figures: Figures, first: Figures) -> dict[str, Any]:
    traffic = figures.traffic
    data: dict[str, Any] = dict(
        name=figures.name,
        timed=figures.timed and figures.timed._asdict(),
        traffic=traffic and dict(**traffic._asdict(), moved=traffic.moved),
        kept=figures.kept,
        difference=figures.difference,
    )
    if traffic and first.traffic:
        data['moved_ratio'] = ratio_of(traffic.moved, first.traffic.moved)
    if figures.kept is not None and first.kept is not None:
        data['kept_ratio'] = ratio_of(figures.kept, first.kept)
    return data


def _data_of_verdict(verdict: Verdict) -> dict[str, Any]:
    bar = verdict.bar
    return dict(
        row=verdict.row,
        candidate=bar.candidate,
        base=bar.base,
        figure=bar.figure,
        conditions=vars(bar.conditions),
        limit=bar.limit,
        measured=verdict.measured,
        holds=verdict.holds,
        note=verdict.note,
    )
