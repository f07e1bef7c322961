"""What a model costs, as tables for a terminal, Markdown, CSV and JSON."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mmattn.engine.cluster import Training
from mmattn.probe.complexity import Complexity, Part
from mmattn.probe.latency import Latency


class Timing(NamedTuple):
    """How long a prediction took, and of what and how."""

    batch_size: int
    device: str
    amp: bool
    channels_last: bool
    latency: Latency

    @property
    def title(self) -> str:
        """What was measured."""
        words = [f'batch of {self.batch_size}', self.device]
        words += ['AMP'] if self.amp else []
        words += ['channels-last'] if self.channels_last else []
        return ', '.join(words)


@dataclass(frozen=True)
class Model:
    """What one model costs.

    Args:
        name: Its config, or what it is to the first model.
        counts: What was counted.
        timings: What was measured.
        measured_peak: Bytes of a training step at the peak, on a GPU.
    """

    name: str
    counts: Complexity
    timings: list[Timing]
    measured_peak: int | None


@dataclass(frozen=True)
class Report:
    """What a command says.

    Args:
        shape: Shape (C, H, W) of an image.
        batch_size: Images of a training step.
        models: The model, and the one beside it if there is one.
        training: What training the first one on several GPUs needs.
        depth: Names that a row for a part consists of; 0 for no such rows.
    """

    shape: tuple[int, int, int]
    batch_size: int
    models: list[Model]
    training: Training | None
    depth: int


class _Sheet(NamedTuple):
    """A table of words, of which the first column is what the others are about."""

    title: str
    columns: list[str]
    rows: list[list[str]]


# Of a part: what it is called, its unit, and which count it is missing without.
_QUANTITIES = {
    'parameters': ('parameters', '', None),
    'multiply_adds': ('multiply-adds', '', 'prediction'),
    'operations': ('other operations', '', 'prediction'),
    'activations': ('activations', '', 'prediction'),
    'kept': ('kept for backward', 'B', 'training'),
}

_NOT_COUNTED = 'not counted'


def _sheets(report: Report) -> Iterator[_Sheet]:
    yield _totals(report)
    if report.depth:
        yield _parts(report)
    if report.training:
        yield _training(report.training)


def _totals(report: Report) -> _Sheet:
    rows = []
    batch = f', batch of {report.batch_size}'
    for key, (title, unit, needed) in _QUANTITIES.items():
        values = [
            None if needed in m.counts.uncounted else getattr(m.counts.total, key)
            for m in report.models
        ]
        rows.append(_compared(title + (batch if needed == 'training' else ''), values, unit))
    peaks = [None if 'training' in m.counts.uncounted else m.counts.peak for m in report.models]
    rows.append(_compared(f'peak of training{batch}', peaks, 'B'))
    if report.models[0].measured_peak is not None:
        measured = [model.measured_peak for model in report.models]
        rows.append(_compared(f'the same, measured{batch}', measured, 'B'))
    for timings in zip(*(model.timings for model in report.models), strict=True):
        cells = [_milliseconds(timing.latency) for timing in timings]
        medians = [timing.latency.median for timing in timings]
        if len(medians) == 2:
            difference = (medians[0] - medians[1]) * 1000
            cells.append(f'{difference:+.2f} ms{_percent(*medians)}')
        rows.append([f'latency, {timings[0].title}', *cells])
    kinds = [
        ', '.join(f'{count} {kind}' for kind, count in sorted(m.counts.attention.items()))
        for m in report.models
    ]
    rows.append(
        ['attention modules', *(words or 'none' for words in kinds), *([''] if kinds[1:] else [])]
    )
    names = [
        Path(model.name).stem if '.py' in model.name else model.name for model in report.models
    ]
    columns = ['', *names, *(['difference'] if names[1:] else [])]
    size = ' x '.join(map(str, report.shape))
    return _Sheet(f'One image of {size}', columns, rows)


def _compared(title: str, values: list[int | None], unit: str) -> list[str]:
    row = [title, *(_NOT_COUNTED if value is None else _scaled(value, unit) for value in values)]
    if len(values) == 2:
        first, second = values
        if first is None or second is None:
            row.append('')
        else:
            row.append(_signed(first - second, unit) + _percent(first, second))
    return row


def _parts(report: Report) -> _Sheet:
    own, *others = [model.counts.parts(report.depth) for model in report.models]
    other = others[0] if others else None
    names = [*own, *(name for name in other or () if name not in own)]
    rows = []
    for name in names:
        part = own.get(name, Part())
        row = [name or '(the model itself)']
        for key, (_, unit, _) in _QUANTITIES.items():
            value = getattr(part, key)
            cell = _scaled(value, unit)
            difference = value - getattr(other.get(name, Part()), key) if other is not None else 0
            row.append(f'{cell} ({_signed(difference, unit)})' if difference else cell)
        rows.append(row)
    title = 'Parts, which together are the model'
    if other is not None:
        title += f'; in brackets: more than {Path(report.models[1].name).stem}'
    return _Sheet(title, ['part', *(title for title, _, _ in _QUANTITIES.values())], rows)


def _training(training: Training) -> _Sheet:
    """Lay out what a rank needs, one column for each way to train."""
    names = list(training.plans)
    plans = list(training.plans.values())
    titles = {
        'parameters': 'parameters',
        'buffers': 'buffers',
        'gradients': 'gradients',
        'copies': 'buckets or gathered units',
        'optimizer': 'optimizer state',
    }
    rows = [
        [title, *(_scaled(getattr(plan.memory, key), 'B') for plan in plans)]
        for key, title in titles.items()
    ]
    maps = training.maps
    if maps is not None:
        needed = maps.step + training.batch_size * maps.image
        title = f'maps at the peak, batch of {training.batch_size}'
        rows.append([title, *[_scaled(needed, 'B')] * len(plans)])
        rows.append(['together', *(_scaled(sum(plan.memory) + needed, 'B') for plan in plans)])
    if training.memory is not None and maps is not None:
        title = f'largest batch in {_scaled(int(training.memory), "B")}'
        rows.append([title, *(str(training.largest_batch(name)) for name in names)])
    rows.append(['sent in a step', *(_scaled(plan.traffic, 'B') for plan in plans)])
    if training.bandwidth is not None:
        seconds = [plan.traffic / training.bandwidth for plan in plans]
        rows.append(['time to send it (estimate)', *(f'{1000 * s:.1f} ms' for s in seconds)])
    if training.steps is not None:
        rows.append(['steps of the training', *[f'{training.steps:,}'] * len(plans)])
    if training.step_time is not None and training.steps is not None:
        rows.append(
            ['whole training (estimate)', *(_span(*(training.seconds(n) or ())) for n in names)]
        )
    return _Sheet(f'A rank of {training.gpus}', ['', *names], rows)


_MISSING = {
    'prediction': 'what it computes is',
    'training': 'what its training keeps and its peak are',
}


def _notes(report: Report) -> Iterator[str]:
    """Give what tables cannot say, one sentence each."""
    for model in report.models:
        for what, reason in model.counts.uncounted.items():
            yield f'{model.name}: {_MISSING[what]} not counted ({reason})'
        for name in model.counts.idle:
            yield f'{model.name}: the attention {name} never runs in a prediction'
    if report.training:
        yield from report.training.remarks
        yield f'to queue it: {report.training.line}'


def _scaled(value: float, unit: str = '') -> str:
    for scale, prefix in ((1e12, 'T'), (1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
        if abs(value) >= scale:
            return f'{value / scale:.2f} {prefix}{unit}'
    return f'{value} {unit}'.rstrip()


def _signed(value: int, unit: str) -> str:
    return f'+{_scaled(value, unit)}' if value > 0 else _scaled(value, unit)


def _percent(first: float, second: float) -> str:
    return f' ({100 * (first - second) / second:+.1f} %)' if second and first != second else ''


def _milliseconds(latency: Latency) -> str:
    median, lower, upper = (f'{1000 * value:.2f}' for value in latency)
    return f'{median} ms ({lower} to {upper})'


def _span(low: float, high: float) -> str:
    days = [f'{seconds / 86400:.2f}' for seconds in (low, high)]
    return f'{days[0]} days' if days[0] == days[1] else f'{days[0]} to {days[1]} days'


def _as_table(report: Report) -> str:
    from rich.console import Console
    from rich.table import Table

    text = io.StringIO()
    # A file or a pipe takes lines of any length.
    width = None if sys.stdout.isatty() else 160
    console = Console(file=text, width=width, markup=False, color_system=None)
    for sheet in _sheets(report):
        table = Table(title=sheet.title, title_justify='left')
        for i, column in enumerate(sheet.columns):
            table.add_column(column, justify='right' if i else 'left')
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)
    lines = [line.rstrip() for line in text.getvalue().rstrip().splitlines()]
    return '\n'.join([*lines, *_notes(report)])


def _as_markdown(report: Report) -> str:
    blocks = []
    for sheet in _sheets(report):
        lines = [sheet.columns, ['---', *['--:'] * (len(sheet.columns) - 1)], *sheet.rows]
        table = '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)
        blocks.append(f'{sheet.title}:\n\n{table}')
    notes = '\n'.join(f'- {note}' for note in _notes(report))
    return '\n\n'.join([*blocks, notes] if notes else blocks) + '\n'


def _as_csv(report: Report) -> str:
    """Write one line for a number: of which model and part, what, and how much."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['model', 'part', 'quantity', 'value'])
    for entry in _as_data(report)['models']:
        parts = entry.pop('parts')
        for part, values in {'': entry, **parts}.items():
            for quantity, value in _flat(values):
                if quantity != 'config':
                    writer.writerow([entry['config'], part, quantity, value])
    training = _as_data(report)['training']
    for quantity, value in _flat(training or {}):
        writer.writerow([report.models[0].name, '', f'training.{quantity}', value])
    return text.getvalue()


def _flat(values: dict, prefix: str = '') -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{prefix}{name}.')
        elif isinstance(value, list):
            yield from _flat({str(i): item for i, item in enumerate(value)}, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', value


def _as_json(report: Report) -> str:
    return json.dumps(_as_data(report), indent=2) + '\n'


def _as_data(report: Report) -> dict[str, Any]:
    return dict(
        shape=list(report.shape),
        batch_size=report.batch_size,
        models=[_data_of(model, report.depth) for model in report.models],
        training=_data_of_training(report.training) if report.training else None,
    )


def _data_of(model: Model, depth: int) -> dict[str, Any]:
    counts = model.counts
    parts = counts.parts(depth) if depth else {}
    is_trained = 'training' not in counts.uncounted
    return dict(
        config=model.name,
        **_values(counts.total, counts),
        peak=counts.peak if is_trained else None,
        measured_peak=model.measured_peak,
        attention=dict(counts.attention),
        latency=[
            {**timing._asdict(), 'latency': timing.latency._asdict()} for timing in model.timings
        ],
        parts={name: _values(part, counts) for name, part in parts.items()},
    )


def _values(part: Part, counts: Complexity) -> dict[str, int | None]:
    return {
        key: None if needed in counts.uncounted else getattr(part, key)
        for key, (_, _, needed) in _QUANTITIES.items()
    }


def _data_of_training(training: Training) -> dict[str, Any]:
    return dict(
        gpus=training.gpus,
        batch_size=training.batch_size,
        steps=training.steps,
        maps=training.maps and training.maps._asdict(),
        plans={
            name: dict(
                **plan.memory._asdict(),
                traffic=plan.traffic,
                largest_batch=training.largest_batch(name),
                seconds=training.seconds(name),
            )
            for name, plan in training.plans.items()
        },
        remarks=training.remarks,
        line=training.line,
    )


FORMATS: dict[str, Callable[[Report], str]] = {
    'table': _as_table,
    'markdown': _as_markdown,
    'csv': _as_csv,
    'json': _as_json,
}
