import pytest
from mmengine.config import Config

from mmattn.probe.schedule_check import TRIAL, remarks_on_schedule, unfinished_warmup

POLY = dict(type='PolyLR', by_epoch=False, begin=20, end=300)
COSINE = dict(type='CosineAnnealingLR', begin=5, T_max=295)
STEPS = dict(type='MultiStepLR', end=12, milestones=[8, 11])
ITERATIONS = dict(type='IterBasedTrainLoop', max_iters=300)
EPOCHS = dict(type='EpochBasedTrainLoop', max_epochs=12)
LESS = 'the learning rate will not come down as far as it should'


def config(scheduler, train_cfg=ITERATIONS, **changes):
    return Config(dict(param_scheduler=scheduler, train_cfg=dict(train_cfg, **changes)))


@pytest.mark.parametrize(
    ('cfg', 'remark'),
    [
        (
            config([dict(type='LinearLR', by_epoch=False, end=20), POLY], max_iters=4),
            'param_scheduler.1 (PolyLR) goes on to iteration 300, and the training ends at 4: '
            f'{LESS}; set param_scheduler.1.end=4',
        ),
        (
            config(POLY, max_iters=600),
            'param_scheduler (PolyLR) ends at iteration 300, and the training at 600: from there '
            'on the learning rate will be 0; set param_scheduler.end=600',
        ),
        (
            config(COSINE, EPOCHS, max_epochs=100),
            'param_scheduler (CosineAnnealingLR) goes on to epoch 300, and the training ends at '
            f'100: {LESS}; set param_scheduler.T_max=95',
        ),
        (
            config([STEPS], EPOCHS, max_epochs=6),
            'param_scheduler.0 (MultiStepLR) goes on to epoch 11, and the training ends at 6: '
            f'{LESS}; set param_scheduler.0.milestones to earlier ones',
        ),
        (
            config(dict(STEPS, milestones=(16, 22)), EPOCHS, max_epochs=24),
            'param_scheduler (MultiStepLR) ends at epoch 12, before its milestones [16, 22] are '
            'over; set param_scheduler.end=24',
        ),
        (
            config(dict(type='OneCycleLR', eta_max=1, total_steps=400, by_epoch=False)),
            'param_scheduler (OneCycleLR) goes on to iteration 400, and the training ends at 300: '
            f'{LESS}; set param_scheduler.total_steps=300',
        ),
        (
            config(dict(type='PolyLR', end=300)),
            'param_scheduler (PolyLR) counts epochs, which a training by iterations does not: the '
            'learning rate will not change; set param_scheduler.by_epoch=False',
        ),
        # Of several optimizers.
        (
            config(dict(generator=[POLY], critic=dict(POLY, end=400)), by_epoch=False),
            'param_scheduler.critic (PolyLR) goes on to iteration 400, and the training ends at '
            f'300: {LESS}; set param_scheduler.critic.end=300',
        ),
    ],
)
def test_a_schedule_that_ends_elsewhere(cfg, remark):
    assert list(remarks_on_schedule(cfg)) == [remark]


@pytest.mark.parametrize(
    'cfg',
    [
        config([dict(type='LinearLR', by_epoch=False, end=20), POLY]),
        config(None),
        config([]),
        # What stays above zero may be meant to.
        config(dict(POLY, eta_min=1e-5, end=200)),
        config([dict(POLY, end=200), dict(type='ConstantLR', begin=200, by_epoch=False)]),
        # Off by little.
        config(dict(POLY, end=299)),
        # What counts otherwise, has no end, or is of somebody else.
        config(dict(POLY, end=10**6), EPOCHS),
        config(dict(type='StepLR', step_size=10, by_epoch=False)),
        config(dict(type='OwnLR', end=10**6, by_epoch=False)),
        config(dict(type='CosineAnnealingMomentum', T_max=10**6, by_epoch=False)),
        config(dict(POLY, end=10**6), dict(type='OwnLoop', max_iters=3)),
        config(STEPS, EPOCHS),
        config(STEPS, dict(by_epoch=True, max_epochs=12)),
        Config(dict(param_scheduler=POLY)),
    ],
)
def test_a_schedule_that_may_be_meant(cfg):
    assert list(remarks_on_schedule(cfg)) == []


@pytest.mark.parametrize(
    ('scheduler', 'train_cfg', 'found'),
    [
        (
            dict(type='LinearLR', by_epoch=False, start_factor=0.1, end=500),
            EPOCHS,
            'param_scheduler (LinearLR) warms up for 500 iterations, and the training has 120: it '
            'never gets to its learning rate; set param_scheduler.end to less, or '
            'train_cfg.max_epochs to more',
        ),
        (
            [dict(type='QuadraticWarmupLR', end=13)],
            EPOCHS,
            'param_scheduler.0 (QuadraticWarmupLR) warms up for 130 iterations, and the training '
            'has 120: it never gets to its learning rate; set param_scheduler.0.end to less, or '
            'train_cfg.max_epochs to more',
        ),
        (
            [POLY, dict(type='ConstantLR', factor=0.1, by_epoch=False, end=301)],
            ITERATIONS,
            'param_scheduler.1 (ConstantLR) warms up for 301 iterations, and the training has 300: '
            'it never gets to its learning rate; set param_scheduler.1.end to less, or '
            'train_cfg.max_iters to more',
        ),
        (dict(type='LinearLR', end=12), EPOCHS, None),
        (dict(type='LinearLR', end=500), ITERATIONS, None),
        # It comes down, or stays where it is, or for ever.
        (dict(type='LinearLR', by_epoch=False, end_factor=0.1, start_factor=1), EPOCHS, None),
        (dict(type='ConstantLR', factor=1, end=500), EPOCHS, None),
        (dict(type='LinearLR'), EPOCHS, None),
        (dict(type='LinearLR', by_epoch=False, end=500), dict(EPOCHS, max_epochs=9), None),
    ],
)
def test_a_warm_up_that_is_longer_than_the_training(scheduler, train_cfg, found):
    assert unfinished_warmup(config(scheduler, train_cfg), 10) == found


def test_a_trial_is_none():
    cfg = config(dict(type='LinearLR', by_epoch=False, end=500), max_iters=TRIAL - 1)
    assert unfinished_warmup(cfg, 1) is None
    cfg.train_cfg.max_iters = TRIAL
    assert unfinished_warmup(cfg, 1)
