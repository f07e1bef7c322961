import numpy as np
import pytest
from PIL import Image

from mmattn.datasets.cifar import SUPERCLASSES, read_split
from mmattn.datasets.synthetic.tiny_cifar100 import LABELS, make_tiny_cifar100
from mmattn.errors import InputError

# Class and superclass of what is drawn, as the benchmark calls them.
NAMES = {
    'airplane': ('rocket', 'vehicles_2'),
    'boat': ('sea', 'large_natural_outdoor_scenes'),
    'bottle': ('bottle', 'food_containers'),
    'car': ('pickup_truck', 'vehicles_1'),
    'person': ('man', 'people'),
    'plant': ('sunflower', 'flowers'),
}


def read(root, split='train'):
    return read_split(root / 'cifar-100-python' / split)


def test_more_images_leave_the_first_ones(tmp_path):
    make_tiny_cifar100(tmp_path / 'few', train=2, val=1)
    make_tiny_cifar100(tmp_path / 'many', train=7, val=3)
    few, labels = read(tmp_path / 'few')
    many, more = read(tmp_path / 'many')
    assert np.array_equal(few, many[:2]) and labels == more[:2] and len(more) == 7


def test_each_seed_split_and_index_has_its_own_image(tmp_path):
    found = set()
    for seed in (0, 1):
        make_tiny_cifar100(tmp_path / str(seed), train=2, val=2, seed=seed)
        for split in ('train', 'test'):
            found |= {image.tobytes() for image in read(tmp_path / str(seed), split)[0]}
    assert len(found) == 8


def test_the_labels_are_those_of_the_benchmark(tmp_path):
    categories = pytest.importorskip('mmpretrain.datasets.categories').CIFAR100_CATEGORIES
    for name, (fine, coarse) in LABELS.items():
        assert (categories[fine], SUPERCLASSES[coarse]) == NAMES[name]
    make_tiny_cifar100(tmp_path / 'data', train=6)
    assert sorted(read(tmp_path / 'data')[1]) == sorted(coarse for _, coarse in LABELS.values())


def test_writes_all_or_nothing(tmp_path, monkeypatch):
    def fail(*args, **options):
        raise OSError(28, 'No space left')

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, 'resize', fail)
        with pytest.raises(InputError, match=r'^cannot write a data set to .* No space left'):
            make_tiny_cifar100(tmp_path / 'new', train=1, val=1)
    assert not list(tmp_path.iterdir())
    make_tiny_cifar100(tmp_path / 'new', train=1, val=1)
    with pytest.raises(InputError, match='new is not empty; give a new or empty folder'):
        make_tiny_cifar100(tmp_path / 'new', train=1, val=1)
