import errno
import os
import re
import runpy
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmattn.datasets.synthetic import tiny_ade20k
from mmattn.datasets.synthetic.tiny_ade20k import (
    CLASSES,
    LABELS,
    PAIRS,
    make_tiny_ade20k,
)
from mmattn.errors import InputError
from tests.forked import Script

ROOT = Path(__file__).parents[3]
TOOL = ROOT / 'tools' / 'make_tiny_dataset.py'
ABOVE = [LABELS[above] for paint, (above, _) in PAIRS.items() if paint != 'brick']
BELOW = [LABELS[below] for paint, (_, below) in PAIRS.items() if paint != 'brick']


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def scenes(root, split):
    for path in sorted((root / 'images' / split).iterdir()):
        label = root / 'annotations' / split / f'{path.stem}.png'
        yield np.asarray(Image.open(path)), np.asarray(Image.open(label))


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('default') / 'ade'
    make_tiny_ade20k(root)
    return root


def test_files_are_named_as_in_the_benchmark(tmp_path):
    make_tiny_ade20k(tmp_path / 'ade', train=2, val=1)
    assert set(contents(tmp_path / 'ade')) == {
        'images/training/ADE_train_00000001.jpg',
        'images/training/ADE_train_00000002.jpg',
        'images/validation/ADE_val_00000001.jpg',
        'annotations/training/ADE_train_00000001.png',
        'annotations/training/ADE_train_00000002.png',
        'annotations/validation/ADE_val_00000001.png',
    }
    assert [path.name for path in tmp_path.iterdir()] == ['ade']


@pytest.mark.parametrize(('split', 'count'), [('training', 64), ('validation', 16)])
def test_mmseg_reads_it(data, split, count):
    datasets = pytest.importorskip('mmseg.datasets', reason='needs mmseg')
    dataset = datasets.ADE20KDataset(
        data_root=str(data),
        data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')],
    )
    assert len(dataset) == count
    names = np.array([name.strip() for name in dataset.metainfo['classes']])
    for sample, (image, label) in zip(dataset, scenes(data, split), strict=True):
        assert np.abs(sample['img'][..., ::-1].astype(int) - image).max() <= 3  # another decoder
        loaded = sample['gt_seg_map']
        assert (loaded[label == 0] == 255).all()
        assert set(names[loaded[label > 0]]) == {n for n, k in LABELS.items() if k in label}


def test_classes_are_in_the_order_of_the_benchmark():
    assert list(LABELS.values()) == sorted(LABELS.values())
    assert list(LABELS) == list(CLASSES)
    assert sorted(name for pair in PAIRS.values() for name in pair) == sorted(CLASSES)


def test_images_are_rgb_and_labels_are_bytes_of_the_same_size(data):
    for split in ('training', 'validation'):
        for image, label in scenes(data, split):
            assert (image.ndim, image.shape[2], image.dtype) == (3, 3, np.uint8)
            assert (label.shape, label.dtype) == (image.shape[:2], np.uint8)
    assert {Image.open(path).format for path in data.glob('images/*/*')} == {'JPEG'}
    assert {Image.open(path).mode for path in data.glob('annotations/*/*')} == {'L'}


def test_sizes_vary_around_the_given_one(tmp_path):
    make_tiny_ade20k(tmp_path / 'ade', train=24, val=1, size=(48, 80))
    heights, widths = np.array([label.shape for _, label in scenes(tmp_path / 'ade', 'training')]).T
    for sizes, mean in ((heights, 48), (widths, 80)):
        assert len(set(sizes)) > 3
        assert {0, 1} == set(sizes % 2)
        assert np.abs(sizes - mean).max() <= mean // 16


def test_same_arguments_same_bytes(tmp_path):
    for name in ('once', 'again'):
        make_tiny_ade20k(tmp_path / name, train=3, val=2, seed=7, size=(50, 60))
    assert contents(tmp_path / 'once') == contents(tmp_path / 'again')


def test_an_image_does_not_depend_on_how_many_there_are(data, tmp_path):
    make_tiny_ade20k(tmp_path / 'ade', train=1, val=3)
    assert contents(tmp_path / 'ade').items() <= contents(data).items()


def test_each_seed_split_and_index_has_its_own_image(tmp_path):
    for seed in (0, 1):
        make_tiny_ade20k(tmp_path / str(seed), train=3, val=3, seed=seed)
    for suffix in ('.jpg', '.png'):
        files = [v for k, v in contents(tmp_path).items() if k.endswith(suffix)]
        assert len(set(files)) == len(files) == 12


@pytest.mark.parametrize('seed', range(3))
def test_eight_images_show_every_class_and_nothing_else(tmp_path, seed):
    make_tiny_ade20k(tmp_path / 'ade', train=1, val=8, seed=seed)
    pixels = np.concatenate([label.ravel() for _, label in scenes(tmp_path / 'ade', 'validation')])
    assert set(pixels) == {0, *LABELS.values()}


def test_each_class_is_frequent_and_little_is_unlabelled(data):
    pixels = np.concatenate([label.ravel() for _, label in scenes(data, 'training')])
    share = np.bincount(pixels, minlength=151) / pixels.size
    assert min(share[label] for label in LABELS.values()) > 0.015
    assert 0.02 < share[0] < 0.1


def looks_and_places(root, split):
    """Colour, fine and coarse texture of each labelled pixel, then its x and y; and its label."""
    features, labels = [], []
    for image, label in scenes(root, split):
        colour = image.astype(float)
        dy, dx = np.gradient(colour.mean(2), axis=(0, 1))
        y, x = np.mgrid[: label.shape[0], : label.shape[1]]
        place = x / label.shape[1], y / label.shape[0]
        # The edge of a region shows its neighbour and its outline, so its inside is asked.
        inside = np.zeros(label.shape, bool)
        inside[2:-2, 2:-2] = (
            np.lib.stride_tricks.sliding_window_view(label, (5, 5)) == label[2:-2, 2:-2, None, None]
        ).all((2, 3))
        inside &= label > 0
        channels = [*np.moveaxis(colour, 2, 0), np.abs(dy), np.abs(dx), *place]
        features.append(np.stack(channels, -1)[inside])
        labels.append(label[inside])
    return np.concatenate(features), np.concatenate(labels)


@pytest.mark.parametrize('paint', PAIRS)
def test_the_two_classes_of_a_pair_look_alike_and_lie_apart(data, paint):
    features, labels = looks_and_places(data, 'training')
    first, second = (features[labels == LABELS[name]] for name in PAIRS[paint])
    gap = np.abs(first.mean(0) - second.mean(0)) / np.sqrt((first.var(0) + second.var(0)) / 2)
    *look, x, y = gap
    assert max(look) < 0.5
    assert (x if paint == 'brick' else y) > 2


def mean_iou(train, val):
    """Mean IoU of one Gaussian per class, fitted to ``train``."""
    scores = []
    for label in LABELS.values():
        points = train[0][train[1] == label]
        offset = val[0] - points.mean(0)
        precision = np.linalg.inv(np.cov(points.T))
        distance = np.einsum('ni,ij,nj->n', offset, precision, offset)
        scores.append(np.linalg.slogdet(precision)[1] - distance)
    predicted = np.array(list(LABELS.values()))[np.argmax(scores, 0)]
    hits = [((predicted == k) & (val[1] == k)).sum() for k in LABELS.values()]
    unions = [((predicted == k) | (val[1] == k)).sum() for k in LABELS.values()]
    return np.mean(np.divide(hits, unions))


def test_looks_alone_do_not_tell_the_class_but_looks_and_place_do(data):
    train, val = (looks_and_places(data, split) for split in ('training', 'validation'))
    assert mean_iou((train[0][:, :-2], train[1]), (val[0][:, :-2], val[1])) < 0.45
    assert mean_iou(train, val) > 0.9


def test_the_horizon_moves(data):
    horizons = [
        np.argmax(np.isin(label, BELOW).sum(1) > np.isin(label, ABOVE).sum(1)) / len(label)
        for _, label in scenes(data, 'training')
    ]
    assert min(horizons) < 0.44
    assert max(horizons) > 0.56


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(train=0), 'train must be at least 1, got 0'),
        (dict(val=-2), 'val must be at least 1, got -2'),
        (dict(seed=-1), 'seed must be at least 0, got -1'),
        (dict(size=(16, 128)), 'height must be at least 32, got 16'),
        (dict(size=(96, 31)), 'width must be at least 32, got 31'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_refuses_a_number_that_is_too_small(tmp_path, arguments, message):
    with pytest.raises(InputError, match=f'^{message}$'):
        make_tiny_ade20k(tmp_path / 'ade', **arguments)
    assert not list(tmp_path.iterdir())


def test_refuses_a_folder_that_holds_something(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(InputError, match=f'^{re.escape(str(tmp_path))} is not empty; give a new'):
        make_tiny_ade20k(tmp_path)
    assert contents(tmp_path) == {'notes.txt': b'mine'}


def test_refuses_a_file(tmp_path):
    file = tmp_path / 'notes.txt'
    file.write_text('mine')
    with pytest.raises(InputError, match=f'^{re.escape(str(file))} is a file; give a new'):
        make_tiny_ade20k(file)
    with pytest.raises(InputError, match=r'^cannot write a data set to .*notes\.txt'):
        make_tiny_ade20k(file / 'ade')
    assert contents(tmp_path) == {'notes.txt': b'mine'}


@pytest.mark.skipif(
    not hasattr(os, 'geteuid') or os.geteuid() == 0, reason='root may write to any folder'
)
def test_refuses_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match='^cannot write a data set to .*Permission denied'):
        make_tiny_ade20k(tmp_path / 'ade')


@pytest.mark.parametrize('exists', [False, True], ids=['new', 'empty'])
@pytest.mark.parametrize(
    ('cause', 'effect', 'message'),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (OSError(errno.ENOSPC, 'No space left'), InputError, 'cannot write .* No space left'),
    ],
    ids=['interrupt', 'full disk'],
)
def test_leaves_nothing_behind_when_it_is_cut_short(
    tmp_path, monkeypatch, exists, cause, effect, message
):
    draw = tiny_ade20k._draw_scene
    out = tmp_path / 'ade'
    if exists:
        out.mkdir()

    def draw_two(index, rng, size):
        if index == 2:
            raise cause
        return draw(index, rng, size)

    with monkeypatch.context() as patch:
        patch.setattr(tiny_ade20k, '_draw_scene', draw_two)
        with pytest.raises(effect, match=message):
            make_tiny_ade20k(out, train=3, val=1)
    assert list(tmp_path.rglob('*')) == ([out] if exists else [])

    make_tiny_ade20k(out, train=3, val=1)
    assert len(contents(tmp_path)) == 8


def test_fills_the_empty_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_tiny_ade20k('.', train=1, val=1)
    assert sorted(os.listdir('.')) == ['annotations', 'images']


def start_tool(*arguments):
    return Script(TOOL, *arguments)


def test_tool_writes_the_default_data_set_and_says_so(data, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'ade'
    monkeypatch.setattr(sys, 'argv', [str(TOOL), 'ade20k', '--out', str(out)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert end.value.code == 0
    assert capsys.readouterr() == (
        f'wrote 64 training and 16 validation images to {out}; '
        'give this folder to ADE20KDataset as data_root\n',
        '',
    )
    assert contents(out) == contents(data)


def test_tool_refuses_in_one_line(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    tool = start_tool('ade20k', '--out', tmp_path)
    _, errors = tool.communicate(timeout=120)
    assert tool.returncode == 1
    assert errors == f'error: {tmp_path} is not empty; give a new or empty folder\n'


@pytest.mark.skipif(sys.platform == 'win32', reason='Ctrl-C is not a signal to a child there')
def test_tool_ends_in_one_line_on_ctrl_c(tmp_path):
    tool = start_tool('ade20k', '--out', tmp_path / 'ade', '--train', 10**6)
    give_up = time.monotonic() + 120
    while not list(tmp_path.rglob('*.jpg')) and time.monotonic() < give_up:
        time.sleep(0.02)
    tool.send_signal(signal.SIGINT)
    try:
        _, errors = tool.communicate(timeout=120)
    finally:
        tool.kill()
    assert tool.returncode == 130
    assert errors == 'error: interrupted; nothing was written\n'
    assert not list(tmp_path.iterdir())
