"""The results of a sweep: one entry for each variant."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from mmattn.sweep.comparison import Comparison, compare
from mmattn.sweep.database import Database


@dataclass
class Entry:
    """What is known of one variant."""

    row: str
    axes: dict[str, str]
    test: dict[int, float] = field(default_factory=dict)
    """The metric that counts on the test, by seed."""

    val: dict[int, float] = field(default_factory=dict)
    left: int = 0
    """Runs that are not done."""

    failed: int = 0
    memory: float | None = None
    """MiB: the highest of its runs."""

    parameters: int | None = None
    multiply_adds: int | None = None
    size: tuple[int, int] | None = None
    latency: float | None = None
    latency_spread: float | None = None
    """ms."""

    comparison: Comparison | None = None
    """None for the baseline."""

    @property
    def name(self) -> str:
        """Name of the variant."""
        return ', '.join([self.row, *(f'{k}={v}' for k, v in self.axes.items())])

    @property
    def mean(self) -> float | None:
        """Mean of the metric over the seeds."""
        return float(np.mean([*self.test.values()])) if self.test else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the metric over the seeds, of the sample; None of one seed."""
        return float(np.std([*self.test.values()], ddof=1)) if len(self.test) > 1 else None


@dataclass
class Results:
    """What a sweep has given."""

    metric: str
    baseline: str
    entries: list[Entry]
    machines: list[str]
    versions: list[str]
    revisions: list[str]
    memory_of: list[str]
    base: str


def read_results(database: Database) -> Results:
    """Read the results of a sweep, and compare each variant with the baseline beside it.

    Rows at the same place of all axes are one family for the correction of their p values.

    Args:
        database: Of the sweep.
    """
    metric, baseline = database.fact('metric'), database.fact('baseline')
    entries: dict[str, Entry] = {}
    by_id = {}
    for record in database.runs():
        entry = entries.setdefault(record.variant, Entry(record.row, record.axes))
        by_id[record.id] = entry, record.seed
        entry.left += record.state != 'done'
        entry.failed += record.state == 'failed'
    for row in database.rows('SELECT * FROM metrics WHERE name = ?', metric):
        entry, seed = by_id[row['run']]
        if row['value'] is not None:
            (entry.test if row['part'] == 'test' else entry.val)[seed] = row['value']
    for row in database.rows("SELECT id, memory FROM runs WHERE state = 'done'"):
        entry, _ = by_id[row['id']]
        entry.memory = max(entry.memory or 0.0, row['memory'])
    for row in database.rows('SELECT * FROM costs WHERE error IS NULL'):
        if row['variant'] in entries:
            entry = entries[row['variant']]
            entry.parameters, entry.multiply_adds = row['parameters'], row['multiply_adds']
            entry.size = row['height'], row['width']
            entry.latency, entry.latency_spread = row['latency'], row['latency_spread']
    _compare([*entries.values()], baseline)
    kept = {
        name: [
            row[0]
            for row in database.rows(
                f"SELECT DISTINCT {name} FROM runs WHERE state = 'done' ORDER BY {name}"
            )
        ]
        for name in ('machine', 'versions', 'revision', 'memory_of')
    }
    return Results(
        metric,
        baseline,
        [*entries.values()],
        kept['machine'],
        kept['versions'],
        kept['revision'],
        kept['memory_of'],
        database.fact('base'),
    )


def _compare(entries: list[Entry], baseline: str) -> None:
    families = defaultdict(list)
    for entry in entries:
        families[tuple(entry.axes.items())].append(entry)
    for family in families.values():
        reference = next((entry for entry in family if entry.row == baseline), None)
        others = {entry.name: entry for entry in family if entry is not reference}
        if reference is not None:
            found = compare({name: e.test for name, e in others.items()}, reference.test)
            for name, comparison in found.items():
                others[name].comparison = comparison
