"""The command mmattn visualize, on a segmentor of seconds."""

import errno
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mmattn.cli.main import main
from tests.prediction.tiny import save, tiny

pytest.importorskip('mmseg')


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Paths of a config and a checkpoint: a VAN, with one module inserted ahead of its head."""
    cfg = tiny('segmentation')
    site = dict(after='backbone', levels=[-1], attention=dict(type='CoordAtt'))
    cfg.model = dict(type='InsertAttention', host=cfg.model, sites=[site])
    return save(cfg, tmp_path_factory.mktemp('trained'))


@pytest.fixture(scope='module')
def without(tmp_path_factory):
    """The same for a classifier that has no attention."""
    cfg = tiny('classification')
    cfg.model.backbone = dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8)
    cfg.model.head.in_channels = 64
    return save(cfg, tmp_path_factory.mktemp('without'))


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Give the exit status, the output and the lines of errors of the command."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, 'argv', ['mmattn', 'visualize', *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, [line for line in err.splitlines() if 'error:' in line]

    return call


@pytest.fixture
def photo(tmp_path):
    def photo(name, size=(64, 48)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return photo


def test_draws_images_of_folders_too(call, trained, photo, tmp_path):
    photo('in/a.png')
    (tmp_path / 'in' / 'notes.txt').write_text('no image')
    status, out, errors = call(*trained, photo('a.png'), 'in', '--site', r'.*coord_att.*')
    assert (status, errors) == (0, [])
    folder = tmp_path / 'work_dirs' / 'config' / 'attention'
    assert out.splitlines()[-1] == ('2 of 2 images drawn: work_dirs/config/attention/report.html')
    names = ['a_1.png', 'a_2_1.png', 'blend_factors.png', 'report.html']
    assert sorted(path.name for path in folder.iterdir()) == names
    report = (folder / 'report.html').read_text()
    assert 'backbone.coord_att: CoordAtt' not in report  # It is on the picture.
    assert '<td>backbone.coord_att</td><td>CoordAtt</td>' in report
    assert report.count('src="data:image/png;base64,') == 3
    with Image.open(folder / 'a_1.png') as picture:
        assert picture.width > 500


def test_other_images_are_done_and_failures_listed(call, trained, photo, tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'broken.jpg').write_bytes(b'\xff\xd8\xff\xe0 no image')
    (tmp_path / 'film.mp4').touch()
    words = ['missing.png', 'empty', 'film.mp4', 'broken.jpg', photo('good.png'), '--out', 'out']
    status, out, errors = call(*trained, *words, '--site', '.*coord_att')
    assert status == 1
    assert '1 of 3 images drawn: out/report.html' in out
    assert [error.partition(';')[0].partition(' (')[0] for error in errors] == [
        'error: missing.png is not a file, a folder or a pattern',
        'error: folder empty has no image and no video',
        'error: film.mp4 is a video',
        'error: image broken.jpg cannot be read',
    ]
    assert 'missing.png is not a file' in (tmp_path / 'out' / 'report.html').read_text()


def test_a_full_disk_costs_one_image(call, trained, photo, tmp_path, monkeypatch):
    save_figure = Figure.savefig
    written = []

    def savefig(self, path, **options):
        written.append(path)
        if len(written) == 1:
            raise OSError(errno.ENOSPC, 'No space left on device')
        save_figure(self, path, **options)

    monkeypatch.setattr(Figure, 'savefig', savefig)
    words = [photo('a.png'), photo('b.png'), '--out', 'out', '--site', '.*coord_att']
    status, out, [error] = call(*trained, *words)
    assert status == 1
    assert 'a_1.png cannot be written (No space left on device): ' in error
    assert error.endswith('are free; make room, and call the command again')
    assert '1 of 2 images drawn' in out
    names = ['b_1.png', 'blend_factors.png', 'report.html']
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == names


def test_nothing_drawn_leaves_no_report(call, trained, tmp_path):
    (tmp_path / 'broken.jpg').write_bytes(b'no image')
    status, _, [error] = call(*trained, 'broken.jpg', '--out', 'out')
    assert (status, 'broken.jpg cannot be read' in error) == (1, True)
    assert not [*(tmp_path / 'out').iterdir()]


def test_nothing_to_draw_is_said_at_once(call, trained, tmp_path):
    status, _, [error] = call(*trained, 'missing.png', '--out', 'out')
    assert status == 1
    assert error.startswith('error: missing.png is not a file')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--site', 'coord'], "--site 'coord' matches no attention and no fusion module; the near"),
        (['--site', '('], "--site '(' is no regular expression"),
        (['--out', 'file/out'], '--out file/out cannot be made (Not a directory)'),
    ],
)
def test_refuses_options(call, trained, photo, tmp_path, words, message):
    (tmp_path / 'file').touch()
    status, _, [error] = call(*trained, photo('a.png'), *words)
    assert status == 1
    assert message in error


def test_refuses_a_model_without_attention(call, without, photo):
    status, _, [error] = call(*without, photo('a.png'))
    assert status == 1
    assert 'ImageClassifier has no attention and no fusion module of mmattn' in error


def test_refuses_a_checkpoint_of_another_architecture(call, trained, without, photo):
    status, _, [error] = call(trained[0], without[1], photo('a.png'))
    assert status == 1
    assert without[1] in error


def test_refuses_a_checkpoint_that_is_not_there(call, trained, photo):
    status, _, [error] = call(trained[0], 'nothing.pth', photo('a.png'))
    assert (status, 'nothing.pth is not a file' in error) == (1, True)
