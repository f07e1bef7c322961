"""A VAN that is sharded over two processes on the CPU."""

import re

import pytest
import torch

from mmattn import compat
from mmattn.engine.build import build_runner
from mmattn.engine.config import load_config
from mmattn.errors import InputError
from tests.helpers import needs_torch
from tests.launch import points
from tests.launch.test_dist_scripts import TRAIN, errors, run, succeed

SHARDED = ['runner_type=ShardedRunner', 'sharding.units=Block,']


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp('sharding') / 'van.py'
    text = points.CONFIG.replace("'ToyRegression'", "'ToyVAN'")
    path.write_text(text.replace("'SGD', lr=0.1, momentum=0.9", "'AdamW', lr=0.01"))
    return path


def train(config, work_dir, *args, options=()):
    options = ['--cfg-options', *options] if options else []
    return succeed(TRAIN, config, 2, '--work-dir', work_dir, *args, *options)


def assert_same(path, other, parts=('state_dict', 'optimizer')):
    mine, theirs = (torch.load(p, weights_only=False) for p in (path, other))
    for part in parts:
        torch.testing.assert_close(mine[part], theirs[part], rtol=1e-7, atol=1e-7)


@pytest.mark.slow
@needs_torch('2.6', 'FSDP2')
def test_sharded_training_is_that_of_ddp(config, tmp_path):
    """And each goes on from the other's checkpoint, the optimizer included."""
    train(config, tmp_path / 'ddp')
    out = train(config, tmp_path / 'fsdp', options=SHARDED)
    [(here, total)] = re.findall(r'in 5 units: rank 0 has (\d+) of (\d+) parameters', out)
    assert 0.5 <= int(here) / int(total) < 0.6
    ddp = [tmp_path / 'ddp' / f'iter_{i}.pth' for i in (2, 4)]
    with pytest.raises(AssertionError):
        assert_same(*ddp, parts=['state_dict'])
    for path in ddp:
        assert_same(tmp_path / 'fsdp' / path.name, path)
    for there, here, options in (('fsdp', 'ddp2', []), ('ddp', 'fsdp2', SHARDED)):
        checkpoint = tmp_path / there / 'iter_2.pth'
        train(config, tmp_path / here, '--resume', checkpoint, options=options)
        assert_same(tmp_path / here / 'iter_4.pth', ddp[1])


@needs_torch('2.6', 'FSDP2')
def test_units_that_are_not_there(config, tmp_path):
    options = ['runner_type=ShardedRunner', 'sharding.units=Bloc,']
    status, _, err = run(TRAIN, config, 2, '--work-dir', tmp_path, '--cfg-options', *options)
    assert status == 1
    [error] = errors(err)
    assert "sharding.units: ToyVAN has no module of ['Bloc']" in error


def test_pytorch_is_too_old(config, tmp_path, monkeypatch):
    """For any number of processes, so that a smoke run tells."""
    monkeypatch.setattr(compat, 'TORCH', (2, 5))
    cfg = load_config(str(config), {'runner_type': 'ShardedRunner', 'work_dir': str(tmp_path)})
    with pytest.raises(InputError, match='needs PyTorch 2.6 or newer, got .*; leave it out, so'):
        build_runner(cfg)
