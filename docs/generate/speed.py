"""Write the tables of docs/speed.md and draw docs/speed.png, both from the runs in benchmarks/."""

import argparse
import io
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from docs.generate.module_table import fill
from docs.generate.positions import same_pixels

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'speed.md'
PICTURE = ROOT / 'docs' / 'speed.png'
# Three runs of the same bars, one after the other on the same machine.
RUNS = [ROOT / 'benchmarks' / f'bars_{number}' / 'benchmark.json' for number in (1, 2, 3)]

PEER, OURS, BAR = '#7b8794', '#2f6f9f', '#d64545'

Key = tuple[str, str, str, str]


def main() -> None:
    """Write page and picture, or with ``--check`` say that they are out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='compare, write nothing')
    args = parser.parse_args()
    bars = read()
    text = PAGE.read_text(encoding='utf-8')
    new = fill(fill(text, 'bars', bar_table(bars)), 'modules', module_table(bars))
    drawn = io.BytesIO()
    draw(bars).savefig(drawn, dpi=110)
    if not args.check:
        PAGE.write_text(new, encoding='utf-8')
        PICTURE.write_bytes(drawn.getvalue())
        print(f'picture: {PICTURE}')
    elif new != text or not PICTURE.is_file() or not same_pixels(PICTURE, drawn):
        sys.exit('error: docs/speed.md out of date; run python docs/generate/speed.py')


def read() -> dict[Key, list[dict[str, Any]]]:
    """Give what the runs say of each bar, by row, form, figure and conditions."""
    found: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for path in RUNS:
        run = json.loads(path.read_text(encoding='utf-8'))
        peers = {
            each['name']: each['candidates'][0]['name']
            for each in run['rows']
            if each['candidates']
        }
        for bar in run['bars']:
            bar['base'] = bar['base'] or peers.get(bar['row'].partition('/')[2], '')
            conditions = ', '.join(map(str, words(bar['conditions'])))
            found[bar['row'], bar['candidate'], bar['figure'], conditions].append(bar)
    return found


def words(conditions: dict[str, Any]) -> list[str]:
    """Say under which conditions a bar is measured, as far as they are not those of all."""
    shape = conditions['shape']
    said = ['x'.join(map(str, shape))] if shape else []
    usual = dict(device='cpu', dtype='float32', mode='eval')
    return said + [conditions[key] for key, value in usual.items() if conditions[key] != value]


def is_of_all_modules(key: Key) -> bool:
    """Tell whether a bar is one that all modules have."""
    row, candidate, _, conditions = key
    return (
        row.startswith('modules/')
        and candidate == 'ours'
        and conditions
        not in {
            '2x64x32x32',
            '2x64x32x32, train',
        }
    )


def bar_table(bars: dict[Key, list[dict[str, Any]]]) -> str:
    """List the bars of single rows."""
    head = ['work', 'ours', 'figure', 'beside', 'bar', 'run 1', 'run 2', 'run 3', 'holds']
    rules = ['---'] * 4 + ['--:'] * 4 + ['---']
    rows = []
    for key, runs in bars.items():
        if is_of_all_modules(key):
            continue
        row, candidate, figure, conditions = key
        name = f'{row}, {conditions}' if conditions else row
        form = candidate.removeprefix('ours').strip() or 'as built'
        measured = [number(run['measured']) for run in runs]
        verdict = word([run['holds'] for run in runs])
        rows.append(
            [name, form, figure, runs[0]['base'], number(runs[0]['limit']), *measured, verdict]
        )
    return lay_out([head, rules, *rows])


def module_table(bars: dict[Key, list[dict[str, Any]]]) -> str:
    """List what every module has to reach: the highest of the runs."""
    columns = {
        'small map': ('time', '1x64x14x14'),
        'moved, bfloat16': ('moved', '2x64x32x32, bfloat16, train'),
        'moved, float16': ('moved', '2x64x32x32, float16, train'),
        'kept, bfloat16': ('kept', '2x64x32x32, bfloat16, train'),
        'kept, float16': ('kept', '2x64x32x32, float16, train'),
    }
    head = ['module', 'beside', *columns]
    rules = ['---', '---', *['--:'] * len(columns)]
    names = list(dict.fromkeys(row for row, *_ in bars if row.startswith('modules/')))
    rows = []
    for name in names:
        cells, base = [], ''
        for figure, conditions in columns.values():
            runs = bars.get((name, 'ours', figure, conditions), [])
            values = [run['measured'] for run in runs if run['measured'] is not None]
            highest = max(values, default=None)
            base = base or next((run['base'] for run in runs), '')
            missed = any(run['holds'] is False for run in runs)
            cells.append(f'**{number(highest)}**' if missed else number(highest))
        rows.append([f'`{name.partition("/")[2]}`', base, *cells])
    return lay_out([head, rules, *rows])


def lay_out(rows: list[list[str]]) -> str:
    """Write rows of cells as a table."""
    return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def number(value: float | None) -> str:
    """Write down a ratio."""
    return 'not measured' if value is None else f'{value:.2f}'


def word(verdicts: list[bool | None]) -> str:
    """Sum up the verdicts of the runs."""
    if None in verdicts:
        return 'not measured'
    held = sum(map(bool, verdicts))
    return {len(verdicts): 'yes', 0: 'no'}.get(held, f'{held} of {len(verdicts)}')


def draw(bars: dict[Key, list[dict[str, Any]]]) -> Figure:
    """Draw the time of each form of the backbones in terms of the peer, and the bars."""
    rows: dict[str, list[tuple[str, list[float], float]]] = defaultdict(list)
    for (row, candidate, figure, conditions), runs in bars.items():
        values = [run['measured'] for run in runs if run['measured'] is not None]
        if (
            row.startswith('backbones/')
            and figure == 'time'
            and 'train' not in conditions
            and values
        ):
            title = f'{row.partition("/")[2]} beside {runs[0]["base"]}, {conditions}'
            form = candidate.removeprefix('ours ')
            rows[title].append((form, values, runs[0]['limit']))
    heights = [len(forms) + 1.4 for forms in rows.values()]
    sheet = Figure(figsize=(8.4, 0.34 * sum(heights)), layout='constrained')
    panels = sheet.subplots(len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, forms) in zip(panels, rows.items(), strict=True):
        for y, (_, values, limit) in enumerate(forms):
            axes.barh(y, float(np.median(values)), height=0.6, color=OURS)
            axes.plot(values, [y] * len(values), '.', color='black', markersize=3)
            axes.plot([limit, limit], [y - 0.4, y + 0.4], color=BAR, linewidth=2)
        axes.set_yticks(range(len(forms)), [form for form, *_ in forms], fontsize=9)
        axes.axvline(1.0, color=PEER, linewidth=1)
        axes.set_xlim(0, 1.05)
        axes.invert_yaxis()
        axes.set_title(title, fontsize=10, loc='left')
        axes.spines[['top', 'right']].set_visible(False)
    panels[-1].set_xlabel('time in terms of the peer (1.00); red: the bar; dots: the three runs')
    return sheet


if __name__ == '__main__':
    main()
