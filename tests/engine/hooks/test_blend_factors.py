"""What a training says of the factors by which attention is blended in."""

import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner as StockRunner
from torch import nn

from mmattn.engine.hooks.blend_factors import BlendFactorHook
from mmattn.engine.runner import Runner
from mmattn.errors import InputError
from tests.engine.toy import toy_config


@MODELS.register_module()
class TwoGates(BaseModel):
    """Pulls every blend factor in one direction, as far as the learning rate lets it."""

    def __init__(self, start='identity', channels=0):
        super().__init__()
        self.first, self.second = (
            MODELS.build(dict(type='SE', in_channels=3, reduction=1, start=start)) for _ in range(2)
        )
        self.channels = channels

    def init_weights(self):
        super().init_weights()
        if self.channels:
            self.second.blend = nn.Parameter(torch.tensor([0.5, -0.25, 0.0]))

    def forward(self, inputs, data_samples, mode='tensor'):
        x = torch.stack(list(inputs)).reshape(-1, 3, 1, 1)
        return {'loss': self.second(self.first(x)).mean()}


@HOOKS.register_module()
class Factors(Hook):
    def __init__(self):
        self.seen = []

    def after_train_iter(self, runner, *args, **kwargs):
        gates = runner.model.first, runner.model.second
        blends = [gate.blend for gate in gates if gate.blend is not None]
        self.seen.append([factor for blend in blends for factor in blend.tolist()])


def train(runner, work_dir, iterations=100, lr=0.01, hooks=(), **model):
    cfg = toy_config(work_dir, iterations=iterations, interval=1000)
    cfg.merge_from_dict(
        dict(
            model=dict(type='TwoGates', **model),
            custom_hooks=[dict(type='Factors'), *hooks],
            optim_wrapper=dict(optimizer=dict(lr=lr)),
            randomness=dict(seed=0),
            log_level='WARNING',
        )
    )
    run = runner.from_cfg(cfg)
    run.train()
    return run


def warnings_of(work_dir):
    [log] = work_dir.glob('*/*.log')
    return [line for line in log.read_text().splitlines() if 'blend factor' in line]


def recorded(run, name):
    return run.message_hub.get_scalar(f'blend/{name}').data[0].tolist()


def test_factors_are_recorded_as_they_are_after_an_iteration(tmp_path):
    run = train(Runner, tmp_path, 25, hooks=[dict(type='BlendFactorHook', interval=10)])
    [seen] = [hook.seen for hook in run.hooks if isinstance(hook, Factors)]
    wanted = [seen[step - 1] for step in (10, 20, 25)]
    assert 0 < wanted[0][0] < wanted[1][0]
    assert recorded(run, 'first') == pytest.approx([first for first, _ in wanted], abs=1e-7)
    assert recorded(run, 'second') == pytest.approx([second for _, second in wanted], abs=1e-7)
    [path] = tmp_path.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    written = {s['step']: s['blend/first'] for s in lines if 'blend/first' in s}
    assert written == dict(zip((10, 20, 25), recorded(run, 'first'), strict=True))


def test_of_a_factor_for_each_channel_the_mean_magnitude_is_recorded(tmp_path):
    run = train(Runner, tmp_path, 1, lr=0.0, channels=3)
    assert recorded(run, 'second') == [0.25]


@pytest.mark.parametrize('runner', [Runner, StockRunner], ids=['ours', 'stock'])
def test_one_warning_where_no_factor_rose(tmp_path, runner):
    hooks = [dict(type='BlendFactorHook')] if runner is StockRunner else []
    run = train(runner, tmp_path, lr=0.0004, hooks=hooks)
    [line] = warnings_of(tmp_path)
    largest = max(recorded(run, 'first')[-1], recorded(run, 'second')[-1])
    assert "after 100 iterations 2 of 2 modules with start='identity' have a blend" in line
    assert f'within 0.1 of zero, and the largest is {largest:.2g}: ' in line
    assert "custom_keys={'.blend': dict(lr_mult=100)}" in line


def test_its_advice_is_heard(tmp_path):
    """By the key that the warning names, whatever part of the model the factor is in."""
    cfg = toy_config(tmp_path, iterations=1)
    cfg.model = dict(type='TwoGates')
    cfg.optim_wrapper.paramwise_cfg = dict(custom_keys={'.blend': dict(lr_mult=100)})
    run = Runner.from_cfg(cfg)
    groups = run.build_optim_wrapper(run.optim_wrapper).param_groups
    fast = {id(p) for g in groups for p in g['params'] if g['lr'] == 2}
    assert fast == {id(run.model.first.blend), id(run.model.second.blend)}


@pytest.mark.parametrize(
    ('iterations', 'lr', 'model'),
    [
        (100, 0.01, {}),
        (99, 0.0, {}),
        (100, 0.0, dict(start='paper')),
        (100, 0.0, dict(channels=3)),
    ],
    ids=['rose', 'short', 'no identity', 'half rose'],
)
def test_no_warning(tmp_path, iterations, lr, model):
    train(Runner, tmp_path, iterations, lr, **model)
    assert not warnings_of(tmp_path)


def test_the_training_is_the_same_with_it(tmp_path):
    hooks = [dict(type='BlendFactorHook', interval=1)]
    with_it = train(Runner, tmp_path / 'with', 20, hooks=hooks)
    without = train(Runner, tmp_path / 'without', 20, hooks=[dict(type='BlendFactorHook')])
    [a], [b] = ([h.seen for h in r.hooks if isinstance(h, Factors)] for r in (with_it, without))
    assert a == b


class Shard(torch.Tensor):
    """What a rank has of a factor that lies on another one."""

    def full_tensor(self):
        return torch.tensor([-0.03])


def test_a_factor_that_is_sharded_is_gathered():
    model = TwoGates()
    model.first.blend = nn.Parameter(torch.zeros(0).as_subclass(Shard))
    said = []
    runner = SimpleNamespace(model=model, iter=100, logger=SimpleNamespace(warning=said.append))
    hook = BlendFactorHook()
    hook.before_train(runner)
    hook.after_train(runner)
    [line] = said
    assert 'within 0.1 of zero, and the largest is 0.03: ' in line


@pytest.mark.parametrize('interval', [0, -1, 1.5, True, '10'])
def test_what_is_no_interval_is_refused(interval):
    with pytest.raises(InputError, match='BlendFactorHook: expected interval of 1 or more, got '):
        BlendFactorHook(interval)
