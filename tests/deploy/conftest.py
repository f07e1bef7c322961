import functools

import pytest
import torch
from mmengine.registry import MODELS

from mmattn.deploy.deployment import TARGETS, deploy
from mmattn.prediction.model import load
from mmattn.testing.promises import randomize
from tests.prediction.tiny import save, tiny

pytest.importorskip('mmseg')
pytest.importorskip('mmpretrain')

# A trace of a segmentor at any size takes half a minute on a busy machine.
SEGMENTOR = pytest.param('segmentation', marks=pytest.mark.slow)
# Of no square, and of odd sides.
SIZE, OTHER = (64, 96), (97, 75)


def spread(module, *heads):
    """Give a detector norms that do something, and heads whose scores differ."""
    for child in module.modules():
        if isinstance(child, torch.nn.BatchNorm2d):
            randomize(child)
    for head in heads:
        # Larger weights would make scores equal, whose order is nobody's.
        for parameter in getattr(module, head).parameters():
            parameter.data.normal_(0, 0.05)


@pytest.fixture(scope='session')
def saved(tmp_path_factory):
    """Give the paths of a config and a checkpoint of a task, whose norms do something."""

    @functools.cache
    def give(task):
        cfg = tiny(task)
        paths = save(cfg, tmp_path_factory.mktemp(task))
        torch.manual_seed(0)
        module = MODELS.build(cfg.model)
        if task == 'detection':
            spread(module, 'bbox_head')
        elif task == 'instance':
            spread(module, 'rpn_head', 'roi_head')
        else:
            randomize(module)
        torch.save({'state_dict': module.state_dict(), 'meta': {}}, paths[1])
        return paths

    return give


@pytest.fixture(scope='session')
def model(saved):
    """Give the model of a task, which nobody changes."""
    return functools.cache(lambda task: load(*saved(task), device='cpu'))


@pytest.fixture(scope='session')
def deployed(model, tmp_path_factory):
    """Give the file that the model of a task was exported to, and the report on it."""
    files = {}

    def give(task, to, dynamic=True, **options):
        key = task, to, dynamic, *options.items()
        if key not in files:
            path = tmp_path_factory.mktemp('deployed') / f'model{TARGETS[to].ending}'
            options = dict(dict(dtype='float32', version='1.2', rounds=1), **options)
            files[key] = path, deploy(model(task), to, path, dynamic=dynamic, **options)
        return files[key]

    return give
