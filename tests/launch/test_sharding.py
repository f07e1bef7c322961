"""Sharding over two processes on the CPU."""

import pytest
import torch

from mmattn.datasets import make_tiny_ade20k
from tests.launch.test_dist_scripts import ROOT, TRAIN, errors, run, succeed
from tests.tools import test_tools

SHARDED = ['runner_type=ShardedRunner', 'sharding.units=Block,']


@pytest.fixture(scope='module')
def van(tmp_path_factory):
    """VAN without randomness, so that losses depend on the weights only."""
    folder = tmp_path_factory.mktemp('van')
    make_tiny_ade20k(folder / 'data', train=4, val=1)
    text = test_tools.CONFIG.format(root=ROOT, data=folder / 'data')
    text = text.replace(
        "dict(type='RandomCrop', crop_size=(64, 64))", "dict(type='Resize', scale=(64, 64))"
    )
    text += """
model['backbone']['drop_path_rate'] = 0.0
model['decode_head']['dropout_ratio'] = 0.0
model['auxiliary_head']['dropout_ratio'] = 0.0
train_cfg = dict(max_iters=4, val_interval=4)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
randomness = dict(seed=0)
"""
    path = folder / 'tiny.py'
    path.write_text(text)
    return path


def train(van, work_dir, *args, options=()):
    options = ['--cfg-options', *options] if options else []
    return succeed(TRAIN, van, 2, '--work-dir', work_dir, *args, *options)


def load(path):
    return torch.load(path, weights_only=False)


def assert_same(path, other):
    mine, theirs = load(path), load(other)
    for part in ('state_dict', 'optimizer'):
        torch.testing.assert_close(mine[part], theirs[part], rtol=1e-4, atol=1e-6)


def test_sharded_training_is_that_of_ddp(van, tmp_path):
    """And each goes on from the other's checkpoint, the optimizer included."""
    train(van, tmp_path / 'ddp')
    out = train(van, tmp_path / 'fsdp', options=SHARDED)
    assert 'Sharded over 2 ranks in 5 units' in out
    for name in ('iter_2.pth', 'iter_4.pth'):
        assert_same(tmp_path / 'fsdp' / name, tmp_path / 'ddp' / name)
    for there, here, options in (('fsdp', 'ddp2', []), ('ddp', 'fsdp2', SHARDED)):
        checkpoint = tmp_path / there / 'iter_2.pth'
        train(van, tmp_path / here, '--resume', checkpoint, options=options)
        assert_same(tmp_path / here / 'iter_4.pth', tmp_path / 'ddp' / 'iter_4.pth')


def test_units_that_are_not_there(van, tmp_path):
    options = ['runner_type=ShardedRunner', 'sharding.units=Bloc,']
    status, _, err = run(TRAIN, van, 2, '--work-dir', tmp_path, '--cfg-options', *options)
    assert status == 1
    [error] = errors(err)
    assert 'sharding.units: EncoderDecoder has no module of ' in error
