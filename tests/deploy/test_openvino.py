import json

import numpy as np
import pytest

from mmattn.deploy import openvino as openvino_files
from mmattn.deploy.deployment import batch_of, image_for
from mmattn.deploy.exported import load_exported
from mmattn.errors import InputError
from tests.deploy.conftest import OTHER, SIZE
from tests.helpers import needs_torch

openvino = pytest.importorskip('openvino', reason='OpenVINO is not installed')
pytest.importorskip('onnxscript')
pytestmark = needs_torch('2.6', 'exporting')


def test_gives_what_the_model_gives_at_any_size(deployed, model):
    path, report = deployed('classification', 'openvino')
    exported, loaded = load_exported(path), model('classification')
    for size in (SIZE, OTHER):
        batch = batch_of(loaded, image_for(loaded, size, given=True))
        [expected], [found] = loaded.run(batch), exported.run(batch)
        scores = found['scores'][np.argsort(found['labels'])][expected['labels']]
        np.testing.assert_allclose(scores, expected['scores'], rtol=1e-4, atol=1e-6)
    assert {each.name for each in path.parent.iterdir()} == {
        'model.xml',
        'model.bin',
        'model.xml.json',
    }
    sizes = [each.stat().st_size for each in path.parent.iterdir() if each.suffix != '.json']
    assert report['bytes'] == sum(sizes)
    text = openvino.Core().read_model(path).get_rt_info(['mmattn']).astype(str)
    assert json.loads(text) == report['metadata']


def test_refuses_what_is_damaged_or_not_there(tmp_path):
    (tmp_path / 'x.xml').write_text('<net>')
    with pytest.raises(InputError, match=r'x.bin is not a file; it has the weights of'):
        openvino_files.read(str(tmp_path / 'x.xml'))
    (tmp_path / 'x.bin').touch()
    with pytest.raises(InputError, match=r'x.xml is damaged, no file of OpenVINO') as caught:
        openvino_files.read(str(tmp_path / 'x.xml'))
    assert '\n' not in str(caught.value)


def test_half_precision_is_for_processors_that_have_it(monkeypatch):
    monkeypatch.setattr(openvino.Core, 'get_property', lambda *args: ['FP32', 'INT8'])
    openvino_files.check_dtype('float32')
    with pytest.raises(InputError, match=r'does not compute in bfloat16 \(OpenVINO says it can FP'):
        openvino_files.check_dtype('bfloat16')
    monkeypatch.setattr(openvino.Core, 'get_property', lambda *args: ['FP32', 'BF16'])
    openvino_files.check_dtype('bfloat16')
