"""One row: what is counted, compared and said of its candidates."""

import pytest
import torch
from torch import nn

from mmattn.backbones import VAN
from mmattn.benchmark.cases import Candidate, Case, Conditions, Row
from mmattn.benchmark.forms import FORMS, Form
from mmattn.benchmark.measure import make_step, measure
from mmattn.errors import InputError
from mmattn.layers.packages import import_optional
from mmattn.probe.timing import ROUNDS
from mmattn.probe.traffic import Traffic

SHAPE = (2, 4, 3, 5)
MAP = 4 * 2 * 4 * 3 * 5


class Sigmoid(nn.Module):
    def forward(self, x):
        return x.sigmoid()


class Exponential(nn.Module):
    def forward(self, x):
        # So near that it is the same, and apart on every processor.
        return (1 + 5e-7) / (1 + (-x).exp())


class Conv(nn.Conv2d):
    pass


class Wrong(nn.Module):
    def forward(self, x):
        return x.sigmoid() * 1.5


class Broken(nn.Module):
    def forward(self, x):
        raise RuntimeError('no such luck\nat all')


def row(*candidates, **options):
    case = [Candidate(type(module).__name__, module) for module in candidates]
    return Row('modules', 'it', lambda conditions: Case(case, [SHAPE], **options))


def test_a_prediction():
    result = measure(row(Exponential(), Sigmoid()), Conditions())
    assert not result.failed
    first, second = result.figures
    assert first.traffic == Traffic(5 * MAP, 5 * MAP, 5)
    assert second.traffic == Traffic(MAP, MAP, 1)
    assert second.kept is None
    assert first.difference == 0 < second.difference < 1e-6
    assert first.timed.wall_ratio == 1
    assert second.timed.rounds == ROUNDS


def test_training():
    result = measure(row(Sigmoid()), Conditions(mode='train'), timed=False)
    [figures] = result.figures
    assert figures.traffic == Traffic(3 * MAP, 2 * MAP, 2)
    assert (figures.kept, figures.timed) == (MAP, None)


def test_the_map_has_the_type_of_the_autocast():
    result = measure(row(Sigmoid()), Conditions(dtype='bfloat16'), timed=False)
    assert result.figures[0].traffic == Traffic(MAP // 2, MAP // 2, 1)


def test_other_numbers_are_no_success():
    result = measure(row(Sigmoid(), Wrong()), Conditions(), timed=False)
    assert result.failed
    assert 'Wrong gives other numbers (0.5)' in result.remarks
    free = measure(row(Sigmoid(), Wrong(), compares=False), Conditions(), timed=False)
    assert not free.failed
    assert free.figures[1].difference is None


def test_what_is_raised_is_said():
    result = measure(row(Sigmoid(), Broken()), Conditions())
    assert result.failed
    assert result.remarks == ['failed: RuntimeError: no such luck']
    assert result.figures == []


def test_a_missing_package_is_no_failure():
    def build(conditions):
        import_optional('no_such_package', 'this peer')

    result = measure(Row('modules', 'it', build), Conditions())
    assert not result.failed
    assert result.remarks == [
        'not measured: this peer needs no_such_package: pip install no_such_package'
    ]


def test_forms_of_ours():
    conv = nn.Conv2d(4, 4, 1)
    result = measure(
        row(Conv(4, 4, 1), conv, compares=False),
        Conditions(),
        forms=['nhwc', 'bfloat16'],
        timed=False,
    )
    assert [each.name for each in result.figures] == [
        'Conv',
        'Conv2d',
        'ours nhwc',
        'ours bfloat16',
    ]
    plain, _, nhwc, half = [each.traffic for each in result.figures]
    assert nhwc == plain
    # The map is cast, and then everything is half as large.
    assert half == Traffic(MAP + plain.read // 2, MAP // 2 + plain.written // 2, 2)
    assert conv.weight.dtype == torch.float32
    trained = measure(
        row(Conv(4, 4, 1), conv, compares=False),
        Conditions(mode='train'),
        forms=['bfloat16'],
        timed=False,
    )
    assert 'no bfloat16: it does not train' in trained.remarks


def test_a_training_step_changes_weights():
    conv = nn.Conv2d(4, 4, 1)
    before = conv.weight.clone()
    candidate = Candidate('ours', conv)
    make_step(candidate, Case([candidate], [SHAPE]), Conditions(mode='train'))()
    assert torch.equal(conv.weight, before)
    make_step(candidate, Case([candidate], [SHAPE], steps=True), Conditions(mode='train'))()
    assert not torch.equal(conv.weight, before)
    assert conv.weight.grad is None


def test_rows_of_training_train():
    seen = []

    def build(conditions):
        seen.append(conditions.mode)
        raise InputError('that will do')

    measure(Row('training', 'it', build), Conditions())
    assert seen == ['train']


@pytest.mark.parametrize('layout', ['nchw', 'nhwc'])
def test_layout(layout):
    seen = []

    class Look(nn.Module):
        def forward(self, x):
            seen.append(x.is_contiguous(memory_format=torch.channels_last))
            return x + 1

    measure(row(Look()), Conditions(layout=layout), timed=False)
    assert set(seen) == {layout == 'nhwc'}


def test_ours_folded():
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    forms = ['folded', 'folded bfloat16']
    result = measure(row(Conv(4, 4, 1), model, compares=False), Conditions(), forms=forms)
    assert not result.failed, result.remarks
    _, ours, folded, _ = result.figures
    assert (ours.traffic.operations, folded.traffic.operations) == (2, 1)
    assert isinstance(model[1], nn.BatchNorm2d)


def test_ours_lean():
    van = VAN(dict(embed_dims=[8], depths=[1], mlp_ratios=[4]), out_indices=(0,))
    rows = Row(
        'backbones', 'it', lambda conditions: Case([Candidate('ours', van)], [(1, 3, 32, 32)])
    )
    result = measure(rows, Conditions(mode='train'), forms=['lean'], timed=False)
    ours, lean = result.figures
    assert lean.kept < 0.6 * ours.kept
    assert lean.difference < 1e-6
    assert not van.block1[0].lean
    without = measure(row(Sigmoid()), Conditions(mode='train'), forms=['lean'], timed=False)
    assert without.remarks == ['no lean: it has no lean training']


def test_a_form_that_ours_does_not_have(monkeypatch):
    def refuse(module, inputs):
        raise InputError('it does not fold')

    monkeypatch.setitem(FORMS, 'folded', Form(refuse))
    result = measure(row(Sigmoid()), Conditions(), forms=['folded', 'nhwc'], timed=False)
    assert not result.failed
    assert [each.name for each in result.figures] == ['Sigmoid', 'ours nhwc']
    assert result.remarks == ['no folded: it does not fold']


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
def test_ours_in_another_runtime(runtime):
    pytest.importorskip(runtime)
    pytest.importorskip('onnxscript')
    result = measure(row(Sigmoid()), Conditions(), forms=[runtime])
    assert not result.failed, result.remarks
    _, exported = result.figures
    assert exported.name == f'ours {runtime}'
    assert exported.traffic is None
    assert exported.difference < 1e-6
    assert exported.timed.wall > 0
