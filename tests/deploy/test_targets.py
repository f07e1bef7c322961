"""Each kind of model in each kind of file."""

import pytest

from mmattn.deploy import openvino
from mmattn.deploy.deployment import TARGETS
from mmattn.deploy.exported import load_exported
from mmattn.errors import InputError
from tests.deploy.conftest import SIZE
from tests.helpers import needs_torch

pytest.importorskip('mmdet')
pytestmark = needs_torch('2.6', 'exporting')

TASKS = ('segmentation', 'classification', 'detection', 'instance')
# By rounding of float32, in the operations of a runtime of its own.
MOST = dict(other_pixels=1e-3, score=1e-4, pixels=0.05, unmatched=0)


def cases():
    for task in TASKS:
        for to in TARGETS:
            # That of a classifier has a test of its own, and boxes are in what has masks, too.
            if (to == 'compile' and task != 'instance') or (to != 'onnx' and task == 'detection'):
                continue
            # A minute for what is compiled; beside a classifier, one file is enough for each day.
            is_quick = task == 'classification' or (task, to) == ('segmentation', 'onnx')
            marks = [] if is_quick else [pytest.mark.slow]
            yield pytest.param(task, to, id=f'{task}-{to}', marks=marks)


@pytest.mark.parametrize(('task', 'to'), [*cases()])
def test_a_file_gives_what_the_model_gives(deployed, model, task, to):
    for package in TARGETS[to].packages:
        pytest.importorskip(package)
    path, report = deployed(task, to, dynamic=False, size=SIZE)
    wrong = {key: value for key, value in report['differences'].items() if value > MOST[key]}
    assert not wrong
    exported = load_exported(path, trusted=True)
    assert exported.task == task and exported.metadata == report['metadata']


@pytest.mark.slow
def test_instances_at_any_size(deployed):
    for package in TARGETS['onnx'].packages:
        pytest.importorskip(package)
    _, report = deployed('instance', 'onnx')
    assert not [key for key, value in report['differences'].items() if value > MOST[key]]


@pytest.mark.slow
@pytest.mark.parametrize(('to', 'dtype'), [('onnx', 'float16'), ('openvino', 'bfloat16')])
def test_instances_in_half_precision(deployed, to, dtype):
    for package in TARGETS[to].packages:
        pytest.importorskip(package)
    if to == 'openvino':
        try:
            openvino.check_dtype(dtype)
        except InputError as error:
            pytest.skip(str(error))
    _, report = deployed('instance', to, dynamic=False, size=SIZE, dtype=dtype)
    # Among random boxes of nearly one score, rounding chooses others.
    assert report['differences']['unmatched'] < 12
    assert report['differences']['score'] < 0.05
