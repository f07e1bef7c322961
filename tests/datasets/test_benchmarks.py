"""What all generators promise alike."""

from pathlib import Path

import pytest
from PIL import Image

from mmattn.datasets.audit import run as audit
from mmattn.datasets.benchmarks import BENCHMARKS, DATA_ROOTS, GENERATORS
from mmattn.errors import InputError
from tests import forked

TOOL = Path(__file__).parents[2] / 'tools' / 'make_tiny_dataset.py'
KINDS = ['ade20k', 'cityscapes', 'coco', 'imagenet', 'voc']
IMAGES = ('.jpg', '.JPEG', '_leftImg8bit.png')


def make(kind, out, **options):
    BENCHMARKS[kind](out, **{'size': (32, 48), **options})


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def images(folder):
    return {p: content for p, content in contents(folder).items() if p.name.endswith(IMAGES)}


@pytest.mark.parametrize('kind', KINDS)
def test_same_arguments_same_bytes(kind, tmp_path):
    for name in ('once', 'again'):
        make(kind, tmp_path / name, train=3, val=2, seed=7)
    assert contents(tmp_path / 'once') == contents(tmp_path / 'again')


@pytest.mark.parametrize('kind', KINDS)
def test_more_images_leave_the_first_ones(kind, tmp_path):
    make(kind, tmp_path / 'few', train=1, val=3)
    make(kind, tmp_path / 'many', train=3, val=4)
    few = {p: c for p, c in contents(tmp_path / 'few').items() if p.suffix not in ('.json', '.txt')}
    assert few.items() < contents(tmp_path / 'many').items()


@pytest.mark.parametrize('kind', KINDS)
def test_each_seed_split_and_index_has_its_own_image(kind, tmp_path):
    for seed in (0, 1):
        make(kind, tmp_path / str(seed), train=2, val=2, seed=seed)
    found = images(tmp_path)
    # Pascal VOC has two years, of which one has a test split and one has more to train on.
    assert len(found) == len(set(found.values())) == (24 if kind == 'voc' else 8)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(train=0), 'train must be at least 1, got 0'),
        (dict(val=0), 'val must be at least 1, got 0'),
        (dict(seed=-1), 'seed must be at least 0, got -1'),
        (dict(size=(31, 48)), 'height must be at least 32, got 31'),
    ],
    ids=['train', 'val', 'seed', 'size'],
)
def test_refuses_a_number_that_is_too_small(kind, options, message, tmp_path):
    with pytest.raises(InputError, match=f'^{message}$'):
        make(kind, tmp_path / 'out', **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('size', [(32, 32), (32, 160), (160, 32)], ids=str)
def test_any_size(kind, size, tmp_path):
    make(kind, tmp_path / 'out', train=12, val=1, size=size)
    if kind in audit.KINDS:
        assert audit.inspect_dataset(kind, tmp_path / 'out', workers=1).faults == []
    for path in images(tmp_path):
        with Image.open(tmp_path / path) as image:
            for side, mean in zip(image.size, size[::-1], strict=True):
                assert abs(side - mean) <= mean // 16


@pytest.mark.parametrize('kind', KINDS)
def test_writes_all_or_nothing(kind, tmp_path, monkeypatch):
    (tmp_path / 'empty').mkdir()
    save = Image.Image.save

    def fail_at_validation(image, path, **options):
        if 'val' in str(path) or 'frankfurt' in str(path) or '300001' in str(path):
            raise OSError(28, 'No space left')
        save(image, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, 'save', fail_at_validation)
        for out in ('new', 'empty'):
            with pytest.raises(InputError, match='^cannot write a data set to .* No space left'):
                make(kind, tmp_path / out, train=1, val=1)
    assert [path.name for path in tmp_path.rglob('*')] == ['empty']

    make(kind, tmp_path / 'empty', train=1, val=1)
    with pytest.raises(InputError, match='empty is not empty; give a new or empty folder'):
        make(kind, tmp_path / 'empty', train=1, val=1)


@pytest.mark.parametrize('kind', KINDS)
def test_tool_writes_each_kind(kind, tmp_path):
    out = tmp_path / 'out'
    done = forked.run(TOOL, kind, '--out', out, '--train', 1, '--val', 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f'wrote 1 training and 1 validation images to {out}; give this')
    make(kind, tmp_path / 'same', train=1, val=1, **sizes_by_default(kind))
    assert contents(out) == contents(tmp_path / 'same')


def sizes_by_default(kind):
    function = BENCHMARKS[kind]
    return dict(size=function.__kwdefaults__['size'])


@pytest.mark.parametrize('name', GENERATORS)
def test_the_folder_of_a_dataset_class_is_there(name, tmp_path):
    GENERATORS[name](tmp_path / 'out', train=1, val=1, size=(32, 32))
    assert (tmp_path / 'out' / DATA_ROOTS.get(name, '.')).is_dir()
    assert DATA_ROOTS.keys() <= GENERATORS.keys()
