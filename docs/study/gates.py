"""Tell how far the gates of a row have left 1: python docs/study/gates.py work_dirs/study.

The row is "CoordAtt unit gates". For each of its trainings: the mean of |gate - 1| over 20 images
of the validation, by place, where the gate is the product of those of row and column and of the
factor 4 that makes it 1 at first.
"""

import sys
from collections import defaultdict
from pathlib import Path

import torch

import mmattn
from docs.study.starts import UnitGates
from mmattn.prediction.model import Model

Distances = dict[str, list[float]]


def watch(model: Model, distances: Distances) -> None:
    """Note how far the gates are from 1, at every prediction."""

    def look(name: str, module: UnitGates, x: torch.Tensor) -> None:
        gates = module.gates(x)
        gate = module.scale * gates['rows'] * gates['columns']
        distances[name].append(float((gate - 1).abs().mean()))

    for name, module in model.module.named_modules():
        if isinstance(module, UnitGates):
            module.register_forward_hook(
                lambda module, inputs, _, name=name: look(name, module, inputs[0])
            )


folder = Path(sys.argv[1])
images = sorted(Path('data/CamVid/val').glob('*.png'))[:20]
for run in sorted(folder.glob('runs/CoordAtt-unit-gates*')):
    [checkpoint] = run.glob('best_*.pth')
    model = mmattn.load(str(folder / 'configs' / f'{run.name}.py'), str(checkpoint))
    found: Distances = defaultdict(list)
    watch(model, found)
    with torch.no_grad():
        for image in images:
            model.predict(str(image))
    print(run.name, ' '.join(f'{sum(each) / len(each):.2f}' for each in found.values()))
