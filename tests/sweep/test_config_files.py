"""The files are read back as mmattn train reads them."""

import pytest

from mmattn.engine.config import load_config
from mmattn.errors import InputError
from mmattn.sweep.config_files import Base, write_config
from mmattn.sweep.plan import make_plan

DEMO = 'mmattn::demo/upernet_van_tiny_ade20k.py'
AFTER = r'backbone\.block1\.0\.attn'


def written(tmp_path, content, number=-1, base=DEMO):
    """Write the config of one run of a plan, and read it."""
    plan = make_plan(dict(base=base, **content))
    run = [*plan.runs()][number]
    path = write_config(run, Base(plan.base, plan.metric), tmp_path)
    return load_config(str(path))


def test_the_baseline_is_the_base_with_a_seed_and_its_best_checkpoint(tmp_path):
    cfg, base = written(tmp_path, dict(seeds=[7])), load_config(DEMO)
    assert cfg.randomness == dict(seed=7)
    hooks = cfg.default_hooks
    assert hooks.checkpoint.save_best == 'mIoU' and hooks.checkpoint.max_keep_ckpts == 1
    # Otherwise validations have no numbers of their own in the log.
    assert hooks.logger.log_metric_by_epoch is False
    for key in ('model', 'train_cfg', 'param_scheduler', 'optim_wrapper', 'train_dataloader'):
        assert cfg[key] == base[key]


def test_attention_goes_around_the_model_of_the_base(tmp_path):
    row = dict(attention=dict(type='SE'), after=[AFTER, 'neck'], before='x', start='paper')
    cfg = written(tmp_path, dict(rows=dict(se=row)))
    assert cfg.model == dict(
        type='InsertAttention',
        host=load_config(DEMO).model,
        sites=[
            dict(after=AFTER, attention=dict(type='SE')),
            dict(after='neck', attention=dict(type='SE')),
            dict(before='x', attention=dict(type='SE')),
        ],
        start='paper',
    )


def test_options_of_a_row_reach_the_model_within(tmp_path):
    row = dict(attention=dict(type='SE'), after=AFTER)
    options = {'model.backbone.drop_path_rate': 0.5, 'optim_wrapper.optimizer.lr': 3.0}
    cfg = written(tmp_path, dict(rows=dict(se=dict(**row, options=options))))
    expected = load_config(DEMO).model
    expected.backbone.drop_path_rate = 0.5
    assert cfg.model.host == expected
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=3.0, weight_decay=0.01)


def test_keys_within_an_option_may_have_dots(tmp_path):
    options = dict(optim_wrapper=dict(paramwise_cfg=dict(custom_keys={'.blend': dict(lr_mult=9)})))
    cfg = written(tmp_path, dict(rows=dict(fast=dict(options=options))))
    keys = cfg.optim_wrapper.paramwise_cfg.custom_keys
    assert keys == {'norm': dict(decay_mult=0.0), '.blend': dict(lr_mult=9)}


def test_items_of_lists_change_by_their_number(tmp_path):
    cfg = written(tmp_path, dict(options={'param_scheduler.1.power': 0.5}))
    first, second = load_config(DEMO).param_scheduler
    assert cfg.param_scheduler == [first, {**second, 'power': 0.5}]
    with pytest.raises(InputError, match='option 2 is behind the end of a list of 2'):
        written(tmp_path, dict(options={'param_scheduler.2.power': 0.5}))


def test_a_shorter_training_has_its_whole_schedule(tmp_path):
    cfg = written(tmp_path, dict(lengths=[30]))
    assert cfg.train_cfg == dict(type='IterBasedTrainLoop', max_iters=30, val_interval=30)
    warm_up, decay = cfg.param_scheduler
    assert (warm_up.begin, warm_up.end) == (0, 2)
    assert (decay.begin, decay.end) == (2, 30)
    assert cfg.default_hooks.checkpoint.interval == 30


def test_options_come_after_the_length(tmp_path):
    cfg = written(tmp_path, dict(lengths=[30], options={'train_cfg.val_interval': 10}))
    assert cfg.train_cfg.val_interval == 10 and cfg.train_cfg.max_iters == 30


def test_epochs_and_milestones(tmp_path):
    base = tmp_path / 'base.py'
    base.write_text(f"""
_base_ = ['{DEMO}']
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=12, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', milestones=[8, 11], by_epoch=True, begin=0, end=12),
]
""")
    cfg = written(tmp_path, dict(lengths=[24]), base=str(base))
    assert cfg.train_cfg.max_epochs == 24
    # A warm-up by iterations is none of the schedule.
    assert cfg.param_scheduler[0].end == 500
    assert cfg.param_scheduler[1].milestones == [16, 22] and cfg.param_scheduler[1].end == 24
    assert cfg.default_hooks.logger.log_metric_by_epoch is True


def test_a_file_that_says_the_same_is_not_written_again(tmp_path):
    written(tmp_path, {})
    before = (tmp_path / 'none-seed0.py').stat().st_ino
    written(tmp_path, {})
    assert (tmp_path / 'none-seed0.py').stat().st_ino == before
    written(tmp_path, dict(lengths=[3]))
    assert (tmp_path / 'none-seed0.py').stat().st_ino != before


@pytest.mark.parametrize(
    ('config', 'metric'),
    [
        ('seg/upernet_van_b0_ade20k.py', 'mIoU'),
        ('det/mask_rcnn_r50-se_fpn_1x_coco.py', 'coco/bbox_mAP'),
        ('cls/van_b0_in1k.py', 'accuracy/top1'),
    ],
)
def test_the_metric_of_a_task(config, metric):
    assert Base(f'mmattn::{config}').metric == metric


def test_bases_that_cannot_be_swept(tmp_path):
    base = tmp_path / 'base.py'
    base.write_text(f"_base_ = ['{DEMO}']\ntest_evaluator = None\n")
    with pytest.raises(InputError, match='has no test_evaluator; a sweep trains'):
        Base(str(base))
    base.write_text(
        f"_base_ = ['{DEMO}']\nval_evaluator = dict(_delete_=True, type='DumpResults', "
        "out_file_path='x.pkl')\n"
    )
    with pytest.raises(InputError, match='none of its metrics is the usual one'):
        Base(str(base))
    assert Base(str(base), 'x/y').metric == 'x/y'
