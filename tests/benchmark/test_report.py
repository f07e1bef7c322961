"""What is printed and written."""

import json

import pytest

from mmattn.benchmark.bars import Bar, Verdict
from mmattn.benchmark.cases import Conditions
from mmattn.benchmark.measure import Figures, Result
from mmattn.benchmark.report import COLUMNS, Report, describe_run, line_of, lines_of
from mmattn.probe.timing import Timed
from mmattn.probe.traffic import Traffic

CONDITIONS = Conditions(dtype='bfloat16', mode='train', shape=(2, 64, 32, 32))
PEER = Figures('timm', Timed(0.004, 0.005, 1, 1, 1, 1, 7), Traffic(6000, 2000, 9), 1000, 0.0)
OURS = Figures(
    'ours', Timed(0.002, 0.004, 0.5, 0.8, 0.4, 0.6, 7), Traffic(3000, 3000, 7), 500, 2e-7
)
RESULT = Result('modules', 'CBAM', CONDITIONS, [(2, 64, 32, 32)], [PEER, OURS], ['a remark'])
BAR = Bar('modules/*', CONDITIONS, 1.05)


def test_lines():
    head, columns, peer, ours, remark = lines_of(RESULT)
    assert head == 'modules/CBAM: 2x64x32x32, cpu, bfloat16, nchw, train'
    assert columns.split() == list(COLUMNS)
    assert peer.split()[:3] == ['timm', '4.000', 'ms']
    cells = ['ours', '2.000 ms', '0.50', '0.40-0.60', '4.000 ms', '0.80', '0.006 MB', '0.75']
    assert ours.split() == ' '.join([*cells, '0.001 MB', '0.50', '7', '2e-07']).split()
    assert remark == '  a remark'
    # Columns stand below each other.
    assert len({len(line) for line in (columns, peer, ours)}) == 1


def test_a_column_without_figures_is_left_out():
    counted = [Figures(each.name, None, each.traffic, None) for each in (PEER, OURS)]
    _, columns, *_ = lines_of(Result('modules', 'CBAM', CONDITIONS, [], counted))
    assert columns.split() == ['candidate', 'moved', 'ratio', 'operations']


def test_a_row_that_was_not_measured():
    lines = list(lines_of(Result('modules', 'CBAM', CONDITIONS, remarks=['no timm'])))
    assert lines == ['modules/CBAM: 2x64x32x32, cpu, bfloat16, nchw, train', '  no timm']


@pytest.mark.parametrize(
    ('verdict', 'end'),
    [
        (Verdict(BAR, 'modules/CBAM', 1.0, True, 'wall'), '1.00 <= 1.05 holds (wall)'),
        (Verdict(BAR, 'modules/CBAM', 2.0, False, 'wall'), '2.00 <= 1.05 DOES NOT HOLD (wall)'),
        (Verdict(BAR, 'modules/CBAM', None, None, 'why'), '<= 1.05 was not measured: why'),
    ],
)
def test_line_of_a_bar(verdict, end):
    line = line_of(verdict)
    assert line.startswith('modules/CBAM, ours, time (2x64x32x32, cpu, bfloat16, nchw, train): ')
    assert line.endswith(end)


def test_files(tmp_path):
    report = Report('mmattn benchmark CBAM', tmp_path)
    report.add(RESULT)
    # What was measured is there before anything else is.
    data = json.loads((tmp_path / 'benchmark.json').read_text())
    assert data['command'] == 'mmattn benchmark CBAM'
    [row] = data['rows']
    assert (row['name'], row['remarks'], row['failed']) == ('CBAM', ['a remark'], False)
    assert row['conditions']['dtype'] == 'bfloat16'
    ours = row['candidates'][1]
    assert ours['timed']['wall'] == 0.002
    assert (ours['moved_ratio'], ours['kept_ratio']) == (0.75, 0.5)
    assert ours['traffic'] == dict(read=3000, written=3000, operations=7, moved=6000)
    report.add_verdict(Verdict(BAR, 'modules/CBAM', 2.0, False, 'wall'))
    data = json.loads((tmp_path / 'benchmark.json').read_text())
    assert data['bars'][0]['holds'] is False
    text = (tmp_path / 'benchmark.md').read_text()
    assert '| ours | 2.000 ms | 0.50 | 0.40-0.60 |' in text
    assert '- a remark' in text
    assert 'DOES NOT HOLD' in text
    assert {path.name for path in tmp_path.iterdir()} == {'benchmark.json', 'benchmark.md'}


def test_the_run():
    run = describe_run('mmattn benchmark data')
    assert run['versions']['torch']
    assert run['versions']['mmengine']
    assert run['machine']['cores'] >= 1
    assert json.loads(json.dumps(run)) == run
