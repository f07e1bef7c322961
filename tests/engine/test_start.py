"""What a run has written is taken back if it fails before its first iteration."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from mmattn.engine.runner import Runner
from mmattn.engine.start import after_start, starting
from mmattn.engine.work_dir import locked
from mmattn.errors import InputError
from tests.engine.toy import ToyData, toy_config


class Begin(Hook):
    def __init__(self, start):
        self.start = start

    def before_train_iter(self, *args, **kwargs):
        self.start.begin()


def train(cfg):
    """Train as the command does."""
    with starting(cfg) as start, locked(cfg.work_dir):
        runner = Runner.from_cfg(cfg)
        runner.register_hook(Begin(start))
        runner.train()


def config(tmp_path, work_dir, **options):
    (tmp_path / 'toy.py').write_text(toy_config(work_dir, iterations=2, **options).dump())
    return Config.fromfile(tmp_path / 'toy.py')


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob('*')
    }


class Broken(Exception):
    pass


@pytest.fixture(params=['model', 'data', 'weights', 'first batch', 'Ctrl-C'])
def broken(request, tmp_path, monkeypatch):
    """Options with which a training does not begin, and the error."""

    def fail(*args, **kwargs):
        raise KeyboardInterrupt if request.param == 'Ctrl-C' else Broken

    if request.param == 'weights':
        torch.save({'state_dict': {'net.0.weight': torch.ones(7, 7)}}, tmp_path / 'other.pth')
        return dict(load_from=str(tmp_path / 'other.pth')), InputError
    places = {'model': 'tests.engine.toy.ToyModel.__init__', 'data': 'load_data_list'}
    place = places.get(request.param, 'prepare_data')
    monkeypatch.setattr(place, fail) if '.' in place else monkeypatch.setattr(ToyData, place, fail)
    return {}, KeyboardInterrupt if request.param == 'Ctrl-C' else Broken


def test_nothing_is_left_of_a_work_dir_that_was_not_there(tmp_path, broken):
    options, error = broken
    hook = {'default_hooks.checkpoint.out_dir': str(tmp_path / 'elsewhere')}
    cfg = config(tmp_path, tmp_path / 'runs' / 'a', **options, **hook)
    before = files(tmp_path)
    with pytest.raises(error):
        train(cfg)
    assert files(tmp_path) == before


def test_what_was_in_a_work_dir_stays_as_it_was(tmp_path, broken):
    options, error = broken
    cfg = config(tmp_path, tmp_path / 'run', **options)
    for name in ('toy.py', 'last_validation', 'iter_7.pth', '20200101_000000/vis_data/a.json'):
        path = tmp_path / 'run' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'an older {name}')
    before = files(tmp_path)
    times = {name: Path(tmp_path, name).stat().st_mtime_ns for name in before if 'toy' in name}
    with pytest.raises(error):
        train(cfg)
    assert files(tmp_path) == before
    assert times == {name: Path(tmp_path, name).stat().st_mtime_ns for name in times}


def test_an_empty_work_dir_that_was_there_stays(tmp_path):
    cfg = config(tmp_path, tmp_path / 'run', load_from=str(tmp_path / 'nowhere.pth'))
    (tmp_path / 'run').mkdir()
    with pytest.raises(InputError):
        train(cfg)
    assert (tmp_path / 'run').is_dir() and not list((tmp_path / 'run').iterdir())


def test_what_another_run_has_put_there_meanwhile_stays(tmp_path):
    def fail():
        (tmp_path / 'runs' / 'b').mkdir()
        raise Broken

    with pytest.raises(Broken), starting(Config(dict(work_dir=str(tmp_path / 'runs' / 'a')))):
        fail()
    assert files(tmp_path / 'runs') == {'b': None}


def test_a_run_that_has_begun_keeps_all(tmp_path, monkeypatch):
    cfg = config(tmp_path, tmp_path / 'run')
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'toy.py').write_text('an older one')
    prepare = ToyData.prepare_data

    def fail_later(self, idx):
        if len(self.loaded) > 4:
            raise Broken
        return prepare(self, idx)

    monkeypatch.setattr(ToyData, 'loaded', [])
    monkeypatch.setattr(ToyData, 'prepare_data', fail_later)
    with pytest.raises(Broken):
        train(cfg)
    assert 'ToyModel' in (tmp_path / 'run' / 'toy.py').read_text()
    assert len(list((tmp_path / 'run').glob('*/*.log'))) == 1


def test_a_run_with_nothing_left_to_do_writes_what_has_waited(tmp_path):
    done = []
    after_start(lambda: done.append('without a start'))
    with starting(Config(dict(work_dir=str(tmp_path / 'run')))):
        after_start(lambda: done.append('in the end'))
        assert done == ['without a start']
    assert done == ['without a start', 'in the end'] and (tmp_path / 'run').is_dir()


def test_a_work_dir_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').touch()
    place = tmp_path / 'file' / 'x'
    with pytest.raises(InputError) as raised, starting(Config(dict(work_dir=str(place)))):
        pytest.fail('went on')
    assert str(raised.value) == (
        f'work dir {place} cannot be written (Not a directory); give another --work-dir'
    )


def test_a_lock_that_is_held_is_left_alone(tmp_path, monkeypatch):
    cfg = config(tmp_path, tmp_path / 'run')
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / '.lock').write_text('ann@host1, process 4711')

    def refuse(*args):
        raise BlockingIOError(11, 'Resource temporarily unavailable')

    monkeypatch.setattr('fcntl.lockf', refuse)
    with pytest.raises(InputError, match='is in use by ann@host1, process 4711; wait for that run'):
        train(cfg)
    assert files(tmp_path / 'run') == {'.lock': b'ann@host1, process 4711'}
