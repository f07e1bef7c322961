"""Plug-ins of mmdet's and mmseg's ResNet under norm_eval and frozen_stages."""

import itertools
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner as StockRunner

from mmattn.engine.runner import Runner
from mmattn.errors import InputError
from tests.insertion import plugged
from tests.launch.test_dist_scripts import TRAIN, succeed

LOOPS = dict(by_epoch=plugged.BY_EPOCH, by_iteration=plugged.BY_ITERATION)
PARAMWISE = {'optim_wrapper.paramwise_cfg': dict(custom_keys=dict(coord_att=dict(lr_mult=2)))}


def run_of(runner, work_dir, loop='by_iteration', keep=True, **options):
    cfg = Config.fromstring(plugged.CONFIG, '.py')
    cfg.train_cfg, cfg.work_dir = LOOPS[loop], str(work_dir)
    cfg.merge_from_dict(options)
    if keep:
        cfg.custom_hooks.append(dict(type='KeepAttentionTraining'))
    return runner.from_cfg(cfg)


def states_of(runner):
    runner.train()
    return next(hook for hook in runner.hooks if isinstance(hook, plugged.Record)).states


def is_of_plugin(key):
    return '.coord_att.' in key or '.eca.' in key


def is_of_frozen_part(key):
    return key.startswith(('backbone.conv1.', 'backbone.bn1.', 'backbone.layer1.'))


@pytest.mark.parametrize('loop', LOOPS)
@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
@pytest.mark.parametrize('runner', [Runner, StockRunner], ids=['ours', 'stock'])
def test_plugins_learn_in_every_iteration_and_the_host_stays_frozen(runner, scope, loop, tmp_path):
    """Also in those after a validation, which puts the whole model into evaluation."""
    backbone = {'model.backbone.type': f'{scope}.ResNet'}
    states = states_of(run_of(runner, tmp_path, loop, **backbone))
    assert len(states) == 5
    keys = [key for key in states[0] if 'num_batches' not in key]
    plugins = [key for key in keys if is_of_plugin(key)]
    statistics = [key for key in plugins if 'running' in key]
    assert len({key.rpartition('.bn1')[0] for key in statistics}) == 16
    for before, after in itertools.pairwise(states):
        moved = {key for key in keys if not torch.equal(before[key], after[key])}
        assert set(statistics) <= moved
        # A bias before a norm has no effect.
        assert {key for key in plugins if not key.endswith('conv1.bias')} <= moved
        host = {key for key in moved if not is_of_plugin(key)}
        assert any(key.startswith('backbone.layer2.') for key in host)
        assert not any('running' in key or is_of_frozen_part(key) for key in host)


def test_without_it_statistics_and_frozen_plugins_stay_as_built(tmp_path):
    states = states_of(run_of(Runner, tmp_path, keep=False))
    frozen = [
        key
        for key in states[0]
        if is_of_plugin(key) and ('running' in key or is_of_frozen_part(key))
    ]
    assert frozen
    assert all(torch.equal(states[0][key], states[-1][key]) for key in frozen)


def warnings_of(work_dir):
    [log] = work_dir.glob('*/*.log')
    return [line for line in log.read_text().splitlines() if ' WARNING - ' in line]


@pytest.mark.parametrize(
    ('backbone', 'names'),
    [
        ({}, r'layer1\.0\.coord_att, backbone\.layer1\.1\.coord_att and 14 more'),
        ({'norm_eval': False}, r'layer1\.0\.coord_att, backbone\.layer1\.1\.coord_att and 1 more'),
    ],
    ids=['norm_eval', 'frozen_stages'],
)
def test_one_warning_names_the_plugins_that_do_not_train(tmp_path, backbone, names):
    options = {f'model.backbone.{key}': value for key, value in backbone.items()}
    run_of(Runner, tmp_path, keep=False, **options).train()
    [warning] = [text for text in warnings_of(tmp_path) if 'KeepAttentionTraining' in text]
    assert re.search(f'host keeps backbone.{names} from training; custom_hooks=', warning)


@pytest.mark.parametrize(
    ('keep', 'options'),
    [
        (True, {}),
        (False, {'model.backbone.norm_eval': False, 'model.backbone.frozen_stages': 0}),
        (False, {'model.backbone.plugins': None}),
    ],
    ids=['hook', 'nothing frozen', 'no plug-ins'],
)
def test_no_warning_where_all_plugins_train(tmp_path, keep, options):
    run_of(Runner, tmp_path, keep=keep, **options).train()
    assert not [text for text in warnings_of(tmp_path) if 'KeepAttentionTraining' in text]


def test_a_model_without_plugins_gets_a_warning(tmp_path):
    run_of(Runner, tmp_path, **{'model.backbone.plugins': None}).train()
    [warning] = [text for text in warnings_of(tmp_path) if 'KeepAttentionTraining' in text]
    assert warning.endswith('the model has no plug-ins to keep')


def test_paramwise_options_reach_plugins_in_a_frozen_stage(tmp_path):
    runner = run_of(Runner, tmp_path, **PARAMWISE)
    runner.train()
    parameter = runner.model.backbone.layer1[0].coord_att.conv1.weight
    groups = runner.optim_wrapper.param_groups
    [group] = [g for g in groups if any(p is parameter for p in g['params'])]
    assert group['lr'] == 0.2


def test_an_optimizer_that_passed_over_plugins_is_an_error(tmp_path):
    """mmengine's constructor leaves out what is frozen if it has options by parameter."""
    runner = run_of(StockRunner, tmp_path, **PARAMWISE)
    with pytest.raises(
        InputError, match=r'layer1\.1\.coord_att and 1 more still frozen when the optimizer was'
    ):
        runner.train()


@pytest.fixture
def process_group(tmp_path):
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def wrapped_run(work_dir, **options):
    runner = run_of(StockRunner, work_dir, **options)
    runner.model = MMDistributedDataParallel(runner.model)
    return runner


def test_ddp_that_passed_over_plugins_is_an_error(process_group, tmp_path):
    with pytest.raises(InputError, match='still frozen when the model was wrapped for several'):
        wrapped_run(tmp_path).train()


def test_ddp_needs_nothing_where_no_stage_with_plugins_is_frozen(process_group, tmp_path):
    states = states_of(wrapped_run(tmp_path, **{'model.backbone.frozen_stages': 0}))
    key = 'module.backbone.layer1.0.coord_att.bn1.running_mean'
    assert not torch.equal(states[-2][key], states[-1][key])


@pytest.mark.slow
def test_two_ranks_train_them_alike(tmp_path):
    path = tmp_path / 'plugged.py'
    hooks = "[dict(type='KeepAttentionTraining'), dict(type='RanksAgree')]"
    text = plugged.CONFIG.replace("[dict(type='Record')]", hooks)
    path.write_text(f'{text}train_cfg = dict({plugged.BY_ITERATION})\n')
    succeed(TRAIN, path, 2, '--work-dir', tmp_path)
    weights = torch.load(tmp_path / 'iter_4.pth', weights_only=False)['state_dict']
    assert weights['backbone.layer1.0.coord_att.bn1.num_batches_tracked'] == 4
