import functools

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
    return functools.cache(lambda task: save(tiny(task), tmp_path_factory.mktemp(task)))


@pytest.fixture(scope='session')
def model(saved):
    """Give the model of a task, which nobody changes."""
    return functools.cache(lambda task: load(*saved(task), device='cpu'))


@pytest.fixture
def pixels():
    """A picture of noise, 48 high and 64 wide."""
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def photo(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / 'photo.png')
    return tmp_path / 'photo.png'
