"""Resuming is exact: the same samples, losses and weights as without an interruption."""

import math
import time
from itertools import islice

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler, DataLoader, Sampler

from mmattn.engine.resume.loops import ResumableEpochLoop, ResumableIterLoop, order_of, resumable
from mmattn.engine.runner import Runner
from mmattn.errors import InputError
from tests.engine.toy import ToyData, record_of, toy_config, whole_state, with_validation


def train(cfg, checkpoint=None):
    cfg = cfg.copy()
    if checkpoint:
        cfg.resume, cfg.load_from = True, str(checkpoint)
    # Each process of its own would begin with another state.
    torch.manual_seed(int(time.time_ns()) % 2**31)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.mark.parametrize('checkpoint', ['iter_7', 'iter_14', 'iter_18', 'iter_21'])
@pytest.mark.parametrize('by_epoch', [False, True], ids=['iterations', 'epochs'])
def test_goes_on_bit_for_bit(tmp_path, by_epoch, checkpoint):
    """An epoch has 6 iterations: 18 is the end of one, and not yet the next one's beginning."""
    interval = 6 if checkpoint == 'iter_18' else 7
    # No seed: the one drawn is kept.
    cfg = toy_config(tmp_path, by_epoch, interval=interval)
    whole = train(cfg)
    again = train(cfg, tmp_path / f'{checkpoint}.pth')
    first = int(checkpoint.removeprefix('iter_')) + 1
    assert record_of(again) == {i: record_of(whole)[i] for i in range(first, 31)}
    for name, value in whole_state(whole).items():
        assert torch.equal(whole_state(again)[name], value), name


def test_goes_on_bit_for_bit_from_the_end_of_an_epoch(tmp_path):
    options = {'default_hooks.checkpoint': dict(type='CheckpointHook', by_epoch=True, interval=1)}
    cfg = with_validation(toy_config(tmp_path, by_epoch=True, **options), 1)
    whole = train(cfg)
    again = train(cfg, tmp_path / 'epoch_3.pth')
    assert record_of(again) == {i: record_of(whole)[i] for i in range(19, 31)}
    for name, value in whole_state(whole).items():
        assert torch.equal(whole_state(again)[name], value), name


def test_a_validation_does_not_change_the_training(tmp_path):
    cfg = toy_config(tmp_path / 'a', randomness=dict(seed=3))
    validating = with_validation(toy_config(tmp_path / 'b', randomness=dict(seed=3)), 4)
    assert record_of(train(cfg)) == record_of(train(validating))


def test_a_missed_validation_is_made_up_for_once(tmp_path):
    cfg = with_validation(toy_config(tmp_path), 7)
    validated = []

    def resumed_at_14(folder):
        runner = Runner.from_cfg(cfg)
        runner._resume, runner._load_from = True, str(tmp_path / 'iter_14.pth')
        runner.logger.setLevel('ERROR')
        validated.clear()
        run = type(runner).call_hook

        def spy(self, name, **kwargs):
            if name == 'before_val':
                validated.append(self.iter)
            run(self, name, **kwargs)

        runner.call_hook = spy.__get__(runner)
        runner.train()
        return validated

    train(cfg)
    (tmp_path / 'last_validation').write_text('7')
    assert resumed_at_14(tmp_path) == [14, 21, 28, 30]
    (tmp_path / 'last_validation').write_text('14')
    assert resumed_at_14(tmp_path) == [21, 28, 30]


class Begun:
    """What stock mmengine makes of a loader when it makes a loop."""

    def __init__(self, dataloader):
        self.iterator = iter(dataloader)


@pytest.mark.parametrize('is_begun', [False, True], ids=['lazy', 'begun'])
@pytest.mark.parametrize('persistent', [False, True], ids=['new', 'persistent'])
@pytest.mark.parametrize(
    'by_epoch',
    [False, pytest.param(True, marks=pytest.mark.slow)],
    ids=['iterations', 'epochs'],
)
def test_order_with_workers(tmp_path, by_epoch, persistent, is_begun, monkeypatch):
    if is_begun:
        monkeypatch.setattr('mmengine.runner.loops._InfiniteDataloaderIterator', Begun)
    cfg = toy_config(tmp_path, by_epoch)
    cfg.train_dataloader.update(num_workers=2, persistent_workers=persistent)
    whole, again = train(cfg), train(cfg, tmp_path / 'iter_21.pth')
    order = {i: indices for i, (indices, _) in record_of(whole).items()}
    assert list(order) == [*range(1, 31)]
    assert {i: indices for i, (indices, _) in record_of(again).items()} == {
        i: order[i] for i in range(22, 31)
    }


@pytest.mark.parametrize('by_epoch', [False, True], ids=['iterations', 'epochs'])
def test_nothing_is_loaded_twice(tmp_path, by_epoch):
    cfg = toy_config(tmp_path, by_epoch, interval=20)
    train(cfg)
    ToyData.loaded.clear()
    again = train(cfg, tmp_path / 'iter_20.pth')
    assert ToyData.loaded == [i for indices, _ in record_of(again).values() for i in indices]


def test_a_checkpoint_of_mmengine(tmp_path):
    """Without the place in the data and the random numbers, the order is still the same."""
    whole = train(toy_config(tmp_path, by_epoch=True))
    path = tmp_path / 'iter_21.pth'
    checkpoint = torch.load(path, weights_only=False)
    del checkpoint['meta']['training_state']
    torch.save(checkpoint, path)
    again = train(toy_config(tmp_path, by_epoch=True), path)
    order = {i: indices for i, (indices, _) in record_of(whole).items()}
    assert {i: indices for i, (indices, _) in record_of(again).items()} == {
        i: order[i] for i in range(22, 31)
    }


def test_an_iteration_of_another_epoch_begins_it_anew(tmp_path, monkeypatch):
    train(toy_config(tmp_path, by_epoch=True))
    path = tmp_path / 'iter_21.pth'
    checkpoint = torch.load(path, weights_only=False)
    del checkpoint['meta']['training_state']
    checkpoint['meta']['epoch'] = 1
    torch.save(checkpoint, path)
    said = []
    monkeypatch.setattr('logging.Logger.warning', lambda self, line, *args: said.append(line))
    again = train(toy_config(tmp_path, by_epoch=True), path)
    line = 'Iteration 21 is not in epoch 2 of 6 batches: the epoch begins anew'
    assert said.count(line) == 1
    # Epochs 2 to 5, whole.
    assert len(record_of(again)) == 24


class Pairs(Sampler):
    """Draws batches without saying of how many."""

    def __iter__(self):
        return iter([[0, 1], [2, 3], [4, 5]])


def test_batches_of_a_size_that_nobody_tells_are_counted_as_they_are():
    data = DataLoader(ToyData(), batch_sampler=Pairs())
    loop = ResumableIterLoop.__new__(ResumableIterLoop)
    loop.dataloader, loop._order = data, order_of(data)
    state = dict(batch=2, batch_size=None, sampler_seed=None, worker_seed=1)
    loop.resume([state], seed=1)
    assert loop.batch == 2


def test_only_the_loops_of_mmengine_are_replaced():
    assert resumable(dict(type='IterBasedTrainLoop', max_iters=3)) == dict(
        type=ResumableIterLoop, max_iters=3
    )
    assert resumable(dict(by_epoch=True, max_epochs=3)) == dict(
        type=ResumableEpochLoop, max_epochs=3
    )
    assert resumable(dict(type='MyLoop')) == dict(type='MyLoop')


def test_a_loader_without_indices_is_refused():
    with pytest.raises(InputError, match='no training with it can be resumed'):
        order_of(DataLoader(iter([1, 2]).__class__, batch_size=None, sampler=[0]))


class Ranked:
    """A sampler as the process of a rank would have it."""

    def __init__(self, kind, rank, ranks, monkeypatch):
        self.data = ToyData()
        module = 'mmengine.dataset.sampler.get_dist_info'
        with monkeypatch.context() as patch:
            patch.setattr(module, lambda: (rank, ranks))
            self.sampler = kind(self.data, shuffle=True, seed=5)


def loader(sampler, batches, workers, size=3):
    return DataLoader(
        sampler.dataset,
        batch_sampler=batches(sampler, batch_size=size, drop_last=False),
        num_workers=workers,
        collate_fn=lambda items: [item['data_samples'].idx for item in items],
    )


def mmdet_sampler(name):
    samplers = pytest.importorskip('mmdet.datasets.samplers')
    return getattr(samplers, name)


@pytest.mark.parametrize(('ranks', 'workers'), [(1, 0), (3, 0), (1, 2)])
@pytest.mark.parametrize('kind', [InfiniteSampler, DefaultSampler])
@pytest.mark.parametrize('batches', ['BatchSampler', 'AspectRatioBatchSampler'])
def test_order_of_any_sampler(monkeypatch, batches, kind, ranks, workers):
    batches = BatchSampler if batches == 'BatchSampler' else mmdet_sampler(batches)

    def first(count, skipped=0):
        found = []
        for rank in range(ranks):
            data = loader(Ranked(kind, rank, ranks, monkeypatch).sampler, batches, workers)
            loop = ResumableIterLoop.__new__(ResumableIterLoop)
            loop.dataloader, loop._order, loop.batch = data, order_of(data), skipped
            found.append(list(islice(loop._batches(), count - skipped)))
        return found

    whole = first(26)
    epoch = math.ceil(len(ToyData()) / ranks / 3)
    assert whole[0][:epoch] != whole[0][epoch : 2 * epoch]
    for skipped in (17,) if workers else (1, 8, 17):
        assert first(26, skipped) == [order[skipped:] for order in whole]


def test_far_into_a_run_takes_seconds(monkeypatch):
    """As many batches as in the longest of the configs, of an aspect ratio sampler."""
    batches = mmdet_sampler('AspectRatioBatchSampler')
    data = loader(Ranked(InfiniteSampler, 0, 8, monkeypatch).sampler, batches, 0)
    ToyData.loaded.clear()
    assert order_of(data).skip(150_000) == 150_000
    assert ToyData.loaded == []
