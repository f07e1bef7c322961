import json
import sys

import numpy as np
import pytest
from PIL import Image

from mmattn.cli.main import main
from mmattn.engine.start import start
from tests.prediction.tiny import save, tiny

pytest.importorskip('mmdet')


@pytest.fixture(scope='module')
def paths(tmp_path_factory):
    return save(tiny('detection'), tmp_path_factory.mktemp('detector'))


@pytest.fixture
def call(monkeypatch, capsys, tmp_path, paths):
    """Predict in a folder with two pictures; give status, output and errors."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0)
    for name in ('a.jpg', 'b.jpg'):
        picture = noise.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / name)
    # It would start the process anew.
    monkeypatch.setattr('mmattn.cli.main.set_environment', lambda *args: None)

    def call(*words, config=paths[0], checkpoint=paths[1]):
        command = ['mmattn', 'predict', config, checkpoint, *words]
        monkeypatch.setattr(sys, 'argv', list(map(str, command)))
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    return call


def test_predicts(call, tmp_path):
    status, out, _ = call('*.jpg', '--out', 'out', '--device', 'cpu', '--batch-size', 2)
    assert (status, out.splitlines()[-1]) == (0, '2 of 2 done: out')
    assert start() is None
    summary = json.loads((tmp_path / 'out/summary.json').read_text())
    assert summary['score_threshold'] == 0.3 and summary['only_classes'] is None
    assert [each['drawn'] for each in summary['inputs']] == ['drawn/a.png', 'drawn/b.png']


def test_keeps_what_is_asked_for(call, tmp_path):
    options = ['--classes', 'stop sign', 'cat', '--score-threshold', 0.9, '--device', 'cpu']
    status, *_ = call('a.jpg', '--out', 'out', *options)
    summary = json.loads((tmp_path / 'out/summary.json').read_text())
    assert status == 0 and summary['only_classes'] == ['stop sign', 'cat']
    found = json.loads((tmp_path / 'out/predictions/a.json').read_text())['detections']
    assert all(each['name'] in ('stop sign', 'cat') for each in found)


def test_one_failure_is_one_line_and_several_are_a_list(call, tmp_path):
    status, out, err = call('a.jpg', 'x.jpg', '--out', 'out', '--device', 'cpu')
    assert (status, out.splitlines()[-1]) == (1, '1 of 2 done: out')
    assert err == 'error: x.jpg is not a file, a folder or a pattern; check the path\n'
    assert (tmp_path / 'out/drawn/a.png').is_file()
    status, _, err = call('x.jpg', 'y/*.png', '--out', 'other')
    assert status == 1 and not (tmp_path / 'other').exists()
    assert err.splitlines() == [
        'error: x.jpg is not a file, a folder or a pattern; check the path',
        'error: the pattern y/*.png matches no file; check it',
    ]


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['--classes', 'kat'], "no class of the model is called 'kat'; did you mean 'cat'?"),
        (['--cfg-options', 'model.bbox_head.num_classes=3'], 'is of another architecture than'),
        (['--out', 'a.jpg'], '--out a.jpg is a file; expected a folder'),
        (['--device', 'cuda'], '--device cuda, but PyTorch sees no CUDA device'),
    ],
)
def test_bad_options(call, tmp_path, options, line, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    status, _, err = call('b.jpg', '--out', 'out', *options)
    assert status == 1 and len(err.splitlines()) == 1 and line in err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['--batch-size', '0'], 'argument --batch-size: expected 1 or more, got 0'),
        (['--score-threshold', '2'], 'expected a score from 0 to 1, got 2'),
    ],
)
def test_numbers_out_of_range(call, options, line):
    status, _, err = call('a.jpg', '--out', 'out', *options)
    assert status == 2 and line in err


def test_a_threshold_is_for_scores(call, tmp_path):
    paths = save(tiny('segmentation'), tmp_path)
    options = ['--score-threshold', 0.5, '--device', 'cpu']
    pytest.importorskip('mmseg')
    status, _, err = call('a.jpg', '--out', 'o', *options, config=paths[0], checkpoint=paths[1])
    assert status == 1 and 'for detections and instances, and the task is segmentation' in err


def test_after_an_interrupt_the_summary_tells_what_is_done(call, tmp_path, monkeypatch):
    from mmattn.prediction.run import Run

    write = Run._write_image

    def stop_at_second(self, each, result):
        if each.name == 'b':
            raise KeyboardInterrupt
        write(self, each, result)

    monkeypatch.setattr(Run, '_write_image', stop_at_second)
    status, out, err = call('*.jpg', '--out', 'out', '--device', 'cpu')
    assert (status, out.splitlines()[-1]) == (130, '1 of 2 done: out')
    assert err == 'error: interrupted; results written so far are whole\n'
    summary = json.loads((tmp_path / 'out/summary.json').read_text())
    assert [each['input'] for each in summary['inputs']] == ['a.jpg']


@pytest.mark.parametrize(
    ('words', 'line'),
    [
        (['{config}', '{checkpoint}'], 'no INPUT is given; expected CONFIG CHECKPOINT INPUT...'),
        (['x.onnx', 'a.jpg'], 'x.onnx is not a file; check the path'),
        (['x.onnx', 'a.jpg', '--cfg-options', 'a=1'], '--cfg-options change a config, and x.onnx'),
    ],
)
def test_a_file_takes_the_place_of_config_and_checkpoint(call, paths, words, line):
    config, checkpoint = paths
    first, second, *options = (word.format(config=config, checkpoint=checkpoint) for word in words)
    status, _, err = call('--out', 'out', *options, config=first, checkpoint=second)
    assert status == 1 and line in err.splitlines()[-1]
