"""Draw the blend factors of the study over its trainings: python docs/study/factors.py FOLDER FILE.

One panel for each row that has factors and each length; one line for each place: the mean of the
magnitudes over the seeds.
"""

import json
import sqlite3
import sys
from collections import defaultdict
from statistics import mean

from matplotlib import colormaps
from matplotlib.figure import Figure

ROWS = ['CoordAtt', 'CoordAtt fast factor', 'CoordAtt per channel', 'CoordAtt fast per channel']
PREFIX = 'blend/backbone.timm_model.blocks.'

folder, file = sys.argv[1:]
found = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
query = """
    SELECT row, axes, scalars.name, step, value FROM scalars
    JOIN runs ON runs.id = run WHERE scalars.name LIKE 'blend/%'
"""
for row, axes, name, step, value in sqlite3.connect(f'{folder}/sweep.db').execute(query):
    found[row, int(json.loads(axes)['length'])][name][step].append(abs(value))

lengths = sorted({length for row, length in found if row == 'CoordAtt fast factor'})
figure = Figure(figsize=(2.9 * len(ROWS), 2.6 * len(lengths)), layout='constrained')
panels = figure.subplots(len(lengths), len(ROWS), squeeze=False)
for across, length in zip(panels, lengths, strict=True):
    for axes, row in zip(across, ROWS, strict=True):
        places = sorted(found[row, length])
        for i, place in enumerate(places):
            steps = found[row, length][place]
            values = [mean(steps[step]) for step in sorted(steps)]
            label = place.removeprefix(PREFIX).split('.bn2')[0]
            colour = colormaps['viridis'](i / max(len(places) - 1, 1))
            axes.plot(sorted(steps), values, color=colour, label=label, linewidth=1.2)
        axes.axhline(0.0, color='black', linewidth=0.6)
        axes.set_title(row, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.set_xlabel('iteration', fontsize=8)
    across[0].set_ylabel(f'magnitude of the factor, {length} iterations', fontsize=8)
handles, labels = panels[0, 0].get_legend_handles_labels()
figure.legend(handles, labels, title='block', loc='outside right center', fontsize=8)
figure.savefig(file, dpi=90)
