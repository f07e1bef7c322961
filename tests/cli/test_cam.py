"""The command that draws class activation maps."""

import errno
import sys

import pytest
from PIL import Image

from mmattn.cli import cam
from mmattn.cli.main import start
from mmattn.engine import terminal
from tests.inspection.colours import GREEN, SCENE, classifier, one_stage, picture, save, segmentor


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """Models on the disk, with an image of each kind."""
    folder = tmp_path_factory.mktemp('saved')
    models = {}
    for make in (classifier, segmentor, one_stage):
        models[make.__name__] = save(make(), folder, make.__name__)
    Image.fromarray(SCENE).save(folder / 'both.png')
    Image.fromarray(picture((GREEN, (20, 150, 20)))).save(folder / 'green.png')
    (folder / 'broken.png').write_bytes(b'no image')
    (folder / 'empty').mkdir()
    return folder, models


@pytest.fixture
def call(saved, tmp_path, monkeypatch, capsys):
    """Call the command; give its status, its lines, its error lines and its pictures."""
    folder, models = saved
    monkeypatch.chdir(folder)
    # It would change the terminal of the tests, too.
    monkeypatch.setattr(terminal, 'use', lambda verbose: None)

    def run(model, *words):
        out = tmp_path / 'out'
        words = [*models[model], *words, '--out', str(out), '--device', 'cpu']
        with pytest.raises(SystemExit) as caught:
            start(cam, words)
        output = capsys.readouterr()
        errors = [line for line in output.err.splitlines() if line.startswith('error: ')]
        assert 'Traceback' not in output.err
        return (
            caught.value.code,
            output.out.splitlines(),
            errors,
            {path.name: path for path in sorted(out.glob('*'))},
        )

    return run


def test_each_image_gets_a_picture_and_failures_come_last(call):
    status, lines, errors, pictures = call(
        'segmentor', 'both.png', 'broken.png', 'none.png', 'empty', 'green.png', '--target', 'red'
    )
    assert status == 1
    assert [*pictures] == ['both_grad-cam.png']
    assert lines[-1] == '1 of 3 images drawn'
    expected = [
        'none.png is not a file',
        'folder empty has no image',
        'broken.png',
        "green.png: 'red' is predicted for no pixel",
    ]
    assert len(errors) == 4
    assert all(text in error for text, error in zip(expected, errors, strict=True))


def test_two_models_stand_side_by_side(call, saved):
    config, checkpoint = saved[1]['segmentor']
    words = ['both.png', '--target', 'red']
    call('classifier', *words)
    words += ['--method', 'layer-cam', '--compare', config, checkpoint]
    status, _, errors, pictures = call('classifier', *words)
    assert (status, errors) == (0, [])
    assert [*pictures] == ['both_grad-cam.png', 'both_layer-cam.png']
    alone, together = (Image.open(path).size for path in pictures.values())
    # A panel is as wide as 4 inches at 100 dots.
    assert together == (alone[0] + 400, alone[1])


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--target', 'rad'], "there is no class 'rad'; the nearest names are 'red'"),
        (['--layer', 'backbne'], "matches no layer of the model; the nearest names are 'backbone'"),
        (['--compare', 'none.py', 'one_stage.pth'], 'config none.py is not a file'),
        (['--compare', 'segmentor.py', 'none.pth'], 'checkpoint none.pth is not a file'),
        (['--compare', 'segmentor.py', 'one_stage.pth'], 'one_stage.pth'),
        (['--detection', '7'], 'both.png: there is no detection 7'),
        (['--region', '0', '0', '400', '9'], 'both.png: expected a region X1 Y1 X2 Y2'),
    ],
)
def test_bad_words_get_one_line(call, words, message):
    status, _, errors, pictures = call('one_stage', 'both.png', *words)
    assert status == 1 and not pictures
    assert len(errors) == 1 and message in errors[0]


def test_the_second_model_is_named_where_it_fails(call, saved):
    words = ['both.png', '--compare', *saved[1]['segmentor']]
    status, _, errors, _ = call('one_stage', *words, '--detection', '0', '--layer', 'backbone')
    assert (status, errors) == (0, [])
    words = ['green.png', '--compare', *saved[1]['segmentor'], '--target', 'gray']
    status, _, errors, _ = call('classifier', *words)
    assert status == 1 and "there is no class 'gray'" in errors[0]


def test_a_full_disk_is_told_and_the_next_image_tried(call, monkeypatch):
    from matplotlib.figure import Figure

    save_whole, calls = Figure.savefig, []

    def savefig(self, *args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, 'No space left on device')
        return save_whole(self, *args, **kwargs)

    monkeypatch.setattr(Figure, 'savefig', savefig)
    status, lines, errors, pictures = call('classifier', 'both.png', 'green.png')
    assert status == 1 and [*pictures] == ['green_grad-cam.png'] and lines[-1].startswith('1 of 2')
    [error] = errors
    assert 'No space left on device' in error and 'make room' in error and '--resume' not in error


def test_without_the_package_it_says_which_one_to_install(call, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pytorch_grad_cam', None)
    status, _, errors, _ = call('classifier', 'both.png')
    assert status == 1
    assert errors == ['error: mmattn cam needs pytorch_grad_cam: pip install grad-cam']


def test_a_video_is_refused(call, saved):
    (saved[0] / 'film.mp4').write_bytes(b'')
    status, _, errors, _ = call('classifier', 'film.mp4')
    assert (status, errors) == (
        1,
        ['error: film.mp4 is a video; give images'],
    )


def test_images_of_one_name_get_pictures_of_two(call, saved):
    (saved[0] / 'more').mkdir(exist_ok=True)
    Image.fromarray(SCENE).save(saved[0] / 'more' / 'both.png')
    _, _, errors, pictures = call('classifier', 'both.png', 'more')
    assert errors == [] and [*pictures] == ['both_2_grad-cam.png', 'both_grad-cam.png']
