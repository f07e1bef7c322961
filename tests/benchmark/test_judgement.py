"""Bars held against figures."""

import pytest

from mmattn.benchmark.bars import BARS, Bar, judge, judge_one, ratio_of
from mmattn.benchmark.cases import Conditions, Row
from mmattn.benchmark.measure import Figures, Result
from mmattn.benchmark.rows import ROWS
from mmattn.probe.timing import Timed
from mmattn.probe.traffic import Traffic

HERE = Conditions()


def figures(name, wall=1.0, cpu=1.0, spread=0.0, moved=100, kept=10):
    timed = Timed(wall, cpu, wall, cpu, wall - spread / 2, wall + spread / 2, 7)
    return Figures(name, timed, Traffic(moved, 0, 1), kept)


def result(*candidates, **options):
    return Result('modules', 'it', HERE, figures=list(candidates), **options)


def verdict(bar, *candidates, **options):
    return judge_one(bar, 'modules/it', result(*candidates, **options))


@pytest.mark.parametrize(
    ('measured', 'holds'), [(0.5, True), (1.05, True), (1.0549, True), (1.0551, False), (2, False)]
)
def test_two_digits_count(measured, holds):
    found = verdict(Bar('*', HERE, 1.05), figures('peer'), figures('ours', wall=measured))
    assert (found.measured, found.holds, found.note) == (measured, holds, 'wall')


def test_on_a_busy_machine_the_time_of_the_process_counts():
    peer, ours = figures('peer'), figures('ours', wall=2, cpu=0.9, spread=1)
    found = verdict(Bar('*', HERE, 1.0), peer, ours)
    assert (found.measured, found.holds) == (0.9, True)
    assert found.note == 'CPU time, quartiles 50% apart'


def test_bytes():
    peer, ours = figures('peer'), figures('ours', moved=110, kept=5)
    assert verdict(Bar('*', HERE, 1.05, 'moved'), peer, ours).measured == 1.1
    assert verdict(Bar('*', HERE, 1.05, 'kept'), peer, ours).measured == 0.5


@pytest.mark.parametrize(('own', 'ratio'), [(0, 1), (1, float('inf'))])
def test_of_nothing(own, ratio):
    assert ratio_of(own, 0) == ratio


def test_another_base_and_another_form():
    candidates = [figures('peer'), figures('ours', wall=4), figures('ours nhwc', wall=2)]
    assert verdict(Bar('*', HERE, 1, form='nhwc'), *candidates).measured == 2
    assert verdict(Bar('*', HERE, 1, form='nhwc', base='ours'), *candidates).measured == 0.5


def test_what_was_not_measured_neither_holds_nor_fails():
    bar = Bar('*', HERE, 1.0)
    found = verdict(bar, remarks=['not measured: no timm'])
    assert (found.measured, found.holds, found.note) == (None, None, 'not measured: no timm')
    assert verdict(bar, figures('peer'), figures('ours'), failed=True).holds is None
    assert verdict(Bar('*', HERE, 1.0, 'kept'), figures('a'), figures('ours', kept=None)).note


def test_one_measurement_for_all_bars_on_a_row():
    asked = []

    def measure(row, conditions, forms, timed):
        asked.append((row.name, conditions.mode, forms, timed))
        names = ['peer', 'ours', *(f'ours {form}' for form in forms)]
        return result(*map(figures, names))

    trained = Conditions(mode='train')
    bars = [
        Bar('modules/*', HERE, 1.0, 'moved'),
        Bar('modules/A', HERE, 0.5, form='nhwc'),
        Bar('modules/A', trained, 1.0, 'kept'),
        Bar('modules/A', HERE, 0.1, form='no such form'),
        Bar('modules/A', Conditions(device='cuda'), 0.1),
        Bar('data/*', HERE, 1.0),
    ]
    rows = [Row('modules', name, lambda conditions: None) for name in 'AB']
    found = list(judge(bars, rows, measure))
    assert asked == [
        ('A', 'eval', ['nhwc'], True),
        ('A', 'train', [], False),
        ('B', 'eval', [], False),
    ] or asked == [
        ('A', 'eval', ['nhwc'], True),
        ('B', 'eval', [], False),
        ('A', 'train', [], False),
    ]
    assert sum(verdict.holds is True for verdict in found) == 3
    assert sum(verdict.holds is False for verdict in found) == 1
    notes = {verdict.note for verdict in found if verdict.holds is None}
    assert "there is no form 'no such form' yet" in notes


def test_no_cuda(monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    bar = Bar('modules/A', Conditions(device='cuda'), 0.5)
    [found] = judge([bar], [Row('modules', 'A', lambda conditions: None)], None)
    assert (found.holds, found.note) == (None, 'no CUDA device')


@pytest.mark.parametrize('has', [True, False])
def test_bfloat16_in_software_is_no_measure(monkeypatch, has):
    monkeypatch.setattr('mmattn.benchmark.bars.has_bfloat16', lambda: has)
    timed = Bar('modules/A', HERE, 1.0, form='bfloat16')
    counted = Bar('modules/A', Conditions(dtype='bfloat16'), 1.0, 'moved')

    def measure(row, conditions, forms, timed):
        return result(*map(figures, ['peer', 'ours', 'ours bfloat16']))

    rows = [Row('modules', 'A', lambda conditions: None)]
    first, second = judge([timed, counted], rows, measure)
    assert first.holds is (True if has else None)
    assert second.holds is True


def test_every_bar_is_about_a_row():
    for bar in BARS:
        group, _, name = bar.rows.partition('/')
        names = [row.name for row in ROWS if row.group == group]
        assert name in names or any(name in ('*', f'{other}*') for other in names), bar
