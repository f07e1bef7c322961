"""The files of the study: every start leaves the host as it is, and then trains."""

import contextlib
import importlib
import re
import shutil
import sqlite3
import statistics
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from mmattn import InsertAttention
from mmattn.sweep.database import Database
from mmattn.sweep.plots import looks_of
from mmattn.sweep.results import read_results
from tests.helpers import randomize

DOCS = Path(__file__).parents[2] / 'docs'
PLAN = Config.fromfile(DOCS / 'study' / 'plan.py')
STARTS = {
    'CoordAttPerChannel': 'identity',
    **{f'{name}UnitGates': 'paper' for name in ('CoordAtt', 'SE', 'ECA', 'CBAM', 'Triplet', 'LKA')},
}


@pytest.fixture(scope='module', autouse=True)
def starts():
    """Register them for these tests alone."""
    before = dict(MODELS.module_dict)
    yield importlib.import_module('docs.study.starts')
    del sys.modules['docs.study.starts']
    MODELS.module_dict.clear()
    MODELS.module_dict.update(before)


def host():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 4, 1))


def with_attention(name):
    site = dict(after='2', attention=dict(type=name))
    return InsertAttention(host(), [site], start=STARTS[name], input_shape=(3, 32, 40))


def test_every_start_is_looked_at(starts):
    kinds = (starts.PerChannel, starts.UnitGates)
    here = {k for k, v in vars(starts).items() if isinstance(v, type) and issubclass(v, kinds)}
    assert here - {kind.__name__ for kind in kinds} == set(STARTS)


@pytest.mark.parametrize('name', STARTS)
@pytest.mark.parametrize('training', [True, False])
def test_the_host_is_what_it_was_bit_for_bit(name, training):
    plain, model = host(), with_attention(name)
    for each in model.modules():
        if hasattr(each, 'init_weights'):
            each.init_weights()
    x = torch.randn(2, 3, 17, 13) * torch.logspace(-6, 6, 17)[:, None]
    for layout in (torch.contiguous_format, torch.channels_last):
        plain, model = (m.train(training).to(memory_format=layout) for m in (plain, model))
        assert torch.equal(model(x), plain(x))


@pytest.mark.parametrize('name', STARTS)
def test_it_does_not_stay_so(name):
    """Every parameter moves, those ahead of a layer of zeros from the second step on."""
    model = with_attention(name)
    inserted = dict(model.named_parameters())
    before = {key: p.detach().clone() for key, p in inserted.items() if 'inserted' in key}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0)
    for step in range(3):
        torch.manual_seed(step)
        loss = model(torch.randn(2, 3, 17, 13)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    still = {key for key, was in before.items() if torch.equal(was, inserted[key])}
    # A bias ahead of a norm has no effect.
    assert {key for key in still if not key.endswith('conv1.bias')} == set()


def test_one_factor_for_each_channel():
    cfg = dict(type='CoordAttPerChannel', in_channels=32, start='identity')
    module = randomize(MODELS.build(cfg))
    plain = MODELS.build(dict(type='CoordAtt', in_channels=32))
    plain.load_state_dict({k: v for k, v in module.state_dict().items() if k != 'blend'})
    x = torch.randn(2, 32, 7, 5)
    out = plain.eval()(x)
    for channel in range(32):
        expected = x[:, channel] + module.blend[channel] * (out - x)[:, channel]
        torch.testing.assert_close(module.eval()(x)[:, channel], expected)


def test_the_places_are_those_behind_depthwise_convolutions_on_expanded_channels():
    timm = pytest.importorskip('timm')
    [pattern] = {PLAN.positions, *(row['after'] for row in PLAN.rows.values())}
    backbone = timm.create_model('tf_efficientnet_lite0', features_only=True)
    names = {f'backbone.timm_model.{name}': module for name, module in backbone.named_modules()}
    found = {name: names[name] for name in names if re.fullmatch(pattern, name)}
    widths = [96, *[144] * 2, *[240] * 2, *[480] * 3, *[672] * 3, *[1152] * 4]
    assert [norm.num_features for norm in found.values()] == widths
    for name, norm in found.items():
        conv = names[name.replace('.bn2', '.conv_dw')]
        assert conv.groups == norm.num_features
        assert isinstance(norm.act, nn.ReLU6)


@pytest.fixture
def results(tmp_path):
    """A copy is read: SQLite may write a journal beside what it opens."""
    shutil.copy(DOCS / 'study' / 'sweep.db', tmp_path)
    with Database(tmp_path) as database:
        return read_results(database)


def factors(row):
    """Give the median, the largest and the number beyond 0.1 of those after 1200 iterations."""
    query = """
        SELECT value FROM scalars JOIN runs ON runs.id = run
        WHERE scalars.name LIKE 'blend/%' AND step = 1200 AND row = ?
    """
    with contextlib.closing(sqlite3.connect(DOCS / 'study' / 'sweep.db')) as database:
        sizes = [abs(value) for [value] in database.execute(query, [row])]
    if not sizes:
        return ['', '']
    assert len(sizes) == 3 * 15
    most = f'{statistics.median(sizes):.2g}, {max(sizes):.2g}'
    return [most, str(sum(size > 0.1 for size in sizes))]


def test_the_figures_of_the_page_are_those_of_the_database(results):
    pytest.importorskip('scipy')
    page = (DOCS / 'study.md').read_text()
    modules, starts = page.split('### The modules')[1].split('### The starts')
    found = {entry.name: entry for entry in results.entries}
    assert len(found) == 19 and all(len(entry.test) == 3 for entry in found.values())

    def cells(entry):
        figures = [f'{entry.mean:.2f} ± {entry.deviation:.2f}', '', '']
        if (beside := entry.comparison) is not None:
            interval = f'[{beside.low:+.2f}, {beside.high:+.2f}]'
            figures[1:] = f'{beside.difference:+.2f} {interval}', f'{beside.adjusted:.3f}'
        return figures

    of_modules, of_starts = (re.findall(r'^\| `.*', part, re.M) for part in (modules, starts))
    assert len(of_modules) == len(of_starts) == 7
    for line in of_modules:
        name, *shown = [cell.strip() for cell in line.strip('|').split('|')]
        entry = found[f'{name.strip("`")}, length=400']
        assert shown[:3] == cells(entry)
        assert shown[3:5] == [
            f'{entry.parameters / 1e6:.3f} M',
            f'{entry.multiply_adds / 1e9:.3f} G',
        ]
    for line in of_starts:
        name, *shown = [cell.strip() for cell in line.strip('|').split('|')]
        for length, place in ((400, 0), (1200, 3)):
            assert shown[place : place + 3] == cells(found[f'{name.strip("`")}, length={length}'])
        assert shown[6:] == factors(name.strip('`'))


def test_no_two_of_many_rows_look_the_same(results):
    looks = looks_of(results)
    assert len(set(looks.values())) == len(looks) == 19
