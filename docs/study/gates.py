"""Tell how far the gates of a row have left 1: python docs/study/gates.py work_dirs/study.

The row is "CoordAtt unit gates". For each of its trainings: the mean of |gate - 1| over 20 images
of the validation, by place, where the gate is the product of those of row and column and of the
factor 4 that makes it 1 at first.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

import mmattn
from docs.study.starts import CoordAttUnitGates
from mmattn.inspection.gates import look
from mmattn.inspection.sites import attention_sites

folder = Path(sys.argv[1])
images = sorted(Path('data/CamVid/val').glob('*.png'))[:20]
for run in sorted(folder.glob('runs/CoordAtt-unit-gates*')):
    [checkpoint] = run.glob('best_*.pth')
    model = mmattn.load(str(folder / 'configs' / f'{run.name}.py'), str(checkpoint))
    sites = attention_sites(model.module)
    distances = defaultdict(list)
    for image in images:
        for seen in look(model, model.read(image), sites):
            gate = CoordAttUnitGates.scale * seen.gates['rows'] * seen.gates['columns']
            distances[seen.site].append(np.abs(gate - 1).mean())
    print(run.name, ' '.join(f'{np.mean(each):.2f}' for each in distances.values()))
