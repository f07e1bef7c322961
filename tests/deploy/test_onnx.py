import json

import numpy as np
import pytest

from mmattn.deploy import onnx as onnx_files
from mmattn.deploy.deployment import batch_of, image_for
from mmattn.deploy.exported import load_exported
from mmattn.errors import InputError
from tests.deploy.conftest import OTHER, SEGMENTOR, SIZE
from tests.helpers import needs_torch

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxscript')
onnxruntime = pytest.importorskip('onnxruntime')
pytestmark = needs_torch('2.6', 'exporting')


@pytest.mark.parametrize('task', [SEGMENTOR, 'classification'])
def test_gives_what_the_model_gives_at_any_size(deployed, model, task):
    path, _ = deployed(task, 'onnx')
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    loaded = model(task)
    for size in (SIZE, OTHER):
        image = image_for(loaded, size, given=True)
        [output] = session.run(None, {'image': image.numpy()})
        [expected] = loaded.run(batch_of(loaded, image))
        if task == 'segmentation':
            assert output.shape == (1, *size)
            assert (output[0] != expected['masks']).mean() < 1e-3
        else:
            scores = output[0][expected['labels']]
            np.testing.assert_allclose(scores, expected['scores'], rtol=1e-4, atol=1e-6)


def test_is_a_file_of_opset_18_that_says_what_it_is(deployed):
    path, report = deployed('classification', 'onnx')
    file = onnx.load(path)
    onnx.checker.check_model(file, full_check=True)
    assert [(each.domain, each.version) for each in file.opset_import] == [('', 18)]
    assert [each.name for each in file.graph.output] == ['scores']
    sides = [dim.dim_param for dim in file.graph.input[0].type.tensor_type.shape.dim]
    assert sides == ['', '', 'height', 'width']
    [entry] = [each for each in file.metadata_props if each.key == 'mmattn']
    assert json.loads(entry.value) == report['metadata']


@pytest.mark.parametrize(
    'options',
    [dict(dynamic=False, size=(160, 192)), pytest.param({}, marks=pytest.mark.slow)],
    ids=['one-size', 'any-size'],
)
def test_has_suppression_of_boxes_inside(deployed, model, options):
    pytest.importorskip('mmdet')
    path, report = deployed('detection', 'onnx', **options)
    assert 'NonMaxSuppression' in {node.op_type for node in onnx.load(path).graph.node}
    found = report['differences']
    assert (found['unmatched'], found['pixels'] < 0.01, found['score'] < 1e-5) == (0, True, True)
    exported, loaded = load_exported(path), model('detection')
    for size in [(160, 192)] if options else [(130, 200), (160, 192)]:
        batch = batch_of(loaded, image_for(loaded, size, given=True))
        [expected], [boxes] = loaded.run(batch), exported.run(batch)
        assert expected['labels'].tolist() == boxes['labels'].tolist()
        np.testing.assert_allclose(boxes['boxes'], expected['boxes'], atol=0.01)


def test_computes_in_float16(deployed):
    path, report = deployed('classification', 'onnx', dynamic=False, dtype='float16')
    file = onnx.load(path)
    weights = [w for w in file.graph.initializer if len(w.dims) == 4]
    assert weights and all(w.data_type == onnx.TensorProto.FLOAT16 for w in weights)
    assert report['differences']['score'] < 0.05
    assert report['bytes'] < deployed('classification', 'onnx')[1]['bytes']


def test_refuses_what_is_damaged_or_of_somebody_else(tmp_path):
    (tmp_path / 'x.onnx').write_bytes(b'nothing')
    with pytest.raises(InputError, match=r'x.onnx is damaged, no ONNX file, or needs another') as e:
        onnx_files.read(str(tmp_path / 'x.onnx'))
    assert '\n' not in str(e.value)
    helper = onnx.helper
    value = helper.make_tensor_value_info('image', onnx.TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info('out', onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node('Abs', ['image'], ['out'])], 'g', [value], [out])
    opsets = [helper.make_opsetid('', 18)]
    other = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.save(other, tmp_path / 'other.onnx')
    with pytest.raises(InputError, match='does not say what it is'):
        onnx_files.read(str(tmp_path / 'other.onnx'))
