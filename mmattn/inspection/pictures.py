"""Pictures of what attention and fusion modules did to an image.

A gate is drawn by its shape: bars for one factor per channel, strips beside the image for one per
row or column, a map over the image for one per position. Colour-blind readers can tell the colours
apart.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage

from mmattn.datasets.names import visible
from mmattn.inspection.gates import Seen

# Calls of modules on one page, so that each stays readable.
ROWS = 8

# In inches; letters in points.
_PANEL = 2.6
_LETTER = 0.085
_SMALL, _LARGE = 8, 10
# Of numbers, relative to their size: below it they count as equal.
_LEAST = 0.002
# Of Okabe and Ito.
_BLUE, _VERMILION = '#0072B2', '#D55E00'

Kind = Literal['bars', 'rows', 'columns', 'map']


def kind_of(gate: np.ndarray) -> Kind:
    """Tell by its shape (C, H, W) how a gate is drawn."""
    _, h, w = gate.shape
    if h == w == 1:
        return 'bars'
    return 'rows' if w == 1 else 'columns' if h == 1 else 'map'


def pages(seen: Sequence[Seen], title: str) -> Iterator[Figure]:
    """Draw what modules did to one image, a row for each call and :data:`ROWS` rows on a page.

    A row has the maps before and after the module, both in one scale, and each gate.

    Args:
        seen: The calls.
        title: Name of the image.

    Yields:
        The pages.
    """
    calls = Counter(each.site for each in seen)
    count = -(-len(seen) // ROWS)
    for i in range(count):
        rows = seen[i * ROWS : (i + 1) * ROWS]
        number = f', page {i + 1} of {count}' if count > 1 else ''
        yield _page(rows, [_heading(each, calls[each.site]) for each in rows], title + number)


def _heading(seen: Seen, calls: int) -> str:
    heading = f'{seen.site}: {seen.type}'
    if calls > 1:
        heading += f', call {seen.call} of {calls}'
    if seen.maps > 1:
        heading += f', the first of {seen.maps} maps'
    return heading if seen.blend is None else f'{heading}, blend factor {seen.blend:.3g}'


def _page(rows: Sequence[Seen], headings: Sequence[str], title: str) -> Figure:
    columns = max(3, *(len(each.before) + 1 + len(_panels(each)) for each in rows))
    heights = [_height(each.after.shape) + 0.3 * _has_bars(each) for each in rows]
    image = rows[0].image
    top = 0.4 if image is None else _height(image.shape)
    # Two colour bars stand beside strips.
    has_strips = any('rows' in each.gates and 'columns' in each.gates for each in rows)
    size = (_PANEL * (columns + has_strips), top + sum(heights))
    figure = Figure(figsize=size)
    figure.set_layout_engine('constrained', wspace=0.04)
    head, *parts = figure.subfigures(
        len(rows) + 1, 1, height_ratios=[top, *heights], squeeze=False
    )[:, 0]
    _write(head, title, size[0], _LARGE)
    if image is not None:
        axes = head.subplots(1, columns, squeeze=False)[0]
        axes[0].imshow(image)
        axes[0].set_title('as the network saw it', fontsize=_SMALL)
        for ax in axes:
            ax.set_axis_off()
    for part, each, heading in zip(parts, rows, headings, strict=True):
        _write(part, heading, size[0], _SMALL)
        axes = list(part.subplots(1, columns, squeeze=False)[0])
        _draw_row(part, axes, each)
    return figure


def _height(shape: tuple[int, ...]) -> float:
    return float(np.clip(0.75 * _PANEL * shape[0] / shape[1], 1.2, 2.6)) + 0.75


def _has_bars(seen: Seen) -> bool:
    return 'bars' in map(kind_of, seen.gates.values())


def _write(part: SubFigure, text: str, width: float, size: int) -> None:
    """Write a line above a part of a page: as long as fits, in letters that the font has."""
    part.suptitle(
        _fitting(text, int(width / _LETTER * _SMALL / size)),
        x=0.01,
        ha='left',
        fontsize=size,
        weight='bold',
        parse_math=False,
    )


def _fitting(text: str, letters: int) -> str:
    text = visible(text).encode('ascii', 'backslashreplace').decode()
    if len(text) <= letters:
        return text
    half = (letters - 3) // 2
    return f'{text[:half]}...{text[-half:]}'


def _panels(seen: Seen) -> list[dict[str, np.ndarray]]:
    """Give the gates by panel: that of the rows and that of the columns share one."""
    strips = {name: gate for name, gate in seen.gates.items() if name in ('rows', 'columns')}
    panels = [strips] if strips else []
    return panels + [{name: gate} for name, gate in seen.gates.items() if name not in strips]


def _draw_row(part: SubFigure, axes: list[Axes], seen: Seen) -> None:
    count = len(seen.before) + 1
    draw_maps(part, axes[:count], seen)
    for ax, panel in zip(axes[count:], _panels(seen), strict=False):
        [name, *others] = panel
        if others or kind_of(panel[name]) in ('rows', 'columns'):
            draw_strips(part, ax, panel, seen)
        elif kind_of(panel[name]) == 'bars':
            draw_bars(ax, name, panel[name])
        else:
            draw_map(part, ax, name, panel[name], seen.image)
        sign = ' + ' if seen.averaged else ' x '
        ax.set_title(sign.join(panel), fontsize=_SMALL)
    for ax in axes[count + len(_panels(seen)) :]:
        ax.set_axis_off()


def draw_maps(part: SubFigure, axes: Sequence[Axes], seen: Seen) -> None:
    """Draw the maps before and after a module in one scale, each the mean over its channels."""
    maps = [*seen.before, seen.after]
    names = ['before', 'after'] if len(maps) == 2 else ['before: x', 'before: y', 'after']
    norm = _norm(maps)
    for ax, name, values in zip(axes, names, maps, strict=True):
        image = ax.imshow(values, norm=norm, cmap='viridis', interpolation='nearest')
        ax.set_title(name, fontsize=_SMALL)
        _without_ticks(ax)
    _add_bar(part, axes, image, f'mean of {seen.channels} channels')


def draw_bars(ax: Axes, name: str, gate: np.ndarray) -> None:
    """Draw one factor per channel (C, 1, 1) as bars, the largest first."""
    values = np.sort(gate.ravel())[::-1]
    is_weight = name.startswith('weight')
    middle = 0.5 if is_weight else values.mean()
    ax.stairs(values, baseline=0.5 if is_weight else 0, fill=True, color=_BLUE)
    label = '0.5: neither' if is_weight else f'mean {middle:.3g}'
    ax.axhline(middle, color=_VERMILION, linewidth=1, linestyle='--', label=label)
    ax.set_xlim(0, len(values))
    ax.set_ylim(min(0, values.min()), max(1, values.max()) * 1.3)
    shared = len(values) == 1
    ax.set_xlabel('all channels' if shared else f'{len(values)} channels, sorted', fontsize=_SMALL)
    ax.set_ylabel(_unit(name), fontsize=_SMALL)
    ax.tick_params(labelsize=_SMALL)
    ax.spines[['top', 'right']].set_visible(False)
    ax.legend(fontsize=_SMALL, frameon=False, loc='upper right')


def draw_strips(part: SubFigure, ax: Axes, gates: dict[str, np.ndarray], seen: Seen) -> None:
    """Draw gates of rows (C, H, 1) and columns (C, 1, W) as strips beside the image.

    Over the image is their product, or their mean where the module takes that. All are means over
    the channels. The strips have one scale, and what is over the image its own.
    """
    together = np.stack(np.broadcast_arrays(*gates.values()))
    whole = (together.mean(0) if seen.averaged else together.prod(0)).mean(0)
    means = [gate.mean(0) for gate in gates.values()]
    drawn = _draw_over(ax, whole, seen.image, _norm([whole]), 'cividis')
    left, right, bottom, top = drawn.get_extent()
    for mean in means:
        is_of_rows = mean.shape[1] == 1
        strip = ax.inset_axes((1.04, 0, 0.08, 1) if is_of_rows else (0, -0.14, 1, 0.1))
        beside = strip.imshow(
            mean,
            norm=_norm(means),
            cmap='cividis',
            interpolation='nearest',
            aspect='auto',
            extent=(0, 1, bottom, top) if is_of_rows else (left, right, 0, 1),
        )
        _without_ticks(strip)
    _add_bar(part, [ax], beside, 'strips: factor, channel mean', pad=0.06)
    if len(gates) > 1:
        _add_bar(part, [ax], drawn, f'image: {"mean" if seen.averaged else "product"}')


def draw_map(
    part: SubFigure, ax: Axes, name: str, gate: np.ndarray, image: np.ndarray | None
) -> None:
    """Draw a gate (C, H, W) of each position over the image, as the mean over its channels.

    A weight of one map against the other has two colours that meet at 0.5; factors of both signs
    have two that meet at 0.
    """
    values = gate.mean(0)
    if name.startswith('weight'):
        # Weights that differ by less say that neither has won.
        reach = max(0.05, float(np.abs(values - 0.5).max()))
        drawn = _draw_over(ax, values, image, CenteredNorm(0.5, reach), 'PuOr')
        _add_bar(part, [ax], drawn, 'weight of x; > 0.5: x won')
        return
    norm, colors = _norm([values]), 'cividis'
    if norm.vmin is not None and norm.vmax is not None and norm.vmin < 0 < norm.vmax:
        norm, colors = CenteredNorm(0, max(-norm.vmin, norm.vmax)), 'RdBu_r'
    drawn = _draw_over(ax, values, image, norm, colors)
    unit = _unit(name)
    _add_bar(part, [ax], drawn, unit if len(gate) == 1 else f'{unit}, channel mean')


def _draw_over(
    ax: Axes, values: np.ndarray, image: np.ndarray | None, norm: Normalize, colors: str
) -> AxesImage:
    if image is None:
        drawn = ax.imshow(values, norm=norm, cmap=colors, interpolation='nearest', aspect='auto')
    else:
        extent = (0, image.shape[1], image.shape[0], 0)
        ax.imshow(image.mean(2), cmap='gray', vmin=0, vmax=255, extent=extent)
        drawn = ax.imshow(
            values,
            norm=norm,
            cmap=colors,
            interpolation='nearest',
            alpha=0.65,
            extent=extent,
        )
    _without_ticks(ax)
    return drawn


def _norm(maps: Sequence[np.ndarray]) -> Normalize:
    """Give the scale of several maps, from their smallest to their largest number.

    Where these differ by less than :data:`_LEAST`, they have nearly one colour.
    """
    values = np.concatenate([values.ravel() for values in maps])
    values = values[np.isfinite(values)].astype(np.float64)
    if not values.size:
        return Normalize(0, 1)
    low, high = values.min(), values.max()
    missing = _LEAST * max(abs(low), abs(high)) - (high - low)
    return Normalize(low - max(missing, 0) / 2, high + max(missing, 0) / 2)


def _add_bar(
    part: SubFigure, axes: Sequence[Axes], drawn: AxesImage, label: str, pad: float = 0.02
) -> None:
    bar = part.colorbar(drawn, ax=list(axes), fraction=0.05, pad=pad)
    bar.set_label(label, fontsize=_SMALL)
    bar.ax.tick_params(labelsize=_SMALL)
    # An offset above the bar would be in the way of the titles.
    bar.ax.yaxis.set_major_formatter('{x:.5g}')


def _unit(name: str) -> str:
    if name.startswith('weight'):
        return 'weight of x'
    return 'share' if name.startswith(('attention', 'branch')) else 'factor'


def _without_ticks(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])


def draw_blend(factors: dict[str, list[float]]) -> Figure:
    """Draw how much of each module that started as the identity the model has taken up.

    Args:
        factors: Blend factors of each module, by :func:`mmattn.inspection.sites.blend_factors`.

    Returns:
        A bar for each module: its factor, or the mean of those of its channels and their range.
    """
    names = [_fitting(name, 90) for name in factors]
    means, least, most = (
        np.array([of(values) for values in factors.values()]) for of in (np.mean, min, max)
    )
    places = np.arange(len(names))
    figure = Figure(figsize=(10, 1.2 + 0.2 * len(names)), layout='constrained')
    ax = figure.subplots()
    bars = ax.barh(places, means, color=_BLUE, label='blend factor')
    if (least < most).any():
        ranges = [means - least, most - means]
        ax.errorbar(
            means, places, xerr=ranges, fmt='none', ecolor=_VERMILION, label='range over channels'
        )
    else:
        ax.bar_label(bars, fmt='%.3g', padding=3, fontsize=_SMALL)
    ax.axvline(0, color='black', linewidth=0.8)
    ax.set_yticks(places, labels=names, fontsize=_SMALL, parse_math=False)
    ax.set_ylim(len(names) - 0.4, -0.6)
    # Factors that are all but zero look so.
    reach = max(float(np.abs([least, most]).max()) * 1.2, 0.1)
    ax.set_xlim(-reach if least.min() < 0 else 0, reach)
    ax.set_xlabel(
        'blend factor (0: the model without the module, 1: the module as published)',
        fontsize=_SMALL,
    )
    ax.tick_params(axis='x', labelsize=_SMALL)
    ax.grid(axis='x', alpha=0.3)
    ax.spines[['top', 'right']].set_visible(False)
    ax.legend(fontsize=_SMALL, loc='best')
    return figure
