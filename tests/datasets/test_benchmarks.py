"""What all data sets promise alike: a new entry is tested by existing."""

import functools
import inspect
import operator
from pathlib import Path

import pytest
from mmengine.config import Config
from PIL import Image

from mmattn.cli import data_make
from mmattn.cli.main import start
from mmattn.datasets.audit.run import AUDITED, inspect_dataset
from mmattn.datasets.benchmarks import BENCHMARKS, READERS, find_reader
from mmattn.datasets.checks import check_data, datasets_in
from mmattn.errors import InputError

BASES = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'
# Others inherit, and change a pipeline.
READING = {
    path: [name for name in READERS if f"type='{name}'" in path.read_text()]
    for path in sorted(BASES.glob('*.py'))
}
IMAGES = ('.jpg', '.JPEG', '_leftImg8bit.png')
each = pytest.mark.parametrize('kind', BENCHMARKS)
# The images of CIFAR-100 are no files; its own test asks the same of them.
each_of_files = pytest.mark.parametrize('kind', [k for k in BENCHMARKS if k != 'cifar100'])


def make(kind, out, **options):
    BENCHMARKS[kind].make(out, **{'size': (32, 48), **options})


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def images(folder):
    return {
        p: content
        for p, content in contents(folder).items()
        # Those of CamVid are named like its label maps.
        if p.name.endswith(IMAGES) or p.parent.name in ('train', 'val', 'test')
    }


@each
def test_same_arguments_same_bytes(kind, tmp_path):
    for name in ('once', 'again'):
        make(kind, tmp_path / name, train=3, val=2, seed=7)
    assert contents(tmp_path / 'once') == contents(tmp_path / 'again')


@each_of_files
def test_more_images_leave_the_first_ones(kind, tmp_path):
    make(kind, tmp_path / 'few', train=1, val=3)
    make(kind, tmp_path / 'many', train=3, val=4)
    few = {p: c for p, c in contents(tmp_path / 'few').items() if p.suffix not in ('.json', '.txt')}
    assert few.items() < contents(tmp_path / 'many').items()


@each_of_files
def test_each_seed_split_and_index_has_its_own_image(kind, tmp_path):
    for seed in (0, 1):
        make(kind, tmp_path / str(seed), train=2, val=2, seed=seed)
    found = images(tmp_path)
    # Pascal VOC has two years, and more splits.
    assert len(found) == len(set(found.values())) >= 8


@each
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


@each
@pytest.mark.parametrize('size', [(32, 32), (32, 160), (160, 32)], ids=str)
def test_any_size(kind, size, tmp_path):
    make(kind, tmp_path / 'out', train=12, val=1, size=size)
    if kind in AUDITED:
        assert inspect_dataset(kind, tmp_path / 'out', workers=1).faults == []
    for path in images(tmp_path):
        with Image.open(tmp_path / path) as image:
            for side, mean in zip(image.size, size[::-1], strict=True):
                assert abs(side - mean) <= mean // 16


@each_of_files
def test_writes_all_or_nothing(kind, tmp_path, monkeypatch):
    (tmp_path / 'empty').mkdir()
    save, saved = Image.Image.save, []

    def fail_at_the_second(image, path, **options):
        saved.append(path)
        if len(saved) % 2 == 0:
            raise OSError(28, 'No space left')
        save(image, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, 'save', fail_at_the_second)
        for out in ('new', 'empty'):
            with pytest.raises(InputError, match='^cannot write a data set to .* No space left'):
                make(kind, tmp_path / out, train=1, val=1)
    assert len(saved) == 4
    assert [path.name for path in tmp_path.rglob('*')] == ['empty']

    make(kind, tmp_path / 'empty', train=1, val=1)
    with pytest.raises(InputError, match='empty is not empty; give a new or empty folder'):
        make(kind, tmp_path / 'empty', train=1, val=1)


@each
def test_command_writes_each_kind(kind, tmp_path, capsys):
    out = tmp_path / 'out'
    with pytest.raises(SystemExit, match='0'):
        start(data_make, [kind, '--out', str(out), '--train', '1', '--val', '1'])
    said = f'wrote 1 training and 1 validation images to {out}; give this folder to '
    assert capsys.readouterr().out.startswith(said)
    size = inspect.signature(BENCHMARKS[kind].make).parameters['size'].default
    make(kind, tmp_path / 'same', train=1, val=1, size=size)
    assert contents(out) == contents(tmp_path / 'same')


@pytest.fixture(scope='module')
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp('generated')
    for kind in BENCHMARKS:
        make(kind, folder / kind, train=2, val=2)
    return folder


@pytest.mark.parametrize('path', filter(READING.get, READING), ids=lambda path: path.stem)
def test_generated_data_is_what_a_base_config_reads(path, generated):
    cfg = Config.fromfile(path)
    loaders = [cfg[name] for name in ('train_dataloader', 'val_dataloader') if name in cfg]
    # A base may have one of them, or the loader without what it loads.
    datasets = [loader.dataset for loader in loaders if 'dataset' in loader]
    assert datasets
    for outer in datasets:
        for where, dataset in datasets_in(outer):
            found = find_reader(dataset)
            assert found is not None
            benchmark, reader = found
            dataset.data_root = str(generated / benchmark.name / reader.root)
            check_data(dataset, where)
            dataset.data_root = str(generated / 'nope')
            with pytest.raises(InputError) as error:
                check_data(dataset, where)
            assert f'nope is not a folder; expected {reader.expected}, or ' in str(error.value)
            assert f'make_tiny_dataset.py {benchmark.name} --out' in str(error.value)


def test_every_class_is_in_a_base_config():
    assert set(functools.reduce(operator.iadd, READING.values(), [])) == set(READERS)


def test_every_data_set_is_in_a_base_config():
    paths = [path for path, names in READING.items() if names]
    cfgs = [Config.fromfile(path) for path in paths]
    loaders = [c[n] for c in cfgs for n in ('train_dataloader', 'val_dataloader') if n in c]
    datasets = [
        d for loader in loaders if 'dataset' in loader for d in [*datasets_in(loader.dataset)]
    ]
    found = {find_reader(dataset)[0].name for _, dataset in datasets}
    assert found == set(BENCHMARKS)


def test_the_page_about_data_names_every_data_set():
    page = (BASES.parents[2] / 'docs' / 'data.md').read_text()
    assert [kind for kind in BENCHMARKS if f'| `{kind}` |' not in page] == []
