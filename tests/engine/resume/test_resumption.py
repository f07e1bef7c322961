"""What a checkpoint lacks is said in one line, before anything has changed."""

import copy
import os
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmattn.cli import options
from mmattn.engine.resume.checkpoint_files import find_last, out_dir_of
from mmattn.engine.resume.random_state import check_random_state, get_random_state
from mmattn.engine.runner import Runner
from mmattn.errors import InputError
from mmattn.files.whole_file import write_whole
from tests.engine.toy import record_of, toy_config, with_validation


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    Runner.from_cfg(toy_config(folder, iterations=9, randomness=dict(seed=3))).train()
    return torch.load(folder / 'iter_7.pth', weights_only=False)


def without(*keys):
    def change(checkpoint):
        inner = checkpoint
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]

    return change


def put(value, *keys):
    def change(checkpoint):
        inner = checkpoint
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value

    return change


def only_weights(checkpoint):
    weights = checkpoint['state_dict']
    checkpoint.clear()
    checkpoint.update(weights)


def cut_groups(checkpoint):
    checkpoint['optimizer']['param_groups'][0]['params'].pop()


def of_sgd(checkpoint):
    group = checkpoint['optimizer']['param_groups'][0]
    for key in ('betas', 'eps'):
        del group[key]
    group.update(momentum=0.9, dampening=0)


def one_more_schedule(checkpoint):
    checkpoint['param_schedulers'] *= 2


RANK = ('meta', 'training_state', 0)
STATES = ('optimizer', 'state')
FAULTS = {
    'weights': (only_weights, 'meta is missing; message_hub is missing; .*optimizer is missing'),
    'no meta': (without('meta'), 'meta is missing'),
    'meta': (put([1], 'meta'), 'meta is a list'),
    'iteration': (put('7', 'meta', 'iter'), "meta has iter='7', expected a count"),
    'epoch': (put(-1, 'meta', 'epoch'), 'meta has epoch=-1, expected a count'),
    'seed': (put(2**40, 'meta', 'seed'), r'meta has seed=\d+, expected one below'),
    'no optimizer': (without('optimizer'), 'optimizer is missing'),
    'optimizer': (put([], 'optimizer'), 'optimizer is no state of an optimizer'),
    'groups': (cut_groups, 'optimizer has 3 parameters in 1 group, the AdamW of the config has 4'),
    'kind': (of_sgd, 'optimizer is that of an optimizer of another kind than the AdamW of'),
    'states': (put({}, *STATES), 'no state that fits for 4 of 4 parameters: net.0.weight has none'),
    'one state': (without(*STATES, 2), 'for 1 of 4 parameters: net.2.weight has none'),
    'moment': (put(torch.ones(2), *STATES, 2, 'exp_avg'), r'exp_avg of shape \(2,\), expected'),
    'no moment': (without(*STATES, 3, 'exp_avg_sq'), 'net.2.bias has no exp_avg_sq'),
    'step': (put('x', *STATES, 0, 'step'), 'has step that is a str'),
    'no schedule': (without('param_schedulers'), 'param_schedulers is missing'),
    'schedules': (one_more_schedule, 'param_schedulers has 2 schedules, the config has 1'),
    'schedule': (without('param_schedulers', 0, 'T_max'), 'of a CosineAnnealingLR .see T_max'),
    'value': (put('7', 'param_schedulers', 0, 'last_step'), 'see last_step'),
    'no hub': (without('message_hub'), 'message_hub is missing'),
    'hub': (put(1, 'message_hub', 'log_scalars'), 'message_hub has no log_scalars'),
    'no average': (without('ema_state_dict'), 'ema_state_dict is missing'),
    'average': (without('ema_state_dict', 'module.net.0.bias'), 'another model .module.net.0.bias'),
    'ranks': (put({}, 'meta', 'training_state'), r'training_state is \{\}, expected a list'),
    'batch': (put(-3, *RANK, 'batch'), 'of rank 0 has batch=-3'),
    'sampler seed': (put('x', *RANK, 'sampler_seed'), "of rank 0 has sampler_seed='x'"),
    'random': (put(torch.zeros(9), *RANK, 'random', 'torch'), 'rank 0: that of torch does not fit'),
}


def resumed(tmp_path, checkpoint, **config):
    torch.save(checkpoint, tmp_path / 'from.pth')
    cfg = toy_config(tmp_path / 'run', iterations=9, randomness=dict(seed=3), **config)
    cfg.resume, cfg.load_from = True, str(tmp_path / 'from.pth')
    return Runner.from_cfg(cfg)


@pytest.mark.parametrize(('change', 'message'), FAULTS.values(), ids=FAULTS)
def test_is_said_in_one_line_and_can_be_allowed(tmp_path, trained, change, message, monkeypatch):
    checkpoint = copy.deepcopy(trained)
    change(checkpoint)
    runner = resumed(tmp_path, checkpoint)
    changed = []
    load = type(runner.model).load_state_dict
    monkeypatch.setattr(
        type(runner.model), 'load_state_dict', lambda *a, **k: changed.append(1) or load(*a, **k)
    )
    with pytest.raises(InputError, match=message) as raised:
        runner.train()
    assert not changed
    line = str(raised.value)
    assert 'from.pth' in line and '--resume-partial' in line and '\n' not in line

    runner = resumed(tmp_path, checkpoint, resume_partial=True)
    warnings = []
    monkeypatch.setattr(runner.logger, 'warning', lambda line, *args: warnings.append(line))
    runner.train()
    assert any('from.pth: ' in line for line in warnings)
    assert list(record_of(runner))[-1] == 9
    assert all(p.isfinite().all() for p in runner.model.parameters())


def test_parameters_without_gradients_have_no_state_and_miss_none(tmp_path, trained):
    """The checkpoint counts its states itself."""
    checkpoint = copy.deepcopy(trained)
    del checkpoint['optimizer']['state'][2]
    checkpoint['meta']['training_state'][0]['optimizer_states'] = 3
    runner = resumed(tmp_path, checkpoint)
    runner.train()
    assert list(record_of(runner)) == [8, 9]


def test_what_fits_of_the_optimizer_is_taken(tmp_path, trained):
    checkpoint = copy.deepcopy(trained)
    del checkpoint['optimizer']['state'][2]
    runner = resumed(tmp_path, checkpoint, resume_partial=True)
    runner.train()
    steps = [int(state['step']) for state in runner.optim_wrapper.optimizer.state.values()]
    assert sorted(steps) == [2, 9, 9, 9]


RANDOM = {
    'python': [(3, (1, 2), None), (3, (-1,) * 625, None), (3, ('a',) * 625, None), 5],
    'numpy': [('MT19937', [0] * 624, -3, 0, 0.0), ('MT19937', [0, 1], 1, 0, 0.0), ('x', [0], 0)],
    'torch': [torch.zeros(7), torch.zeros(7, dtype=torch.uint8), None, 4],
    'cuda': [4],
}


@pytest.mark.parametrize(('name', 'value'), [(k, v) for k, vs in RANDOM.items() for v in vs])
def test_bad_random_states(name, value):
    state = get_random_state()
    assert check_random_state(state) is None
    assert f'that of {name} does not fit' in check_random_state({**state, name: value})
    del state[name]
    assert check_random_state(state) == f'that of {name} is missing'


@pytest.mark.parametrize(
    ('ranks', 'batch_size', 'begins'), [(1, 4, 28), (2, 4, 56), (2, 8, 112), (1, 2, 14), (3, 1, 21)]
)
def test_another_world_goes_on_at_the_same_sample(tmp_path, trained, ranks, batch_size, begins):
    """The order goes over all processes: two have come twice as far."""
    checkpoint = copy.deepcopy(trained)
    [state] = checkpoint['meta']['training_state']
    state['batch_size'] = batch_size
    checkpoint['meta']['training_state'] = [copy.deepcopy(state) for _ in range(ranks)]
    runner = resumed(tmp_path, checkpoint)
    runner.train()
    whole = Runner.from_cfg(
        toy_config(tmp_path / 'whole', iterations=32, randomness=dict(seed=3), interval=100)
    )
    whole.train()
    order = [i for indices, _ in record_of(whole).values() for i in indices]
    after = order[begins : begins + 8]
    assert [indices for indices, _ in record_of(runner).values()] == [after[:4], after[4:]]


@pytest.mark.parametrize(('ranks', 'is_taken'), [(1, True), (2, False)])
def test_random_numbers_of_another_world_are_not_taken(tmp_path, trained, ranks, is_taken):
    checkpoint = copy.deepcopy(trained)
    checkpoint['meta']['training_state'] *= ranks
    runner = resumed(tmp_path, checkpoint)
    runner.call_hook('before_run')
    runner.load_or_resume()
    assert (runner.train_loop._random_state is not None) == is_taken


def test_an_empty_data_set(tmp_path):
    for by_epoch in (False, True):
        cfg = toy_config(tmp_path, by_epoch)
        cfg.train_dataloader.dataset.size = 0
        cfg.train_dataloader.sampler.shuffle = False
        with pytest.raises(InputError) as caught:
            Runner.from_cfg(cfg).train()
        assert str(caught.value) == (
            'config: train_dataloader has no batch: its data set is empty; check its paths, and '
            'what filters it'
        )


@pytest.mark.parametrize('checkpoint', [6, 20])
def test_epochs_that_are_skipped_are_set(tmp_path, checkpoint):
    """A sampler that shuffles by the epoch, in a training by iterations."""
    cfg = toy_config(tmp_path, interval=checkpoint, iterations=24, randomness=dict(seed=3))
    cfg.train_dataloader.sampler.type = 'DefaultSampler'
    whole = Runner.from_cfg(cfg)
    whole.train()
    cfg.resume, cfg.load_from = True, str(tmp_path / f'iter_{checkpoint}.pth')
    again = Runner.from_cfg(cfg)
    again.train()
    expected = {i: record_of(whole)[i] for i in range(checkpoint + 1, 25)}
    assert record_of(again) == expected


def test_the_end_of_an_epoch_in_a_checkpoint_of_mmengine(tmp_path):
    cfg = toy_config(tmp_path, by_epoch=True, interval=6, randomness=dict(seed=3))
    whole = Runner.from_cfg(cfg)
    whole.train()
    path = tmp_path / 'iter_18.pth'
    checkpoint = torch.load(path, weights_only=False)
    assert checkpoint['meta']['epoch'] == 2
    del checkpoint['meta']['training_state']
    torch.save(checkpoint, path)
    cfg.resume, cfg.load_from = True, str(path)
    again = Runner.from_cfg(cfg)
    again.train()
    assert {i: indices for i, (indices, _) in record_of(again).items()} == {
        i: record_of(whole)[i][0] for i in range(19, 31)
    }


def test_no_validation_in_the_middle_of_an_epoch(tmp_path):
    cfg = with_validation(toy_config(tmp_path, by_epoch=True, interval=9), 1)
    Runner.from_cfg(cfg).train()
    (tmp_path / 'last_validation').write_text('0')
    cfg.resume, cfg.load_from = True, str(tmp_path / 'iter_9.pth')
    runner = Runner.from_cfg(cfg)
    validated, run = [], runner.call_hook

    def spy(name, **kwargs):
        if name == 'before_val':
            validated.append(runner.iter)
        run(name, **kwargs)

    runner.call_hook = spy
    runner.train()
    assert validated == [12, 18, 24, 30]


def save(path, iteration, **others):
    plain = dict(meta=dict(iter=iteration), state_dict={}, optimizer={})
    torch.save({**plain, **others}, path)


@pytest.fixture
def run(tmp_path):
    """A run whose newest checkpoint by the clock is not the last one."""
    folder = tmp_path / 'run'
    folder.mkdir()
    for iteration in (20, 30, 10):
        save(folder / f'iter_{iteration}.pth', iteration)
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_30.pth'))
    # Beside the run, and beside nothing.
    save(tmp_path / 'iter_90.pth', 90)
    return folder


RECORDS = {
    'empty': b'',
    'blank': b'\n',
    'parent': b'..',
    'folder': b'/somewhere/folder.pth',
    'address': b's3://bucket/iter_30.pth',
    'web': b'https://example.org/iter_30.pth',
    'binary': b'\x00\xff\xfe\x80',
    'two lines': b'iter_30.pth\niter_10.pth',
    'gone': b'/somewhere/iter_40.pth',
    'long': b'x' * 200,
}


@pytest.mark.parametrize('record', RECORDS.values(), ids=RECORDS)
def test_a_record_that_leads_nowhere(run, record):
    (run / 'folder.pth').mkdir()
    (run / 'last_checkpoint').write_bytes(record)
    assert find_last(run) == str(run / 'iter_30.pth')


def test_a_checkpoint_that_does_not_tell_its_iteration_comes_last(run):
    for path in run.glob('*.pth'):
        path.unlink()
    save(run / 'iter_0.pth', 0)
    save(run / 'a.pth', 0, meta=dict(epoch=9))
    assert find_last(run) == str(run / 'iter_0.pth')
    (run / 'iter_0.pth').unlink()
    assert find_last(run) == str(run / 'a.pth')


@pytest.mark.parametrize(
    ('out_dir', 'found'), [(None, None), ('s3://bucket', None), ('/shared', '/shared/run')]
)
def test_checkpoints_go_to_the_work_dir_or_another_folder(out_dir, found):
    hooks = dict(checkpoint=dict(out_dir=out_dir))
    cfg = Config(dict(work_dir='work_dirs/run', default_hooks=hooks))
    assert out_dir_of(cfg) == (found and Path(found))


def test_a_record_leads_out_of_no_run(run, tmp_path):
    """Not even to a file that is there."""
    (run / 'last_checkpoint').write_text(str(tmp_path / 'iter_90.pth'))
    assert find_last(run) == str(run / 'iter_30.pth')
    for path in run.glob('*.pth'):
        path.unlink()
    with pytest.raises(InputError, match='finds nothing to go on from'):
        find_last(run)


def test_what_else_lies_there_is_no_obstacle(run):
    (run / 'iter_30.pth').write_bytes(b'half')
    save(run / 'best_mean_iter_25.pth', 25, optimizer=None)
    (run / 'text.pth').write_text('<html>404')
    torch.save([1, 2], run / 'list.pth')
    torch.save({'a': torch.ones(2)}, run / 'weights.pth')
    torch.jit.script(torch.nn.ReLU()).save(str(run / 'script.pth'))
    (run / 'gone.pth').symlink_to('nowhere')
    assert find_last(run) == str(run / 'iter_20.pth')


def test_a_moved_work_dir(run, tmp_path):
    moved = tmp_path / 'elsewhere' / 'run'
    moved.parent.mkdir()
    shutil.move(run, moved)
    assert find_last(moved) == str(moved / 'iter_30.pth')


def test_checkpoints_in_another_folder(run, tmp_path):
    cfg = toy_config(run)
    cfg.default_hooks.checkpoint.out_dir = str(tmp_path / 'out')
    (tmp_path / 'out' / 'run').mkdir(parents=True)
    save(tmp_path / 'out' / 'run' / 'iter_50.pth', 50)
    (run / 'last_checkpoint').write_text(str(tmp_path / 'out' / 'run' / 'iter_50.pth'))
    options.resume(cfg, 'auto')
    assert cfg.load_from == str(tmp_path / 'out' / 'run' / 'iter_50.pth')


@pytest.mark.parametrize(
    ('restarts', 'start', 'expected'),
    [('0', 'mine', False), ('1', 'mine', True), ('1', 'other', False)],
)
def test_restarts_are_known_by_name(tmp_path, monkeypatch, restarts, start, expected):
    """The clock may say what it likes."""
    monkeypatch.setenv('MMATTN_START_ID', start)
    cfg = toy_config(tmp_path, iterations=7)
    Runner.from_cfg(cfg).train()
    for path in tmp_path.iterdir():
        if path.is_file():
            os.utime(path, (1, 1))
    monkeypatch.setenv('MMATTN_START_ID', 'mine')
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', restarts)
    assert options.has_restarted(cfg) is expected


def test_a_restart_before_the_first_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv('MMATTN_START_ID', 'mine')
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '1')
    cfg = toy_config(tmp_path)
    assert not options.has_restarted(cfg)
    Path(tmp_path, 'last_checkpoint').write_text('an older one')
    assert not options.has_restarted(cfg)


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):

    flushed, fsync = [], os.fsync
    path = tmp_path / 'file'

    def spy(descriptor):
        flushed.append((os.fstat(descriptor).st_ino, path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, 'fsync', spy)
    write_whole(path, lambda partial: partial.write_text('all'))
    assert (path.stat().st_ino, False) in flushed
    assert flushed[-1] == (tmp_path.stat().st_ino, True)
