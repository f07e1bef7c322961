"""What a user can get wrong before anything is trained."""

import pytest

from mmattn.cli import sweep_plot, sweep_run, sweep_table
from mmattn.cli.main import start

DEMO = 'mmattn::demo/upernet_van_tiny_ade20k.py'
GRID = [DEMO, '--modules', 'SE,ECA', '--after', 'neck']


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    # Otherwise the process would begin anew.
    monkeypatch.setenv('OMP_WAIT_POLICY', 'PASSIVE')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    monkeypatch.chdir(tmp_path)

    def call(*words, command=sweep_run):
        with pytest.raises(SystemExit) as stop:
            start(command, [*words])
        return stop.value.code, *capsys.readouterr()

    return call


def test_a_dry_run_lists_the_runs_and_leaves_nothing(call, tmp_path):
    words = ['--after', 'head', '--seeds', '0,1', '--starts', 'paper', '--out', 'out', '--dry-run']
    status, out, _ = call(*GRID, *words)
    assert status == 0
    names = ['none', 'SE-neck', 'SE-head', 'ECA-neck', 'ECA-head']
    assert out.splitlines() == [f'{name}-seed{seed}' for seed in (0, 1) for name in names]
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ('words', 'line'),
    [
        (['gone.py'], 'plan gone.py is not a file; check the path'),
        (['config.py'], 'config.py is a config, not a plan; say what to compare: --modules'),
        (['config.py', '--seeds', '1'], '--seeds is for a base config with --modules and --after'),
        (['--seeds', '1'], '--seeds is for a base config; name it'),
        ([], 'out has no sweep.db; expected the --out of mmattn sweep run'),
        ([*GRID[:3]], 'the command line has modules, but no positions; a grid needs both'),
        ([*GRID, '--seeds', '0,x'], "--seeds expected whole numbers such as 0,1,2, got '0,x'"),
        ([*GRID, '--starts', 'zero'], "start is 'identity' or 'paper', got 'zero'"),
        ([*GRID, '--max-iters', '0'], 'lengths are whole numbers of at least 1, got 0'),
        ([*GRID, '--max-epochs', '3'], 'counts its training in iterations: --max-iters'),
        ([*GRID, '--gpus', '2'], '--gpus 2 needs --launcher pytorch or slurm'),
        ([*GRID, '--gpus', '0'], '--gpus is at least 1, got 0'),
        ([*GRID, '--timeout', '0'], '--timeout is in minutes, above 0, got 0'),
        (['gone.py', *GRID[1:]], 'gone.py is not a file; check the path'),
    ],
)
def test_one_line_and_nothing_left(call, tmp_path, words, line):
    (tmp_path / 'config.py').write_text("model = dict(type='X')\n")
    status, out, err = call(*words, '--out', 'out')
    assert (status, out) == (1, '')
    assert err.startswith('error: ') and line in err and err.count('\n') == 1
    assert [path.name for path in tmp_path.iterdir()] == ['config.py']


def test_an_out_that_is_a_file(call, tmp_path):
    (tmp_path / 'out').touch()
    status, _, err = call(*GRID, '--out', 'out')
    assert status == 1 and 'out cannot be written (Not a directory)' in err


@pytest.mark.parametrize('command', [sweep_table, sweep_plot])
def test_results_of_nothing(call, command):
    status, _, err = call('nowhere', command=command)
    assert status == 1 and err.startswith('error: nowhere has no sweep.db')
