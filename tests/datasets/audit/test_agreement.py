"""The checker and the training agree: what passes trains, and what is a fault does not."""

import gc
import importlib
import os
import shutil

import numpy as np
import pytest

from mmattn.datasets.audit.config import plan_config
from mmattn.datasets.benchmarks import BENCHMARKS
from tests.datasets.audit.damages import Copy, damages_of
from tests.datasets.audit.drawn import KINDS
from tests.datasets.audit.trained import why_not

ROUNDS = int(os.environ.get('AGREEMENT_ROUNDS', 1))
DRAWS = 6
# A copy of a benchmark need not have all of its parts.
PARTS = ('missing list', 'missing JSON')


@pytest.fixture(scope='module', autouse=True)
def no_garbage():
    """Leave the packages out of the collections that each data set asks for."""
    for name in ('mmdet.datasets', 'mmdet.evaluation', 'mmseg.datasets', 'mmpretrain.datasets'):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def faults_of(plan):
    found = [*plan.faults, *(fault for task in plan.tasks for fault in task())]
    return [fault for fault in found if not fault.is_warning]


def loaders_drawn(cfg, rng):
    """Let other loaders than ours read, and leave images out, as configs do; tell if so."""
    changed = False
    for part in ('train', 'val'):
        dataset = cfg[f'{part}_dataloader'].dataset
        if rng.random() < 0.3:
            backend = str(rng.choice(['cv2', 'pillow']))
            dataset.pipeline[0] = dict(type='LoadImageFromFile', imdecode_backend=backend)
            changed = True
    if cfg.default_scope == 'mmdet' and rng.random() < 0.3:
        filter_cfg = dict(filter_empty_gt=True, min_size=32)
        cfg.train_dataloader.dataset.filter_cfg = filter_cfg
        changed = True
    return changed


@pytest.mark.parametrize('name', KINDS)
def test_what_passes_trains_and_what_is_a_fault_does_not(name, tmp_path):
    kind = KINDS[name]
    table = damages_of(name, kind)
    kind.draw(tmp_path / 'whole', np.random.default_rng(0))
    differing = []
    seeds = [(list(KINDS).index(name), number) for number in range(DRAWS * ROUNDS)]
    for seed in seeds:
        rng = np.random.default_rng(seed)
        root = shutil.copytree(tmp_path / 'whole', tmp_path / 'copy', symlinks=True)
        chosen = [str(one) for one in rng.choice(list(table), rng.integers(1, 3), replace=False)]
        copy = Copy(root, kind, rng)
        applied = []
        for damage in chosen:
            # The second damage may find nothing that is left to damage.
            try:
                table[damage](copy)
            except (AttributeError, LookupError, OSError, TypeError, ValueError):
                assert applied, damage
            else:
                applied.append(damage)
        cfg = kind.config(root)
        is_as_shipped = not loaders_drawn(cfg, rng)
        found = {'config': faults_of(plan_config(cfg.copy()))}
        if kind.benchmark and is_as_shipped and not set(PARTS) & set(applied):
            found['benchmark'] = faults_of(BENCHMARKS[kind.benchmark].plan(root))
        reason = why_not(cfg)
        differing += [
            f'{applied}, seed {seed}, by {form}: the training {reason or "runs"}, found {faults}'
            for form, faults in found.items()
            if bool(faults) != (reason is not None)
        ]
        shutil.rmtree(root)
    assert not differing, '\n'.join(differing)
