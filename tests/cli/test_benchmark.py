"""The command that measures ours beside its peers."""

import json

import pytest

from mmattn.benchmark.cases import Candidate, Case, Row
from mmattn.benchmark.plain import Plain, add
from mmattn.cli import benchmark
from mmattn.cli.main import start


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    """Give the exit status, the output and the errors of the command."""
    # The command would start anew, as another process.
    monkeypatch.setenv('OMP_WAIT_POLICY', 'PASSIVE')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    monkeypatch.chdir(tmp_path)

    def call(*words):
        with pytest.raises(SystemExit) as stop:
            start(benchmark, [str(word) for word in words])
        return stop.value.code, *capfd.readouterr()

    return call


def test_one_tiny_module(call, tmp_path):
    options = ('--shape', 1, 4, 3, 5, '--mode', 'train', '--out', 'found')
    status, out, err = call('AddFusion', *options)
    assert status == 0, err
    assert out.startswith('modules/AddFusion: 1x4x3x5, cpu, float32, nchw, train\n')
    [row] = json.loads((tmp_path / 'found' / 'benchmark.json').read_text())['rows']
    peer, ours = row['candidates']
    assert (peer['name'], ours['name']) == ('plain', 'ours')
    assert ours['timed']['rounds'] == 7
    assert ours['moved_ratio'] == 1
    assert '| plain |' in (tmp_path / 'found' / 'benchmark.md').read_text()


def test_the_command_line_is_kept(call, tmp_path):
    words = ('AddFusion', '--dtype', 'float32', 'bfloat16', '--count', '--shape', 1, 4, 3, 5)
    status, out, _ = call(*words, '--out', 'found')
    assert status == 0
    assert out.count('modules/AddFusion') == 2
    assert 'wall' not in out
    data = json.loads((tmp_path / 'found' / 'benchmark.json').read_text())
    assert data['command'] == (
        'mmattn benchmark AddFusion --dtype float32 bfloat16 --shape 1 4 3 5 --count'
    )


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ([], 'expected what to measure: modules, backbones'),
        (['CoordAt'], "'CoordAt' is no row of the benchmark; did you mean 'CoordAtt'?"),
        (['SE', '--device', 'cuda'], '--device cuda, but PyTorch sees no CUDA device'),
        (['SE', '--rounds', 3], '--rounds 3: expected a whole number from 7 on'),
        (['SE', '--shape', 1, 0, 2, 2], '--shape 1 0 2 2: expected four whole numbers'),
        (['SE', '--forms', 'golden'], '--forms golden: expected one of nhwc'),
        (['SE', '--bars', '--dtype', 'float16'], 'conditions of its own; leave out --dtype'),
        (['SE', '--out', 'file/folder'], '--out file/folder cannot be made'),
    ],
)
def test_refusals(call, tmp_path, words, message):
    (tmp_path / 'file').touch()
    status, out, err = call(*words)
    assert (status, out) == (1, '')
    assert message in err
    assert len(err.strip().splitlines()) == 1


def rows_of(monkeypatch, *functions):
    rows = [Row('modules', f'row{i}', lambda conditions, f=f: f()) for i, f in enumerate(functions)]
    monkeypatch.setattr('mmattn.benchmark.rows.ROWS', rows)


def fine():
    from torch import nn

    candidates = [Candidate(name, Plain(nn.Identity(), add)) for name in ('peer', 'ours')]
    return Case(candidates, [(1, 2, 3, 4)] * 2)


def broken():
    raise ValueError('a fault')


def interrupted():
    raise KeyboardInterrupt


def test_a_row_that_fails_fails_the_command(call, monkeypatch):
    rows_of(monkeypatch, broken, fine)
    status, out, _ = call('modules', '--count')
    assert status == 1
    assert 'failed: ValueError: a fault' in out
    # The others are measured.
    assert out.index('row1') > out.index('a fault')


def test_an_interrupt_keeps_what_was_measured(call, monkeypatch, tmp_path):
    rows_of(monkeypatch, fine, interrupted, fine)
    status, _, err = call('modules', '--count', '--out', 'found')
    assert status == 130
    assert err.strip() == 'error: interrupted; what was measured until then is in found'
    rows = json.loads((tmp_path / 'found' / 'benchmark.json').read_text())['rows']
    assert [row['name'] for row in rows] == ['row0']


def test_bars(call, monkeypatch, tmp_path):
    from mmattn.benchmark.bars import Bar
    from mmattn.benchmark.cases import Conditions

    rows_of(monkeypatch, fine)
    here = Conditions()
    bars = [Bar('modules/*', here, 1.0, 'moved'), Bar('modules/*', here, 9, form='golden')]
    monkeypatch.setattr('mmattn.benchmark.bars.BARS', bars)
    status, out, _ = call('--bars', '--out', 'found')
    assert status == 0
    assert '1.00 <= 1.00 holds (counted)' in out
    assert "was not measured: there is no form 'golden' yet" in out
    monkeypatch.setattr('mmattn.benchmark.bars.BARS', [Bar('modules/*', here, 0.9, 'moved')])
    status, out, _ = call('--bars', '--out', 'found')
    assert status == 1
    [bar] = json.loads((tmp_path / 'found' / 'benchmark.json').read_text())['bars']
    assert (bar['measured'], bar['holds']) == (1, False)
