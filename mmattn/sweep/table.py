"""The results of a sweep as a table."""

import csv
import io
import json

from mmattn.sweep.comparison import LEVEL, MOST_SEEDS
from mmattn.sweep.results import Entry, Results


def markdown(results: Results) -> str:
    """Write the results as a table in Markdown, with what it is to be read with.

    Args:
        results: Of the sweep.
    """
    digits = _digits(results)
    sizes = {entry.size for entry in results.entries if entry.size}
    size = f' for {"x".join(map(str, sizes.pop()))}' if len(sizes) == 1 else ''
    memory = f'memory of the {results.memory_of[0]}' if len(results.memory_of) == 1 else 'memory'
    head = [
        *('row', f'{results.metric}: mean ± sd', 'n', 'difference [95 % CI]', 'p (Holm)'),
        *('against the baseline', 'more seeds', 'parameters', f'multiply-adds{size}'),
        *(f'latency{size}', memory),
    ]
    lines = [_line(head), _line(['---', *['---:'] * 4, '---', *['---:'] * 5])]
    lines += [_line(_cells(entry, results.baseline, digits)) for entry in results.entries]
    return '\n'.join([*lines, '', *_notes(results)]) + '\n'


def _line(cells: list[str]) -> str:
    return f'| {" | ".join(cell.replace("|", "&#124;") for cell in cells)} |'


def _cells(entry: Entry, baseline: str, digits: int) -> list[str]:
    spread = f' ± {entry.deviation:.{digits}f}' if entry.deviation is not None else ''
    value = f'{entry.mean:.{digits}f}{spread}' if entry.mean is not None else ''
    difference = p = more = ''
    verdict = 'baseline' if entry.row == baseline else 'no baseline to compare with'
    if (comparison := entry.comparison) is not None:
        verdict = comparison.verdict
        if comparison.difference is not None:
            difference = f'{comparison.difference:+.{digits}f}'
        if comparison.low is not None and comparison.high is not None:
            difference += f' [{comparison.low:+.{digits}f}, {comparison.high:+.{digits}f}]'
        if comparison.adjusted is not None:
            p = f'{comparison.adjusted:.3f}' if comparison.adjusted >= 0.001 else '< 0.001'
            more = _more_seeds(entry)
    return [
        *(entry.name, value, str(len(entry.test)), difference, p, verdict, more),
        '' if entry.parameters is None else f'{entry.parameters / 1e6:.3f} M',
        '' if entry.multiply_adds is None else f'{entry.multiply_adds / 1e9:.3f} G',
        '' if entry.latency is None else f'{entry.latency:.1f} ± {entry.latency_spread:.1f} ms',
        '' if entry.memory is None else f'{entry.memory:.0f} MiB',
    ]


def _more_seeds(entry: Entry) -> str:
    comparison = entry.comparison
    if comparison is None or comparison.verdict in ('higher', 'lower'):
        return ''
    if comparison.more_seeds is None:
        return f'> {MOST_SEEDS}' if comparison.difference else ''
    # An underpowered study can be so by chance.
    return str(max(1, comparison.more_seeds))


def _notes(results: Results) -> list[str]:
    """Say what the columns mean, and where they come from."""
    lines = [
        f'n seeds; {results.metric} on the test part, of the checkpoint that the validation chose; '
        'sd: standard deviation over the seeds. Difference: row - baseline over common seeds, with '
        "Student's paired t-test; p is corrected by Holm's method over the rows, and below "
        f'{LEVEL} a difference is called one. "More seeds": that a true difference as large as the '
        'observed one would need, to be found in 4 of 5 studies; it is a guess as rough as the '
        'observed difference. Latency: median of one image ± distance of the quartiles.'
    ]
    left = sum(entry.left for entry in results.entries)
    failed = sum(entry.failed for entry in results.entries)
    if left:
        lines.append(f'Runs that are not done: {left}; of these have failed: {failed}.')
    versions = [
        ', '.join(f'{name} {number}' for name, number in json.loads(text).items())
        for text in results.versions
    ]
    for what, found in (
        ('Machine', results.machines),
        ('Versions', versions),
        ('mmattn', results.revisions),
    ):
        if found:
            lines.append(f'{what}: {"; ".join(found)}.')
    return [line for text in lines for line in (text, '')][:-1]


def comma_separated(results: Results) -> str:
    """Write the results as CSV, with all digits.

    Args:
        results: Of the sweep.
    """
    axes = [*dict.fromkeys(axis for entry in results.entries for axis in entry.axes)]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(
        [
            *('row', *axes, 'metric', 'mean', 'sd', 'n', 'val_mean', 'common_seeds', 'difference'),
            *('ci_low', 'ci_high', 'p', 'p_holm', 'verdict', 'more_seeds', 'parameters'),
            *('multiply_adds', 'height', 'width', 'latency_ms', 'latency_iqr_ms', 'memory_mib'),
            *('runs_left', 'runs_failed'),
        ]
    )
    for entry in results.entries:
        c = entry.comparison
        compared = (
            [None] * 5 + ['baseline' if entry.row == results.baseline else None, None]
            if c is None
            else [c.difference, c.low, c.high, c.p, c.adjusted, c.verdict, c.more_seeds]
        )
        values = [*entry.val.values()]
        writer.writerow(
            [
                *(entry.row, *(entry.axes.get(axis) for axis in axes), results.metric),
                *(entry.mean, entry.deviation, len(entry.test)),
                *(sum(values) / len(values) if values else None, c.n if c else None),
                *compared,
                *(entry.parameters, entry.multiply_adds, *(entry.size or (None, None))),
                *(entry.latency, entry.latency_spread, entry.memory, entry.left, entry.failed),
            ]
        )
    return file.getvalue()


def _digits(results: Results) -> int:
    """Give the digits after the point: percentages have two, shares of one four."""
    means = [entry.mean for entry in results.entries if entry.mean is not None]
    return 2 if max(map(abs, means), default=0) > 1.5 else 4
