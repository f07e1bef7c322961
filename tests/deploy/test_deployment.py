import json

import pytest
import torch

from mmattn.deploy import deployment, onnx
from mmattn.deploy.deployment import TARGETS, check, deploy, report_of
from mmattn.errors import InputError
from tests.deploy.conftest import SIZE
from tests.helpers import needs_torch


@needs_torch('2.6', 'exporting')
def test_reports_on_the_file(deployed):
    path, report = deployed('classification', 'export')
    assert json.loads(report_of(path).read_text()) == report
    assert sorted(file.name for file in path.parent.iterdir()) == ['model.pt2', 'model.pt2.json']
    assert report['bytes'] == path.stat().st_size
    assert report['differences']['score'] < 1e-6
    assert report['seconds']['original']['wall_ratio'] == 1
    assert report['seconds']['exported']['wall'] > 0


@needs_torch('2.6', 'exporting')
def test_computes_in_half_precision(deployed):
    _, report = deployed('classification', 'export', dynamic=False, dtype='bfloat16')
    assert report['bytes'] < deployed('classification', 'export')[1]['bytes']
    assert report['metadata']['dtype'] == 'bfloat16'
    assert report['differences']['score'] < 0.1


@needs_torch('2.6', 'exporting')
def test_leaves_nothing_behind_when_it_is_broken_off(model, tmp_path, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(deployment, 'take_turns', interrupt)
    with pytest.raises(KeyboardInterrupt):
        deploy(
            model('classification'),
            'export',
            tmp_path / 'x.pt2',
            dtype='float32',
            version='1',
            size=SIZE,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('spoil', 'line'),
    [
        (
            lambda graph: setattr(graph.normalize, 'swaps', False),
            'SegDataPreProcessor prepares images in a way that cannot be exported',
        ),
        (
            lambda graph: graph.module.decode_head.conv_seg.bias.data.neg_(),
            r"EncoderDecoder predicts in a way that .*: its graph differs by {'other_pixels': ",
        ),
    ],
    ids=['preprocessor', 'head'],
)
def test_refuses_a_model_that_its_graph_does_not_equal(model, tmp_path, monkeypatch, spoil, line):
    graph_of = deployment.graph_of

    def other(*args, **options):
        graph = graph_of(*args, **options)
        spoil(graph)
        return graph

    monkeypatch.setattr(deployment, 'graph_of', other)
    with pytest.raises(InputError, match=line):
        deploy(model('segmentation'), 'export', tmp_path / 'x.pt2', dtype='float32', version='1')
    assert not list(tmp_path.iterdir())


def test_a_size_may_be_too_small_for_any_size(model, tmp_path):
    with pytest.raises(InputError, match=r'--shape 32 64 is too small; .* 33 pixels and more'):
        deploy(
            model('classification'),
            'export',
            tmp_path / 'x.pt2',
            dtype='float32',
            version='1',
            dynamic=True,
            size=(32, 64),
        )


def test_checks_before_anything_is_loaded(tmp_path, monkeypatch):
    pytest.importorskip('onnx')
    assert check('onnx', None, tmp_path / 'x.onnx') == 'float32'
    assert check('export', 'bfloat16', tmp_path / 'x.pt2') == 'bfloat16'
    with pytest.raises(InputError, match='--to onnx does not compute in bfloat16; expected one of'):
        check('onnx', 'bfloat16', tmp_path / 'x.onnx')
    with pytest.raises(InputError, match=r'x.pt2 has to end in .onnx, for --to onnx'):
        check('onnx', None, tmp_path / 'x.pt2')
    with pytest.raises(InputError, match='no is not a folder; make it first'):
        check('onnx', None, tmp_path / 'no' / 'x.onnx')
    (tmp_path / 'x.onnx.json').touch()
    with pytest.raises(InputError, match=r'x.onnx.json is there already; remove it, or give'):
        check('onnx', None, tmp_path / 'x.onnx')


def test_tells_what_to_install(tmp_path, monkeypatch):
    def missing(package, user):
        raise InputError(f'{user} needs {package}: pip install {package}')

    monkeypatch.setattr(deployment, 'import_optional', missing)
    with pytest.raises(InputError, match='--to onnx needs onnx: pip install onnx'):
        check('onnx', None, tmp_path / 'x.onnx')
    assert TARGETS['onnx'].packages == onnx.WRITERS


@needs_torch('2.6', 'exporting')
def test_folds_first(deployed, model):
    path, report = deployed('classification', 'fold', dynamic=False, size=SIZE)
    assert report['differences']['score'] < 1e-5

    def operations(graph):
        return str(graph.graph).count('batch_norm')

    plain = torch.export.load(deployed('classification', 'export')[0])
    assert operations(torch.export.load(path)) < operations(plain)
