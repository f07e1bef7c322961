"""Logs as mmengine writes them, also those of a training that was killed."""

import json
import os

import pytest

from mmattn.errors import InputError
from mmattn.sweep.logs import (
    best_checkpoint,
    best_validation,
    last_iteration,
    noted,
    read_scalars,
    read_test,
    was_interrupted,
)


@pytest.fixture
def work_dir(tmp_path):
    """A training that was killed after iteration 2, went on from 1, and ended after 4."""

    def log(name, *entries, end=''):
        folder = tmp_path / name / 'vis_data'
        folder.mkdir(parents=True)
        text = ''.join(f'{json.dumps(entry)}\n' for entry in entries)
        (folder / 'scalars.json').write_text(text + end)

    log(
        '20260101_000001',
        dict(loss=3.0, iter=1, step=1),
        dict(loss=2.0, iter=2, step=2),
        dict(mIoU=9.0, time=0.1, data_time=0.2, step=2),
        end='{"loss": 1.0, "it',
    )
    log(
        '20260101_000002',
        dict(loss=2.5, iter=2, step=2, memory=700),
        {'mIoU': 10.0, 'aAcc': 50.0, 'blend/a': 0.1, 'time': 0.1, 'data_time': 0.2, 'step': 2},
        dict(loss=float('nan'), iter=4, step=4),
        dict(mIoU=8.0, step=4),
    )
    (tmp_path / 'best_mIoU_iter_2.pth').touch()
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_4.pth'))
    return tmp_path


def test_what_was_repeated_counts_once(work_dir):
    scalars = read_scalars(work_dir)
    assert [(step, value) for name, step, value in scalars if name == 'mIoU'] == [(2, 10), (4, 8)]
    losses = {step: value for name, step, value in scalars if name == 'loss'}
    assert losses[1] == 3.0 and losses[2] == 2.5 and losses[4] != losses[4]
    assert last_iteration(work_dir) == 4
    assert last_iteration(work_dir / 'nowhere') == 0


def test_the_validation_that_chose_the_checkpoint(work_dir):
    best = best_checkpoint(work_dir)
    assert best_validation(work_dir, 'mIoU', best) == dict(mIoU=10.0, aAcc=50.0)
    with pytest.raises(InputError, match='has no mAP of the validation at 2'):
        best_validation(work_dir, 'mAP', best)
    # A new one is written before the former one goes.
    newer = work_dir / 'best_mIoU_iter_4.pth'
    newer.touch()
    os.utime(newer, (best.stat().st_mtime + 5, best.stat().st_mtime + 5))
    assert best_checkpoint(work_dir) == newer
    newer.unlink()
    best.unlink()
    with pytest.raises(InputError, match='no best checkpoint'):
        best_checkpoint(work_dir)


def test_whether_a_training_is_over(work_dir):
    assert not was_interrupted(work_dir, 0)
    begin = noted(work_dir)
    record = work_dir / 'last_checkpoint'
    record.write_text('/elsewhere/preempted.pth')
    os.utime(record, ns=(begin + 1, begin + 1))
    assert was_interrupted(work_dir, begin)
    # It was saved after its last iteration, and the next start had only a validation to make up.
    assert not was_interrupted(work_dir, begin + 1)
    record.unlink()
    assert noted(work_dir) == 0 and not was_interrupted(work_dir, 0)


def test_the_last_test_counts(tmp_path):
    for name, value in (('20260101_000001', 1.0), ('20260101_000002', 2.0)):
        (tmp_path / name).mkdir()
        metrics = dict(mIoU=value, time=3.0, data_time=1.0, classes=['a'])
        (tmp_path / name / f'{name}.json').write_text(json.dumps(metrics))
    (tmp_path / '20260101_000003').mkdir()
    assert read_test(tmp_path) == dict(mIoU=2.0)
    with pytest.raises(InputError, match='no metrics of a test'):
        read_test(tmp_path / 'nowhere')
