"""Checkpoints: whole, found again, and never fewer than before."""

import os
import resource
import time
from pathlib import Path

import pytest
import torch

from mmattn.engine import Runner
from mmattn.engine.checkpoint_files import find_last, write_whole
from mmattn.engine.options import resume
from mmattn.errors import InputError
from tests.engine.toy import record_of, toy_config, with_validation


def train(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def names(folder):
    files = [path for path in Path(folder).iterdir() if path.is_file()]
    # The config lies there as well.
    return sorted(path.name for path in files if path.suffix != '.py')


@pytest.fixture
def saves(monkeypatch):
    """What was in the folder whenever a checkpoint was begun and finished."""
    seen = []
    save = Runner.save_checkpoint

    def spy(self, out_dir, *args, **kwargs):
        before = {path.stem for path in Path(out_dir).glob('*.pth')}
        save(self, out_dir, *args, **kwargs)
        seen.append((before, {path.stem for path in Path(out_dir).glob('*.pth')}))

    monkeypatch.setattr(Runner, 'save_checkpoint', spy)
    return seen


def test_the_oldest_goes_when_the_newest_is_there(tmp_path, saves):
    cfg = toy_config(tmp_path, iterations=20, interval=5)
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    train(cfg)
    assert saves[1:3] == [
        ({'iter_5'}, {'iter_5', 'iter_10'}),
        ({'iter_10'}, {'iter_10', 'iter_15'}),
    ]
    assert names(tmp_path) == ['iter_20.pth', 'last_checkpoint']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_20.pth')


def test_the_best_goes_when_the_better_is_there(tmp_path, saves):
    cfg = with_validation(toy_config(tmp_path, iterations=20, interval=5), 5)
    # The outputs come nearer to 1.
    cfg.default_hooks.checkpoint.update(max_keep_ckpts=1, save_best='mean', rule='greater')
    train(cfg)
    for before, after in saves:
        assert before <= after
    assert [name for name in names(tmp_path) if name.startswith('best')] == [
        max((name for name in names(tmp_path) if name.startswith('best')), key=len)
    ]


def test_a_removal_that_was_killed_is_made_up_for(tmp_path, monkeypatch):
    cfg = toy_config(tmp_path, iterations=10, interval=5)
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    with monkeypatch.context() as patch:
        patch.setattr('mmattn.engine.checkpoint_hook._remove', lambda backend, path: None)
        train(cfg)
    (tmp_path / 'iter_9.pth.partial').touch()
    assert {'iter_5.pth', 'iter_10.pth'} <= set(names(tmp_path))
    cfg.resume, cfg.train_cfg.max_iters = True, 11
    train(cfg)
    assert 'iter_5.pth' not in names(tmp_path) and 'iter_9.pth.partial' not in names(tmp_path)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    train(toy_config(folder, iterations=15, interval=5))
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A run of three checkpoints, in a folder of its own."""
    for i, step in enumerate((5, 10, 15)):
        path = tmp_path / f'iter_{step}.pth'
        path.write_bytes((trained / path.name).read_bytes())
        now = time.time() - 10 + i
        os.utime(path, (now, now))
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_15.pth'))
    return tmp_path


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize('damage', [truncate, flip, Path.unlink, lambda p: p.write_bytes(b'')])
def test_a_damaged_newest_gives_way_to_the_one_before(run, damage, caplog):
    assert find_last(run) == str(run / 'iter_15.pth')
    damage(run / 'iter_15.pth')
    # The best weights are no place to go on from.
    best = torch.load(run / 'iter_10.pth', weights_only=False)
    del best['optimizer']
    torch.save(best, run / 'best_mean.pth')
    cfg = toy_config(run, iterations=12)
    cfg.resume = True
    runner = train(cfg)
    assert list(record_of(runner)) == [11, 12]


def test_the_warning_names_both(run, monkeypatch):
    truncate(run / 'iter_15.pth')
    said = []
    monkeypatch.setattr(
        'mmattn.engine.checkpoint_files.print_log', lambda line, *args: said.append(line)
    )
    assert find_last(run) == str(run / 'iter_10.pth')
    [line] = said
    assert 'iter_15.pth is damaged' in line and line.endswith(f'going on from {run}/iter_10.pth')


def test_a_damaged_file_that_was_named_is_an_error(run):
    path = run / 'iter_15.pth'
    truncate(path)
    with pytest.raises(InputError, match=r'iter_15\.pth is damaged .*; name another one'):
        resume(toy_config(run), str(path))
    cfg = toy_config(run)
    resume(cfg, 'auto')
    assert cfg.load_from == str(run / 'iter_10.pth')


def test_nothing_whole_is_an_error(run):
    for path in run.glob('*.pth'):
        truncate(path)
    with pytest.raises(InputError, match='no other whole checkpoint beside it'):
        find_last(run)


def test_last_checkpoint_is_replaced_in_one_step(tmp_path):
    path = tmp_path / 'last_checkpoint'
    path.write_text('old')

    def write(partial):
        partial.write_text('ne')
        assert path.read_text() == 'old'
        partial.write_text('new')

    write_whole(path, write)
    assert path.read_text() == 'new' and names(tmp_path) == ['last_checkpoint']


def test_a_full_disk_is_one_line_and_keeps_the_one_before(tmp_path):
    cfg = toy_config(tmp_path, iterations=5, interval=5)
    runner = train(cfg)
    before = names(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system refuses to let a file grow beyond this, as a full disk would.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(InputError) as raised:
            runner.save_checkpoint(str(tmp_path), 'iter_6.pth')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    message = str(raised.value)
    assert 'iter_6.pth cannot be written' in message and 'MB are free' in message
    assert 'it needs about' in message and '\n' not in message
    assert names(tmp_path) == before
    assert find_last(tmp_path) == str(tmp_path / 'iter_5.pth')
