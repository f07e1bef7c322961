"""The table and the pictures of results that were written by hand."""

import csv
import io

import numpy as np
import pytest

from mmattn.cli import sweep_plot, sweep_table
from mmattn.cli.main import start
from mmattn.errors import InputError
from mmattn.sweep.database import Database
from mmattn.sweep.plots import BASELINE_COLOUR, draw_costs, draw_curves, looks_of
from mmattn.sweep.results import read_results


@pytest.fixture
def results(finished):
    with Database(finished) as database:
        yield read_results(database)


def run(command, *words):
    with pytest.raises(SystemExit) as stop:
        start(command, [*map(str, words)])
    return stop.value.code


def test_what_the_table_says(finished, capsys):
    assert run(sweep_table, finished) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = {line.split(' | ')[0].strip('| '): line.split(' | ') for line in lines[2:5]}
    assert cells['none'][1:3] == ['61.00 ± 1.00', '3'] and cells['none'][5] == 'baseline'
    assert cells['none'][7:] == ['1.000 M', '2.000 G', '10.0 ± 0.5 ms', '1002 MiB |']
    # 2.0, 2.1 and 2.2 more: t = 2.1 / (0.1 / sqrt 3) = 36.37, p = 0.00075, the larger of two.
    assert cells['CoordAtt'][3] == '+2.10 [+1.85, +2.35]'
    assert cells['CoordAtt'][4:7] == ['0.002', 'higher', '']
    # 0.5 more and 0.2 less.
    assert cells['SE'][1:4] == ['60.65 ± 0.21', '2', '+0.15 [-4.30, +4.60]']
    assert cells['SE'][5] == 'not distinguishable from the baseline with 2 seeds'
    assert int(cells['SE'][6]) > 50 and cells['SE'][7] == ''
    assert 'Runs that are not done: 1; of these have failed: 1.' in lines
    assert 'Versions: torch 2.1.0.' in lines and 'Machine: a machine, 2 cores.' in lines


def test_the_same_as_csv_into_a_file(finished, tmp_path, capsys):
    path = tmp_path / 'table.csv'
    assert run(sweep_table, finished, '--format', 'csv', '--out', path) == 0
    rows = {row['row']: row for row in csv.DictReader(io.StringIO(path.read_text()))}
    assert float(rows['CoordAtt']['difference']) == pytest.approx(2.1)
    assert float(rows['none']['val_mean']) == 62.0 and rows['none']['p'] == ''
    assert rows['SE']['runs_failed'] == '1' and rows['SE']['common_seeds'] == '2'
    assert rows['SE']['parameters'] == '' and rows['none']['multiply_adds'] == '2000000000'


def test_points_are_means_and_bars_are_deviations(results):
    figure = draw_costs(results)
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels == ['parameters (M)', 'multiply-adds (G)', 'latency of one image (ms)']
    drawn = {c.get_label(): c for c in figure.axes[0].containers}
    # SE has no cost, and so no place.
    assert [*drawn] == ['none (n = 3)', 'CoordAtt (n = 3)']
    line, _, [bars] = drawn['none (n = 3)']
    assert (line.get_xdata()[0], line.get_ydata()[0]) == (1.0, 61.0)
    assert bars.get_segments()[0].tolist() == [[1.0, 60.0], [1.0, 62.0]]
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*drawn]


def test_curves_are_means_over_seeds(finished, results):
    with Database(finished) as database:
        figure = draw_curves(database, results, 'loss')
        assert draw_curves(database, results, 'none such') is None
    [axes] = figure.axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines['none'] == [[10.0, pytest.approx(1.9)]]
    assert lines['SE'] == [[10.0, pytest.approx(1.95)]]
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (pytest.approx(1.8), pytest.approx(2.0))
    assert axes.get_xlabel() == 'iteration'


def test_no_two_variants_look_the_same(results):
    looks = looks_of(results)
    assert looks['none'][0] == BASELINE_COLOUR
    assert len(set(looks.values())) == len(looks) == 3


def test_pictures_are_written_and_what_is_not_there_is_listed(finished, tmp_path, capsys):
    assert run(sweep_plot, finished, '--curve', 'mIoU', '--curve', 'grad_norm') == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        str(finished / 'plots' / 'accuracy_cost.png'),
        str(finished / 'plots' / 'curve_mIoU.png'),
        'failed: curve_grad_norm.png: no run that is done has these values',
    ]
    import matplotlib.image

    picture = matplotlib.image.imread(lines[0])
    assert picture.shape[0] > 300 and np.ptp(picture) > 0.5


def test_a_folder_without_results(tmp_path):
    with Database(tmp_path, create=True) as database, pytest.raises(InputError, match='no plan'):
        read_results(database)
