"""Pictures of a sweep: accuracy against what it costs, and learning curves."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mmattn.layers.packages import import_optional
from mmattn.sweep.database import Database
from mmattn.sweep.plan import slug
from mmattn.sweep.results import Entry, Results

# Okabe and Ito's colours, which colour-blind readers tell apart; the baseline is black.
COLOURS = ('#E69F00', '#56B4E9', '#009E73', '#0072B2', '#D55E00', '#CC79A7', '#F0E442')
BASELINE_COLOUR = '#000000'
# And whoever prints in grey.
MARKERS = 'osD^vP*X<>'
LINES = ('-', '--', ':', '-.')

_COSTS: tuple[tuple[str, str, float], ...] = (
    ('parameters', 'parameters (M)', 1e6),
    ('multiply_adds', 'multiply-adds (G)', 1e9),
    ('latency', 'latency of one image (ms)', 1.0),
)


class Look(NamedTuple):
    """How a variant is drawn."""

    color: str
    marker: str
    linestyle: str


def looks_of(results: Results) -> dict[str, Look]:
    """Give each variant a look, the same in all pictures.

    The colour is that of the row; the line tells where on the axes a variant is, and so does the
    marker if there is more than one place, else it is that of the row, too. Rows that share a
    colour, because there are more of them than colours, have other markers.
    """
    rows = [*dict.fromkeys(entry.row for entry in results.entries)]
    places = [*dict.fromkeys(tuple(entry.axes.items()) for entry in results.entries)]
    others = [row for row in rows if row != results.baseline]
    found = {}
    for entry in results.entries:
        colour, turn = BASELINE_COLOUR, 0
        if entry.row in others:
            turn, number = divmod(others.index(entry.row), len(COLOURS))
            colour = COLOURS[number]
        place = places.index(tuple(entry.axes.items()))
        number = place + turn * len(places) if len(places) > 1 else rows.index(entry.row)
        marker, line = MARKERS[number % len(MARKERS)], LINES[place % len(LINES)]
        found[entry.name] = Look(colour, marker, line)
    return found


def draw_costs(results: Results) -> Any:
    """Draw accuracy against parameters, multiply-adds and latency.

    A point is the mean over the seeds, its bar their standard deviation.

    Args:
        results: Of the sweep.

    Returns:
        A figure of matplotlib; None if no variant has both a result and a cost.

    Raises:
        MissingPackage: If matplotlib is not installed.
    """
    shown = [entry for entry in results.entries if entry.mean is not None]
    costs = [cost for cost in _COSTS if any(getattr(entry, cost[0]) is not None for entry in shown)]
    if not costs:
        return None
    figure = _figure((4.4 * len(costs), 4.2))
    looks = looks_of(results)
    for axes, (name, label, unit) in zip(
        figure.subplots(1, len(costs), sharey=True, squeeze=False)[0], costs, strict=True
    ):
        placed = [entry for entry in shown if getattr(entry, name) is not None]
        xs = [getattr(entry, name) / unit for entry in placed]
        for entry, x in zip(placed, xs, strict=True):
            look = looks[entry.name]
            axes.errorbar(
                x,
                entry.mean,
                yerr=entry.deviation,
                xerr=(entry.latency_spread or 0) / 2 if name == 'latency' else None,
                color=look.color,
                marker=look.marker,
                linestyle='none',
                markersize=7,
                capsize=3,
                elinewidth=1,
                label=f'{entry.name} (n = {len(entry.test)})',
            )
        axes.set_xlabel(label)
        axes.margins(x=0.12, y=0.12)
        axes.grid(alpha=0.3)
    first = figure.axes[0]
    first.set_ylabel(f'{results.metric} on the test, mean ± sd over seeds')
    _legend(figure, first)
    return figure


def draw_curves(database: Database, results: Results, name: str) -> Any:
    """Draw a scalar over the training: the mean over the seeds, and a band of their spread.

    Args:
        database: Of the sweep.
        results: Of the sweep.
        name: Name of the scalar, such as ``'loss'`` or the metric.

    Returns:
        A figure of matplotlib; None if no run has such a scalar.

    Raises:
        MissingPackage: If matplotlib is not installed.
    """
    curves: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in database.rows(
        'SELECT variant, step, value FROM scalars JOIN runs ON runs.id = scalars.run '
        'WHERE scalars.name = ? AND value IS NOT NULL ORDER BY step',
        name,
    ):
        curves[row['variant']][row['step']].append(row['value'])
    if not curves:
        return None
    figure = _figure((7.2, 4.2))
    axes = figure.subplots()
    looks = looks_of(results)
    for entry in results.entries:
        if entry.name in curves:
            _draw_curve(axes, entry, curves[entry.name], looks[entry.name])
    # Only validations are counted as the training is.
    validated = {row[0] for row in database.rows('SELECT DISTINCT name FROM metrics')}
    in_epochs = name in validated and database.fact('by_epoch') == 'True'
    axes.set_xlabel('epoch' if in_epochs else 'iteration')
    part = ' on the validation' if name in validated else ''
    axes.set_ylabel(f'{name}{part}, mean ± sd over seeds')
    axes.grid(alpha=0.3)
    _legend(figure, axes)
    return figure


def _draw_curve(axes: Any, entry: Entry, curve: dict[int, list[float]], look: Look) -> None:
    steps = sorted(curve)
    mean = np.array([np.mean(curve[step]) for step in steps])
    spread = np.array([np.std(curve[s], ddof=1) if len(curve[s]) > 1 else 0.0 for s in steps])
    axes.plot(
        steps,
        mean,
        color=look.color,
        marker=look.marker,
        linestyle=look.linestyle,
        markersize=4,
        markevery=max(1, len(steps) // 10),
        linewidth=1.3,
        label=entry.name,
    )
    axes.fill_between(
        steps, mean - spread, mean + spread, color=look.color, alpha=0.15, linewidth=0
    )


def _figure(size: tuple[float, float]) -> Any:
    figure = import_optional('matplotlib.figure', 'the picture of a sweep').Figure
    return figure(figsize=size, layout='constrained')


def _legend(figure: Any, axes: Any) -> None:
    """Name the variants below the picture, where they cover nothing."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max(map(len, labels), default=1)
    columns = max(1, min(len(labels), int(figure.get_figwidth() * 10 / (longest + 6))))
    # The picture grows by it.
    rows = math.ceil(len(labels) / columns)
    figure.set_figheight(figure.get_figheight() + 0.22 * rows)
    figure.legend(handles, labels, loc='outside lower center', ncols=columns, frameon=False)


def pictures(
    database: Database, results: Results, scalars: Sequence[str]
) -> dict[str, Callable[[], Any]]:
    """List the pictures of a sweep: what draws each, by the name of its file.

    Args:
        database: Of the sweep.
        results: Of the sweep.
        scalars: What curves are drawn of.
    """
    found: dict[str, Callable[[], Any]] = {'accuracy_cost': partial(draw_costs, results)}
    for name in scalars:
        found[f'curve_{slug(name)}'] = partial(draw_curves, database, results, name)
    return found
