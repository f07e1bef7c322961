"""A training that goes on with another config does what that says, and names what is other."""

import copy
import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler

from mmattn.engine.resume.loops import ResumableEpochLoop, ResumableIterLoop, order_of
from mmattn.engine.resume.settings import compare_settings, settings_of
from mmattn.engine.runner import Runner
from mmattn.errors import InputError
from tests.engine.resume.test_loops import Ranked, loader, mmdet_sampler
from tests.engine.toy import record_of, toy_config, with_validation

POLY = dict(type='PolyLR', power=1.0, by_epoch=False, begin=0, end=12)
WARM = dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=6)


class Rates:
    """The learning rate of each iteration, and what the log warns of."""

    def __init__(self, cfg, monkeypatch, checkpoint=None, **changes):
        cfg = copy.deepcopy(cfg)
        cfg.merge_from_dict(changes)
        if checkpoint is not None:
            cfg.resume, cfg.load_from = True, str(checkpoint)
        self.runner = runner = Runner.from_cfg(cfg)
        self.values, self.said, self.validated = {}, [], []
        monkeypatch.setattr(runner.logger, 'warning', lambda line, *args: self.said.append(line))
        run = runner.call_hook

        def spy(name, **kwargs):
            if name == 'before_train_iter':
                groups = runner.optim_wrapper.optimizer.param_groups
                self.values[runner.iter] = groups[0]['lr'], groups[0]['weight_decay']
            elif name == 'before_val':
                self.validated.append(runner.iter)
            run(name, **kwargs)

        runner.call_hook = spy
        runner.train()

    def from_4(self):
        return {i: value for i, value in self.values.items() if i >= 4}


def config(folder, **others):
    cfg = toy_config(folder, iterations=8, interval=4, randomness=dict(seed=3))
    cfg.param_scheduler = [dict(POLY, end=8)]
    cfg.merge_from_dict(others)
    return cfg


@pytest.fixture(scope='module')
def begun(tmp_path_factory):
    folder = tmp_path_factory.mktemp('begun')
    Runner.from_cfg(with_validation(config(folder), 4)).train()
    return folder


CHANGES = {
    'longer': {'train_cfg.max_iters': 12, 'param_scheduler': [POLY]},
    'lr': {'optim_wrapper.optimizer.lr': 0.005},
    'weight decay': {'optim_wrapper.optimizer.weight_decay': 0.3},
    'two schedules': {'param_scheduler': [WARM, dict(POLY, begin=6, end=8)]},
    'another kind': {'param_scheduler': [dict(type='StepLR', step_size=3, by_epoch=False)]},
    'none': {'param_scheduler': None},
}


@pytest.mark.parametrize('changes', CHANGES.values(), ids=CHANGES)
def test_the_config_holds_from_here_on(begun, tmp_path, monkeypatch, changes):
    changes = {**changes, 'work_dir': str(tmp_path)}
    again = Rates(config(tmp_path), monkeypatch, begun / 'iter_4.pth', **changes)
    assert again.values == Rates(config(tmp_path), monkeypatch, **changes).from_4()
    for key in changes.keys() - {'work_dir', 'param_scheduler'}:
        assert any(line.startswith(f'  {key}: ') for line in again.said), key
    assert sum('--resume-schedule checkpoint' in line for line in again.said) == 1


def test_the_checkpoint_holds_where_that_is_chosen(begun, tmp_path, monkeypatch):
    cfg = config(tmp_path, resume_schedule='checkpoint')
    as_before = Rates(config(tmp_path), monkeypatch).from_4()
    for change in ('lr', 'weight decay', 'longer'):
        again = Rates(cfg, monkeypatch, begun / 'iter_4.pth', **CHANGES[change])
        assert {i: again.values[i] for i in as_before} == as_before
        assert 'Learning rate and schedules go on as those of the checkpoint' in again.said
    for change in ('two schedules', 'another kind'):
        with pytest.raises(InputError, match='--resume-schedule config'):
            Rates(cfg, monkeypatch, begun / 'iter_4.pth', **CHANGES[change])
    cfg.resume_schedule = 'both'
    with pytest.raises(InputError, match="has to be 'config' or 'checkpoint', got 'both'"):
        Rates(cfg, monkeypatch, begun / 'iter_4.pth')


def test_a_checkpoint_that_keeps_no_settings(begun, tmp_path, monkeypatch):
    """Then the values themselves are compared; others of another number may be damage."""
    checkpoint = torch.load(begun / 'iter_4.pth', weights_only=False)
    del checkpoint['meta']['settings']
    path = tmp_path / 'from.pth'
    torch.save(checkpoint, path)
    cfg = config(tmp_path)
    same = Rates(cfg, monkeypatch, path)
    assert same.values == Rates(cfg, monkeypatch).from_4()
    assert [line for line in same.said if 'from.pth' in line] == [
        f'{path} does not keep the settings of its training: only its optimizer and schedules can '
        'be compared, and they are the same'
    ]
    other = Rates(cfg, monkeypatch, path, **CHANGES['lr'])
    assert other.values == Rates(cfg, monkeypatch, **CHANGES['lr']).from_4()
    assert '  lr: 0.02 in the checkpoint, 0.005 in the config' in other.said
    with pytest.raises(InputError, match='has 1 schedules, the config has 2'):
        Rates(cfg, monkeypatch, path, **CHANGES['two schedules'])
    cfg.resume_schedule = 'config'
    other = Rates(cfg, monkeypatch, path, **CHANGES['two schedules'])
    assert other.values == Rates(cfg, monkeypatch, **CHANGES['two schedules']).from_4()


@pytest.mark.parametrize('part', ['optimizer', 'param_schedulers'])
def test_schedules_of_which_nothing_is_left_go_on(begun, tmp_path, monkeypatch, part):
    checkpoint = torch.load(begun / 'iter_4.pth', weights_only=False)
    del checkpoint[part]
    torch.save(checkpoint, tmp_path / 'from.pth')
    cfg = config(tmp_path, resume_partial=True)
    again = Rates(cfg, monkeypatch, tmp_path / 'from.pth')
    assert again.values == Rates(cfg, monkeypatch).from_4()


def test_schedules_that_go_by_validations_begin_anew(begun, tmp_path, monkeypatch):
    plateau = dict(type='ReduceOnPlateauLR', monitor='mean', by_epoch=True)
    cfg = with_validation(config(tmp_path, param_scheduler=[plateau]), 4)
    again = Rates(cfg, monkeypatch, begun / 'iter_4.pth')
    assert [line for line in again.said if 'begins anew' in line] == [
        'ReduceOnPlateauLR begins anew: where it would be depends on the validations before'
    ]
    assert {lr for lr, _ in again.values.values()} == {0.02}


def test_the_learning_rate_is_scaled_by_the_new_batch_size(begun, tmp_path, monkeypatch):
    changes = {'auto_scale_lr': dict(enable=True, base_batch_size=4)}
    cfg = config(tmp_path, **changes)
    Rates(cfg, monkeypatch)
    changes = {'train_dataloader.batch_size': 8}
    again = Rates(cfg, monkeypatch, tmp_path / 'iter_4.pth', **changes)
    assert again.values[4][0] == pytest.approx(0.02 * 2 * 3 / 7)
    assert again.values == Rates(cfg, monkeypatch, **changes).from_4()


@pytest.mark.parametrize('last', [4, 8])
def test_beyond_the_end(begun, tmp_path, monkeypatch, last):
    cfg = with_validation(config(tmp_path, **{'train_cfg.max_iters': last}), 4)
    again = Rates(cfg, monkeypatch, begun / 'iter_8.pth')
    assert again.values == {} and again.validated == []
    assert sum('nothing is left to train' in line for line in again.said) == 1


@pytest.mark.parametrize('size', [2, 3, 8, 30])
def test_an_epoch_goes_on_by_samples(tmp_path, monkeypatch, size):
    cfg = toy_config(tmp_path, by_epoch=True, iterations=18, interval=8, randomness=dict(seed=3))
    cosine = dict(type='CosineAnnealingLR', T_max=3, convert_to_iter_based=True)
    cfg.param_scheduler = [cosine, WARM]
    whole = Runner.from_cfg(cfg)
    whole.train()
    epochs = epochs_of(whole)
    again = Rates(
        cfg, monkeypatch, tmp_path / 'iter_8.pth', **{'train_dataloader.batch_size': size}
    )
    assert [i for indices, _ in record_of(again.runner).values() for i in indices] == [
        *epochs[1][8:],
        *epochs[2],
    ]
    # The schedule is over when the training is.
    left = math.ceil(14 / size) + math.ceil(22 / size)
    assert [*again.values] == [*range(8, 8 + left)]
    per_epoch = math.ceil(22 / size)
    step = 3 * per_epoch - left
    expected = 0.01 * (1 + math.cos(math.pi * step / (3 * per_epoch)))
    assert again.values[8][0] == pytest.approx(expected)


def epochs_of(runner):
    samples = [i for indices, _ in record_of(runner).values() for i in indices]
    return [samples[i : i + 22] for i in range(0, len(samples), 22)]


def begun_loop(kind, data, rank_states, monkeypatch, rank=0, ranks=1):
    """A loop that has gone to where a checkpoint is, without a training."""
    loop = kind.__new__(kind)
    loop.dataloader, loop._order = data, order_of(data)
    loop._epoch = loop._iter = 0
    loop._max_epochs = 1
    loop._runner = SimpleNamespace(seed=1)
    with monkeypatch.context() as patch:
        patch.setattr('mmattn.engine.resume.loops.get_world_size', lambda: ranks)
        patch.setattr('mmattn.engine.resume.loops.get_rank', lambda: rank)
        loop.resume(rank_states, seed=5)
    return loop


def trained_on(loop, batches):
    """The samples of the next batches, and the state of the data after them."""
    found = []
    for samples in itertools.islice(loop._batches(), batches):
        found += samples
        loop.batch += 1
    return found, loop.data_state()


@pytest.mark.parametrize('kind', [InfiniteSampler, DefaultSampler])
@pytest.mark.parametrize('batches', ['BatchSampler', 'AspectRatioBatchSampler'])
def test_sizes_may_change_again_and_again(monkeypatch, batches, kind):
    """Of any passes through the data, each sample comes once in each."""
    batches = BatchSampler if batches == 'BatchSampler' else mmdet_sampler(batches)
    state = dict(batch=0, batch_size=3, sampler_seed=5, worker_seed=1, legs=[])
    samples = []
    for size, count in ((3, 3), (4, 2), (2, 1), (2, 2), (5, 7), (3, 9)):
        data = loader(Ranked(kind, 0, 1, monkeypatch).sampler, batches, 0, size)
        loop = begun_loop(ResumableIterLoop, data, [state], monkeypatch)
        found, state = trained_on(loop, count)
        samples += found
    # Within two passes of a sampler, a batch sampler may hold some back.
    assert len(samples) > 66
    if kind is DefaultSampler:
        assert all(sorted(samples[i : i + 22]) == [*range(22)] for i in (0, 22, 44))
    elif batches is BatchSampler:
        assert samples == [*itertools.islice(Ranked(kind, 0, 1, monkeypatch).sampler, len(samples))]
    else:
        assert all(
            samples.count(i) in (len(samples) // 22 + d for d in (-1, 0, 1)) for i in range(22)
        )


@pytest.mark.parametrize(('before', 'now'), [(2, 3), (3, 2), (1, 4), (4, 1)])
def test_another_number_of_processes_shares_what_is_left(monkeypatch, before, now):
    def data(rank, ranks, size):
        sampler = Ranked(InfiniteSampler, rank, ranks, monkeypatch).sampler
        return loader(sampler, BatchSampler, 0, size)

    states, samples = [], []
    for rank in range(before):
        start = [dict(batch=0, batch_size=3, sampler_seed=5, worker_seed=1)] * before
        loop = begun_loop(
            ResumableIterLoop, data(rank, before, 3), start, monkeypatch, rank, before
        )
        found, state = trained_on(loop, 5)
        samples += found
        states.append(state)
    for rank in range(now):
        loop = begun_loop(ResumableIterLoop, data(rank, now, 2), states, monkeypatch, rank, now)
        samples += trained_on(loop, 6)[0]
    whole = itertools.islice(Ranked(InfiniteSampler, 0, 1, monkeypatch).sampler, len(samples))
    assert sorted(samples) == sorted(whole)


def test_processes_of_an_epoch_stay_as_many_batches_apart_as_none(monkeypatch):
    """22 samples, 9 of them done: two processes repeat one rather than wait for each other."""
    states = [dict(batch=3, batch_size=3, sampler_seed=5, worker_seed=1)]
    lengths, samples = [], []
    for rank in range(2):
        data = loader(Ranked(DefaultSampler, rank, 2, monkeypatch).sampler, BatchSampler, 0, 1)
        loop = begun_loop(ResumableEpochLoop, data, states, monkeypatch, rank, 2)
        for batches, size in (*loop.legs, (loop.batch, 1)):
            loop._skip(batches, size)
        left = [i for batch in loop._order for i in batch]
        lengths.append(len(left))
        samples += left
    assert lengths == [7, 7]
    whole = [*Ranked(DefaultSampler, 0, 1, monkeypatch).sampler]
    assert sorted(samples) == sorted(whole[8:])


def test_settings_are_data():
    cfg = Config(
        dict(
            model=dict(type=torch.nn.ReLU, sizes=(1, 2), act=len, data=torch.ones(2)),
            train_cfg=dict(max_iters=4),
            work_dir='elsewhere',
        )
    )
    settings = settings_of(cfg)
    kinds = dict(type='torch.nn.modules.activation.ReLU', act='builtins.len', data='torch.Tensor')
    assert settings == dict(model=dict(sizes=[1, 2], **kinds), train_cfg=dict(max_iters=4))
    assert [*compare_settings(settings, settings_of(cfg))] == []


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


STRANGE = {
    'tensor': torch.ones(3),
    'text': 'a\x1b[2J\n' * 50,
    'number': 10**6000,
    'depth': nested(50_000),
    'list': [torch.ones(2)] * 3,
    'none': None,
}


@pytest.mark.parametrize('value', STRANGE.values(), ids=STRANGE)
def test_whatever_a_checkpoint_has_there_is_one_line(value):
    now = dict(a=[1, 2], b=3)
    for place in ('a', 'b', 'c\n', 'd' * 1000, (1, (2, 3))):
        [(key, before, _)] = compare_settings({**now, place: value}, now)
        assert len(before) < 200 and len(key) <= 200
        assert before.isprintable() and key.isprintable() and before.isascii()


def test_what_differs_has_its_whole_key():
    before = dict(model=dict(a=[dict(b=1), dict(b=float('nan'))], c=2), x=1, y=1.0)
    now = dict(model=dict(a=[dict(b=2), dict(b=float('nan'))], d=3), x=True, y=1)
    assert [*compare_settings(before, now)] == [
        ('model.a.0.b', '1', '2'),
        ('model.d', 'not set', '3'),
        ('model.c', '2', 'not set'),
        ('x', '1', 'True'),
    ]
