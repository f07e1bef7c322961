import copy
import json

import pytest

from mmattn.deploy import metadata as metadata_of_file
from mmattn.deploy.deployment import image_for
from mmattn.deploy.exported import Exported
from mmattn.deploy.graph import graph_of
from mmattn.deploy.metadata import describe, read
from mmattn.errors import InputError
from tests.deploy.conftest import SIZE


@pytest.fixture(scope='module')
def metadata(model):
    loaded = model('segmentation')
    image = image_for(loaded, SIZE, given=True)
    graph = graph_of(loaded)
    return describe(loaded, graph, image, version='1.2', dtype='float32', dynamic=False)


def test_says_how_to_feed_it_and_how_to_read_what_it_gives(metadata, model):
    given = metadata['input']
    assert (given['name'], given['shape'], given['dtype']) == ('image', [1, 3, 64, 96], 'uint8')
    assert given['mean'] == pytest.approx([123.675, 116.28, 103.53]) and given['swaps_channels']
    assert metadata['outputs'] == ['labels'] and metadata['mmattn'] == '1.2'
    assert metadata['classes'] == list(model('segmentation').classes)
    assert metadata['reduce_zero_label'] is True


def test_prepares_as_the_model_does(metadata, model):
    described = Exported(None, read(json.dumps(metadata), 'x.onnx'), 'x.onnx')
    loaded = model('segmentation')
    assert described.classes == loaded.classes and described.palette == loaded.palette
    assert described.reduce_zero_label is loaded.reduce_zero_label
    picture = image_for(loaded, (50, 90), given=True)[0].permute(1, 2, 0).numpy()
    [expected], [found] = (each.prepare([picture])['inputs'] for each in (loaded, described))
    assert expected.equal(found)


@pytest.mark.parametrize(
    ('text', 'line'),
    [
        (None, 'x.onnx does not say what it is; expected a file that mmattn deploy wrote'),
        ('[]', 'does not say what it is'),
        ('{"format": 9, "mmattn": "7.0"}', 'written by mmattn 7.0, whose files have format 9'),
    ],
)
def test_refuses_other_files(text, line):
    with pytest.raises(InputError, match=line):
        read(text, 'x.onnx')


@pytest.mark.parametrize('name', ['os.system', 'mmattn.cli.main.main', 'mmseg.nothing', 'List', 3])
def test_runs_nothing_but_transforms(metadata, name):
    changed = copy.deepcopy(metadata)
    changed['pipeline'][1] = dict(type='RandomApply', transforms=[dict(type=name, command='ls')])
    with pytest.raises(InputError, match=r'which is no transform that is known here'):
        Exported(None, changed, 'x.onnx')


def test_refuses_a_pipeline_that_cannot_be_written_down(model, monkeypatch):
    loaded = model('segmentation')
    steps = [dict(type='LoadImageFromFile'), dict(type=print)]
    monkeypatch.setattr(metadata_of_file, 'read_pipeline', lambda cfg: (steps[0], steps[1:]))
    image = image_for(loaded, SIZE, given=True)
    with pytest.raises(InputError, match='pipeline of .* cannot be written down'):
        describe(loaded, graph_of(loaded), image, version='1', dtype='float32', dynamic=True)
