"""Whole networks beside their peers."""

import pytest
import torch
from torch import nn

from mmattn.backbones import VAN, AFFResNet, CoordAttMobileNetV2
from mmattn.benchmark.cases import Conditions, Row
from mmattn.benchmark.measure import measure
from mmattn.benchmark.networks import (
    ROWS,
    Backbone,
    Model,
    with_plain_modules,
    with_van_of_mmpretrain,
)
from mmattn.benchmark.plain import Plain

TINY = dict(embed_dims=(8, 16, 16, 16), depths=(1, 2, 1, 1), mlp_ratios=(2, 2, 2, 2))
SHAPE = (2, 3, 32, 64)


def test_van_of_mmpretrain_computes_the_same():
    pytest.importorskip('mmpretrain')
    row = Backbone('VAN', lambda: VAN(TINY), 'mmpretrain', with_van_of_mmpretrain)
    case = row.case(Conditions(shape=SHAPE))
    peer, ours = [candidate.function for candidate in case.candidates]
    for module in (peer, ours):
        module.eval()
    assert type(peer).__module__.startswith('mmpretrain.')
    with torch.no_grad():
        for a, b in zip(peer(torch.ones(SHAPE)), ours(torch.ones(SHAPE)), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ('build', 'count'),
    [
        (lambda: CoordAttMobileNetV2(0.25, out_indices=(1, 2)), 5),
        (lambda: AFFResNet(18, out_indices=(2,)), 2),
    ],
    ids=['CoordAttMobileNetV2', 'AFFResNet'],
)
def test_plain_modules_compute_the_same(build, count):
    ours = build().eval()
    plain = with_plain_modules(ours)
    assert sum(isinstance(module, Plain) for module in plain.modules()) == count
    assert not any(isinstance(module, Plain) for module in ours.modules())
    with torch.no_grad():
        for a, b in zip(plain(torch.ones(SHAPE)), ours(torch.ones(SHAPE)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_training_step_of_a_whole_model():
    pytest.importorskip('mmseg')
    pytest.importorskip('mmpretrain')
    model = Model('demo/upernet_van_tiny_ade20k.py', 'mmpretrain', with_van_of_mmpretrain)
    result = measure(Row('training', model.name, model.step), Conditions(shape=SHAPE), timed=False)
    assert not result.failed, result.remarks
    peer, ours = result.figures
    assert [peer.name, ours.name] == ['mmpretrain', 'ours']
    assert peer.kept > 0 < ours.kept
    assert ours.difference < 1e-4


def test_a_host_without_its_attention():
    pytest.importorskip('mmpretrain')
    case = Model('cls/mobilenetv2-coordatt_in1k.py', 'host', None).case(Conditions())
    host, ours = [_kinds(candidate.function) for candidate in case.candidates]
    assert not case.compares
    assert 'CoordAtt' in ours - host
    assert 'Pass' in ours & host


def _kinds(module: nn.Module) -> set[str]:
    return {type(each).__name__ for each in module.modules()}


def test_names_are_unique():
    names = [(row.group, row.name) for row in ROWS]
    assert len(set(names)) == len(names)
