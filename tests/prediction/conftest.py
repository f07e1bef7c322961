import numpy as np
import pytest
from PIL import Image

from mmattn.prediction.model import load
from tests.prediction.tiny import save, tiny

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
pytest.importorskip('mmpretrain')


@pytest.fixture(scope='session')
def saved(tmp_path_factory):
    """Give the paths of a config and a checkpoint of a task, written once."""
    paths = {}

    def give(task):
        if task not in paths:
            paths[task] = save(tiny(task), tmp_path_factory.mktemp(task))
        return paths[task]

    return give


@pytest.fixture(scope='session')
def model(saved):
    """Give the model of a task, which nobody changes."""
    models = {}

    def give(task):
        if task not in models:
            models[task] = load(*saved(task), device='cpu')
        return models[task]

    return give


@pytest.fixture
def pixels():
    """A picture of noise, 48 high and 64 wide."""
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def photo(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / 'photo.png')
    return tmp_path / 'photo.png'
