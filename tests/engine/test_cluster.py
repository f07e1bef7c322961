"""What a training on several GPUs needs, by hand."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from torch import nn

from mmattn.engine import cluster
from mmattn.engine.cluster import (
    Maps,
    Plan,
    RankMemory,
    Training,
    count_maps,
    optimizer_state,
    plan_ddp,
    plan_sharded,
    plan_training,
    slurm_line,
    steps_of,
)
from mmattn.errors import InputError


class Net(nn.Module):
    """10 rows of 6, which are frozen, a batch norm, and 5 rows of 10."""

    def __init__(self):
        super().__init__()
        self.frozen = nn.Conv2d(6, 10, 1, bias=False).requires_grad_(False)
        self.norm = nn.BatchNorm2d(10)
        self.last = nn.Conv2d(10, 5, 1, bias=False)

    def forward(self, x):
        return self.last(self.norm(self.frozen(x)))


FLOAT = 4
FROZEN, NORM, LAST = 60, 10 + 10, 50
# Mean and variance; how many batches were seen.
BUFFERS = 20 * FLOAT + 8


def planned(optimizer):
    model = Net().to('meta')
    return model, optimizer_state(model, Config(dict(optim_wrapper=dict(optimizer=optimizer))))


@pytest.mark.parametrize(
    ('optimizer', 'copies', 'scalars'),
    [
        (dict(type='SGD', lr=0.1), 0, 0),
        (dict(type='SGD', lr=0.1, momentum=0.9), 1, 0),
        # Two moments, and a count of steps for each of three tensors.
        (dict(type='AdamW', lr=0.1), 2, 3),
    ],
    ids=['SGD', 'momentum', 'AdamW'],
)
def test_ranks_of_ddp(optimizer, copies, scalars):
    trained = (NORM + LAST) * FLOAT
    plan = plan_ddp(*planned(optimizer), 4)
    optimizer_bytes = copies * trained + scalars * FLOAT
    assert plan.memory == RankMemory(
        FROZEN * FLOAT + trained, BUFFERS, trained, trained, optimizer_bytes
    )
    # Each of four parts goes three steps round to be summed up, and three to be known.
    assert plan.traffic == 6 * trained // 4


def test_one_gpu_sends_nothing():
    plan = plan_ddp(*planned(dict(type='SGD', lr=0.1)), 1)
    assert (plan.traffic, plan.memory.copies) == (0, 0)


def test_ranks_of_shards():
    """Of 4 ranks, the first has 3 of 10 rows and 2 of 5."""
    frozen, norm, last = 3 * 6 * FLOAT, 2 * 3 * FLOAT, 2 * 10 * FLOAT
    plan = plan_sharded(*planned(dict(type='SGD', lr=0.1, momentum=0.9)), 4, ['BatchNorm2d'])
    assert plan.memory == RankMemory(
        parameters=frozen + norm + last,
        buffers=BUFFERS,
        gradients=norm + last,
        # What is in no unit, and twice the only one.
        copies=4 * (frozen + last + 2 * norm),
        optimizer=norm + last,
    )
    assert plan.traffic == 3 * (frozen + last + 2 * norm) + 3 * (norm + last)


def test_largest_batch():
    plan = Plan(RankMemory(100, 10, 100, 100, 190), 0)
    maps = Maps(step=50, image=30)
    assert [plan.largest_batch(size, maps) for size in (549, 579, 580, 850)] == [0, 0, 1, 10]


def test_maps_of_a_batch():
    """At the peak the norm goes back: there are the image, both maps and their gradients."""
    pixels = 72
    image = (6 + 4 * 10) * pixels
    # Mean and deviation; all gradients of parameters; the loss and its gradient.
    step = 20 + NORM + LAST + 2
    assert count_maps(Net().to('meta'), (6, 8, 9)) == (step * FLOAT, image * FLOAT)


@pytest.mark.parametrize(
    ('gpus', 'seconds', 'line'),
    [
        (8, None, 'GPUS=8 GPUS_PER_NODE=8 '),
        (16, None, 'GPUS=16 GPUS_PER_NODE=8 '),
        (12, 10 * 3600, 'GPUS=12 GPUS_PER_NODE=6 TIME=12:00:00 '),
        (3, 60, 'GPUS=3 GPUS_PER_NODE=3 TIME=1:00:00 '),
    ],
)
def test_line_for_slurm(gpus, seconds, line):
    tool = "tools/slurm_train.sh PARTITION JOB_NAME 'my config.py'"
    assert slurm_line('my config.py', gpus, seconds) == line + tool


def training(**changes):
    plan = Plan(RankMemory(0, 0, 0, 0, 0), 10**9)
    known = dict(memory=None, bandwidth=5e9, step_time=0.5, steps=1000)
    return Training('c.py', 8, 2, {'DDP': plan}, None, **{**known, **changes})


def test_time_is_between_sending_meanwhile_and_sending_afterwards():
    assert training().seconds('DDP') == (500, 700)
    assert training(step_time=0.1).seconds('DDP') == (200, pytest.approx(300))
    assert training(bandwidth=None).seconds('DDP') == (500, 500)
    assert training(step_time=None).seconds('DDP') is None
    assert training(steps=None).seconds('DDP') is None
    # 700 seconds and a fifth more are less than an hour.
    assert training().line.startswith('GPUS=8 GPUS_PER_NODE=8 TIME=1:00:00 ')


@DATASETS.register_module()
class TwentyOne(torch.utils.data.Dataset):
    def __len__(self):
        return 21


@pytest.mark.parametrize(
    ('train_cfg', 'steps'),
    [
        (dict(type='IterBasedTrainLoop', max_iters=70), 70),
        # 21 images in batches of 2 x 4.
        (dict(by_epoch=True, max_epochs=5), 5 * 3),
    ],
)
def test_steps(train_cfg, steps):
    loader = dict(batch_size=2, dataset=dict(type='TwentyOne'))
    cfg = Config(dict(train_cfg=train_cfg, train_dataloader=loader))
    assert steps_of(cfg, 2, 4) == steps


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (dict(), 'has no optim_wrapper with an optimizer'),
        (
            dict(optim_wrapper=dict(optimizer=dict(type='SDG', lr=1))),
            'cannot be built: there is no SDG',
        ),
        (dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=-1))), 'cannot be built .*-1'),
    ],
)
def test_optimizers_that_are_none(cfg, message):
    with pytest.raises(InputError, match=message):
        optimizer_state(Net().to('meta'), Config(cfg))


def test_what_is_not_known_is_said():
    cfg = Config(dict(optim_wrapper=dict(type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=1))))
    plan = plan_training(Net().to('meta'), cfg, 'c.py', (6, 8, 9), 2, 2, memory=1e9)
    assert plan.steps is None and plan.seconds('DDP') is None
    assert plan.largest_batch('DDP') > 10000
    remarks = ' '.join(plan.remarks)
    for words in ('sharding.units', 'float32', 'has no train_cfg'):
        assert words in remarks


def test_the_way_of_the_config_comes_first():
    cfg = Config(
        dict(
            runner_type='ShardedRunner',
            sharding=dict(units=['BatchNorm2d']),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=1)),
            train_cfg=dict(max_iters=1),
        )
    )
    plan = plan_training(Net().to('meta'), cfg, 'c.py', (6, 8, 9), 2, 2)
    assert list(plan.plans) == ['sharded', 'DDP']
    assert plan.remarks == []


def test_maps_that_cannot_be_counted_are_none(monkeypatch):
    def fail(*_):
        raise NotImplementedError('no shape')

    monkeypatch.setattr(cluster, 'count_maps', fail)
    cfg = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=1))))
    plan = plan_training(Net().to('meta'), cfg, 'c.py', (6, 8, 9), 2, 2, memory=1e9)
    assert plan.maps is None and plan.largest_batch('DDP') is None
    assert 'the maps are not counted (NotImplementedError: no shape)' in plan.remarks
