"""Checkpoints: whole, found again, and never fewer than before."""

import errno
import os
import resource
import shutil
import time
from pathlib import Path

import pytest
import torch

from mmattn.cli.options import resume
from mmattn.engine.resume.checkpoint_files import find_last
from mmattn.engine.runner import Runner
from mmattn.errors import InputError
from mmattn.files import whole_file
from mmattn.files.whole_file import write_whole
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
        patch.setattr('mmattn.engine.hooks.checkpoint_hook._remove', lambda backend, path: None)
        train(cfg)
    (tmp_path / 'iter_9.pth.a1b2c3d4.partial').touch()
    assert {'iter_5.pth', 'iter_10.pth'} <= set(names(tmp_path))
    cfg.resume, cfg.train_cfg.max_iters = True, 11
    train(cfg)
    assert 'iter_5.pth' not in names(tmp_path) and 'iter_9.pth.a1b2c3d4.partial' not in names(
        tmp_path
    )


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
        'mmattn.engine.resume.checkpoint_files.print_log', lambda line, *args: said.append(line)
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


def test_a_full_disk_is_one_line_and_keeps_the_one_before(tmp_path, monkeypatch):
    cfg = toy_config(tmp_path, iterations=5, interval=5)
    runner = train(cfg)
    before = names(tmp_path)

    def put(self, content, path):
        Path(path).write_bytes(b'part of it')
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('mmengine.fileio.backends.LocalBackend.put', put)
    with pytest.raises(InputError) as raised:
        runner.save_checkpoint(str(tmp_path), 'iter_6.pth')
    message = str(raised.value)
    assert 'iter_6.pth cannot be written' in message and 'MB are free; make room' in message
    assert 'it needs about' in message and '\n' not in message
    assert names(tmp_path) == before
    assert find_last(tmp_path) == str(tmp_path / 'iter_5.pth')


def test_a_runner_that_does_not_train_saves_too(tmp_path):
    cfg = toy_config(tmp_path, iterations=5, interval=5)
    cfg.custom_hooks = []
    runner = Runner.from_cfg(cfg)
    runner.optim_wrapper = None
    runner.save_checkpoint(
        str(tmp_path), 'a.pth', save_optimizer=False, save_param_scheduler=False, meta=dict()
    )
    assert (tmp_path / 'a.pth').is_file()


def test_a_limit_of_the_shell_is_not_called_a_full_disk(tmp_path):
    runner = train(toy_config(tmp_path, iterations=5, interval=5))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(InputError, match=r'a file may have 0\.0 MB here; raise ulimit -f, and'):
            runner.save_checkpoint(str(tmp_path), 'iter_6.pth')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ['iter_5.pth', 'last_checkpoint']


def test_a_folder_that_is_gone_is_one_line(tmp_path):
    cfg = toy_config(tmp_path / 'run', iterations=5, interval=5)
    # A run of the same second and name would share its visualizer, which writes there.
    cfg.experiment_name = 'gone'
    runner = train(cfg)
    shutil.rmtree(tmp_path / 'run')
    with pytest.raises(InputError, match=r'iter_6\.pth cannot be written \(No such file'):
        runner.save_checkpoint(str(tmp_path / 'run'), 'iter_6.pth')

    def write(partial):
        shutil.rmtree(tmp_path / 'other')
        raise OSError(errno.EIO, 'the first error')

    (tmp_path / 'other').mkdir()
    with pytest.raises(InputError, match=r'a cannot be written \(Input/output error\)'):
        write_whole(tmp_path / 'other/a', write)


def test_links_are_replaced_and_not_followed(tmp_path):
    outside = tmp_path / 'outside'
    outside.write_text('mine')
    run = tmp_path / 'run'
    run.mkdir()
    cfg = toy_config(run, iterations=10, interval=5)
    cfg.filename = None
    links = ('iter_5.pth', 'iter_5.pth.partial', 'last_checkpoint', 'a.pth.a1b2c3d4.partial')
    for name in links:
        (run / name).symlink_to(outside)
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    train(cfg)
    assert outside.read_text() == 'mine'
    assert not (run / 'last_checkpoint').is_symlink()
    assert not (run / 'iter_5.pth').exists() and (run / 'iter_10.pth').is_file()


def test_a_config_that_is_linked_into_the_work_dir_stays_as_it_is(tmp_path):
    (tmp_path / 'toy.py').write_text('# mine\n')
    run = tmp_path / 'run'
    run.mkdir()
    (run / 'toy.py').symlink_to(tmp_path / 'toy.py')
    cfg = toy_config(run, iterations=5, interval=5)
    object.__setattr__(cfg, '_filename', str(tmp_path / 'toy.py'))
    Runner.from_cfg(cfg)
    assert (tmp_path / 'toy.py').read_text() == '# mine\n'
    assert 'ToyModel' in (run / 'toy.py').read_text()
    # And one that lies there.
    object.__setattr__(cfg, '_filename', str(run / 'toy.py'))
    (run / 'toy.py').write_text('# mine\n')
    Runner.from_cfg(cfg)
    assert (run / 'toy.py').read_text() == '# mine\n'


def test_the_name_of_a_partial_file_is_new_each_time(tmp_path):
    seen = set()
    for _ in range(5):
        write_whole(tmp_path / 'a', lambda path: (seen.add(path.name), path.touch()))
    assert len(seen) == 5
    assert (tmp_path / 'a').stat().st_mode & 0o777 == 0o666 & ~whole_file._umask()


# ---- What a checkpoint says of files ----


def best_config(folder, iterations, **options):
    cfg = with_validation(toy_config(folder, iterations=iterations, interval=2), 2)
    cfg.default_hooks.checkpoint.update(
        save_best='mean', rule='greater', max_keep_ckpts=2, **options
    )
    return cfg


def go_on(folder, checkpoint, iterations, **options):
    cfg = best_config(folder, iterations, **options)
    cfg.resume, cfg.load_from = True, str(checkpoint)
    return train(cfg)


def claim(path, **claims):
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['message_hub']['runtime_info'].update(claims)
    torch.save(checkpoint, path.with_name('claims.pth'))
    return path.with_name('claims.pth')


def best_of(folder):
    return sorted(path.name for path in folder.glob('best_*'))


def test_another_run_keeps_its_files(tmp_path):
    train(best_config(tmp_path / 'a', 6))
    before = names(tmp_path / 'a')
    runner = go_on(tmp_path / 'b', tmp_path / 'a/iter_6.pth', 16)
    assert names(tmp_path / 'a') == before
    # It has a best one of its own, whatever the score of the other run was.
    assert len(best_of(tmp_path / 'b')) == 1
    assert runner.message_hub.get_info('best_ckpt').startswith(str(tmp_path / 'b'))
    assert runner.message_hub.get_info('keep_ckpt_ids')[-2:] == [14, 16]


@pytest.mark.parametrize('own', [True, False])
def test_a_checkpoint_that_names_other_files(tmp_path, own):
    victim = tmp_path / 'victim'
    victim.mkdir()
    (victim / 'best_thesis.pth').write_text('x')
    train(best_config(tmp_path / 'a', 6))
    evil = claim(
        tmp_path / 'a/iter_6.pth',
        best_ckpt=str(victim / 'best_thesis.pth'),
        best_score=-1e9,
        last_ckpt=str(victim),
        keep_ckpt_ids=['../../victim/best_thesis', 2, 4, 6],
    )
    go_on(tmp_path / ('a' if own else 'b'), evil, 10)
    evil = claim(evil, best_ckpt=str(victim), best_score='high', keep_ckpt_ids=7)
    go_on(tmp_path / ('a' if own else 'b'), evil, 12)
    assert (victim / 'best_thesis.pth').read_text() == 'x'


def test_a_moved_run_goes_on_with_its_own_best(tmp_path):
    train(best_config(tmp_path / 'a', 6))
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    before = names(tmp_path / 'a')
    go_on(tmp_path / 'b', tmp_path / 'b/iter_6.pth', 40)
    assert names(tmp_path / 'a') == before
    assert len(best_of(tmp_path / 'b')) == 1


def test_what_a_killed_run_left_as_best_goes(tmp_path):
    train(best_config(tmp_path, 6))
    [best] = best_of(tmp_path)
    for name in ('best_mean_iter_3.pth', 'best_mean_iter_900.pth', 'best_other_iter_3.pth'):
        shutil.copy(tmp_path / best, tmp_path / name)
    # The last validation finds no better one.
    claim(tmp_path / 'iter_6.pth', best_score=1e9).replace(tmp_path / 'iter_6.pth')
    go_on(tmp_path, tmp_path / 'iter_6.pth', 7)
    assert best_of(tmp_path) == sorted([best, 'best_mean_iter_900.pth', 'best_other_iter_3.pth'])


def test_a_best_one_that_is_found_again_stays(tmp_path):
    train(best_config(tmp_path, 4))
    [best] = best_of(tmp_path)
    (tmp_path / best).rename(tmp_path / 'best_mean_iter_4.pth')
    claims = dict(best_ckpt=str(tmp_path / 'best_mean_iter_4.pth'), best_score=-1e9)
    go_on(tmp_path, claim(tmp_path / 'iter_2.pth', **claims), 4)
    assert best_of(tmp_path) == ['best_mean_iter_4.pth']


def test_going_back_on_purpose_removes_nothing(tmp_path):
    train(best_config(tmp_path, 6))
    shutil.copy(tmp_path / best_of(tmp_path)[0], tmp_path / 'best_mean_iter_3.pth')
    go_on(tmp_path, tmp_path / 'iter_4.pth', 5)
    assert 'best_mean_iter_3.pth' in best_of(tmp_path)


def test_a_first_checkpoint_makes_its_folder(tmp_path):
    cfg = best_config(tmp_path / 'run', 4, out_dir=str(tmp_path / 'elsewhere'))
    train(cfg)
    assert {'iter_2.pth', 'iter_4.pth'} < set(names(tmp_path / 'elsewhere/run'))
    # The record is in the work dir, the checkpoint elsewhere: both are the run's own.
    best = best_of(tmp_path / 'elsewhere/run')
    (tmp_path / 'run/last_checkpoint.a1b2c3d4.partial').touch()
    options = dict(out_dir=str(tmp_path / 'elsewhere'))
    claims = claim(tmp_path / 'elsewhere/run/iter_4.pth', best_score=1e9)
    runner = go_on(tmp_path / 'run', claims, 5, **options)
    assert Path(runner.message_hub.get_info('best_ckpt')).name == best[0]
    assert not list((tmp_path / 'run').glob('*.partial'))


def test_only_partial_files_of_a_run_are_removed(tmp_path):
    mine = {'thesis.document.partial', 'iter_1.pth.partial', 'iter_1.pth.folder12.partial'}
    for name in mine - {'iter_1.pth.folder12.partial'}:
        (tmp_path / name).touch()
    (tmp_path / 'iter_1.pth.folder12.partial').mkdir()
    (tmp_path / 'iter_1.pth.a1b2c3d4.partial').touch()
    whole_file.remove_partial(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == mine


def test_partial_files_that_cannot_be_removed_stay(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(path)

    (tmp_path / 'iter_1.pth.a1b2c3d4.partial').touch()
    monkeypatch.setattr(Path, 'unlink', refuse)
    whole_file.remove_partial(tmp_path)
    assert names(tmp_path) == ['iter_1.pth.a1b2c3d4.partial']


@pytest.mark.parametrize('score', [float('nan'), 'high', None])
def test_a_score_that_is_none_is_said_and_begun_anew(tmp_path, score, monkeypatch):
    train(best_config(tmp_path, 6))
    [best] = best_of(tmp_path)
    shutil.copy(tmp_path / best, tmp_path / 'best_mean_iter_3.pth')
    claims = claim(tmp_path / 'iter_6.pth', best_score=score)
    claims.replace(tmp_path / 'iter_6.pth')
    said = []
    monkeypatch.setattr('logging.Logger.warning', lambda self, line, *args: said.append(line))
    go_on(tmp_path, tmp_path / 'iter_6.pth', 7)
    assert len([line for line in said if 'the next validation begins anew' in line]) == 1
    # Which of them is the best is not known.
    assert {best, 'best_mean_iter_3.pth'} <= set(best_of(tmp_path))


def test_a_record_of_validations_that_is_no_number_repeats_it(tmp_path):
    train(best_config(tmp_path, 6))
    (tmp_path / 'last_validation').write_bytes(b'\xff?')
    go_on(tmp_path, tmp_path / 'iter_6.pth', 7)
    assert (tmp_path / 'last_validation').read_text() == '7'


# ---- What a validation is judged by ----


@pytest.mark.parametrize(
    ('save_best', 'rule', 'line'),
    [
        (
            'maen',
            'greater',
            "save_best='maen' is no metric of this validation, which gives mean",
        ),
        (
            'mean',
            None,
            "the name of the metric mean does not tell what is better; give rule='greater' or "
            "rule='less' beside save_best",
        ),
    ],
    ids=['no metric', 'no rule'],
)
def test_a_best_that_cannot_be_told(tmp_path, save_best, rule, line):
    cfg = best_config(tmp_path, 2)
    cfg.default_hooks.checkpoint.update(save_best=save_best, rule=rule)
    with pytest.raises(InputError) as raised:
        train(cfg)
    assert str(raised.value) == line
