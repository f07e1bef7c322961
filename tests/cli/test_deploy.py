import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

from mmattn.cli.main import main
from mmattn.datasets.synthetic.tiny_imagenet import make_tiny_imagenet
from tests.helpers import needs_torch
from tests.prediction.tiny import save, tiny

pytest.importorskip('mmpretrain')


@pytest.fixture(scope='module')
def paths(tmp_path_factory):
    return save(tiny('classification'), tmp_path_factory.mktemp('classifier'))


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Give status, output and errors of a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    # It would start the process anew.
    monkeypatch.setattr('mmattn.cli.main.set_environment', lambda *args: None)

    def call(*words):
        monkeypatch.setattr(sys, 'argv', ['mmattn', *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    return call


@needs_torch('2.6', 'exporting')
def test_deploys_and_predicts_without_a_config(call, paths, tmp_path):
    options = ['--to', 'export', '--rounds', 1]
    status, out, _ = call('deploy', *paths, *options, '--out', 'model.pt2')
    assert status == 0
    lines = out.splitlines()
    assert lines[-1] == 'model.pt2 and model.pt2.json written'
    assert [line.split()[0] for line in lines[-7:-1]] == [
        'task',
        'input',
        'outputs',
        'size',
        'time',
        'difference',
    ]
    assert not list(tmp_path.glob('*.partial'))
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save('a.png')
    status, _, err = call('predict', 'model.pt2', 'a.png', '--out', 'no')
    assert status == 1 and 'reading model.pt2 may run code' in err
    status, *_ = call('predict', 'model.pt2', 'a.png', '--out', 'found', '--trust-checkpoint')
    assert status == 0
    status, *_ = call('predict', *paths, 'a.png', '--out', 'expected', '--device', 'cpu')
    assert status == 0
    found, expected = (
        json.loads((tmp_path / name / 'predictions/a.json').read_text())
        for name in ('found', 'expected')
    )
    for one, other in zip(found.pop('classes'), expected.pop('classes'), strict=True):
        assert one.pop('score') == pytest.approx(other.pop('score'), rel=1e-4)
        assert one == other
    assert found == expected
    summary = json.loads((tmp_path / 'found/summary.json').read_text())
    assert (summary['config'], summary['checkpoint']) == ('model.pt2', None)


@needs_torch('2.6', 'exporting')
def test_compares_metrics_on_the_data_of_the_config(call, paths):
    make_tiny_imagenet('data', train=1, val=3)
    options = ['--to', 'export', '--out', 'x.pt2', '--rounds', 1]
    status, out, _ = call('deploy', *paths, *options, '--val', 2, '--data-root', 'data')
    assert status == 0
    head, first, second = out.splitlines()[-4:-1]
    assert head == 'metrics     on 2 images'
    assert re.fullmatch(r'  accuracy/top1: (\S+), of the model \1', first)
    assert second.startswith('  accuracy/top5: ')
    assert 'OneDL' not in out


@pytest.mark.parametrize(
    ('words', 'line'),
    [
        (['--to', 'onnx', '--dtype', 'bfloat16'], '--to onnx does not compute in bfloat16'),
        (['--to', 'export', '--out', 'x.onnx'], '--out x.onnx has to end in .pt2, for --to export'),
        (['--to', 'export', '--out', 'there.pt2'], 'there.pt2 is there already; remove it, or'),
        (['--to', 'export', '--out', 'no/x.pt2'], 'no is not a folder; make it first'),
        (['--to', 'export', '--out', 'x.pt2', '--val', 2], 'data/imagenet'),
        (['--to', 'export', '--out', 'x.pt2', '--val', 2, '--data-root', 'no'], 'no is not a fold'),
        (['--to', 'export', '--out', 'x.pt2', '--data-root', 'data'], '--val N finds images; give'),
    ],
)
def test_bad_options(call, paths, tmp_path, words, line):
    (tmp_path / 'there.pt2').touch()
    status, out, err = call('deploy', *paths, *words)
    assert (status, out) == (1, '') and len(err.splitlines()) == 1 and line in err


def test_other_checkpoints(call, paths, tmp_path):
    (tmp_path / 'text.pth').write_text('no checkpoint')
    for name, line in [('none.pth', 'is not a file; check the path'), ('text.pth', 'text.pth')]:
        status, _, err = call('deploy', paths[0], name, '--to', 'export', '--out', 'x.pt2')
        assert status == 1 and len(err.splitlines()) == 1 and line in err
        assert not (tmp_path / 'x.pt2').exists()


def test_a_task_that_cannot_be_deployed(call, tmp_path):
    pytest.importorskip('mmdet')
    paths = save(tiny('panoptic'), tmp_path)
    status, _, err = call('deploy', *paths, '--to', 'export', '--out', 'x.pt2')
    assert status == 1 and 'task panoptic, which cannot be exported' in err
    assert not (tmp_path / 'x.pt2').exists()
