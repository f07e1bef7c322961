import pytest
import torch

from mmattn.engine import NonFiniteLossGuard, Runner
from mmattn.errors import InputError
from tests.engine.toy import record_of, toy_config


def run(tmp_path, action, bad=(5,), accumulate=1, wrapper='OptimWrapper', **options):
    cfg = toy_config(tmp_path, iterations=12, model=dict(nan_at=bad), randomness=dict(seed=1))
    cfg.custom_hooks.append(dict(type='NonFiniteLossGuard', action=action, **options))
    cfg.optim_wrapper.update(type=wrapper, accumulative_counts=accumulate)
    runner = Runner.from_cfg(cfg)
    weights = {}

    def keep(runner, batch_idx, **kwargs):
        weights[runner.iter + 1] = runner.model.net[0].weight.detach().clone()

    next(h for h in runner.hooks if type(h).__name__ == 'ToyRecord').before_train_iter = keep
    return runner, weights


def test_stops_and_names_iteration_and_images(tmp_path):
    runner, _ = run(tmp_path, 'stop')
    with pytest.raises(InputError, match=r'NaN or infinite at iteration (\d+); images: ') as raised:
        runner.train()
    assert '5.jpg' in str(raised.value) and '\n' not in str(raised.value)
    assert f'iteration {len(record_of(runner)) + 1};' in str(raised.value)
    assert all(p.isfinite().all() for p in runner.model.parameters())


@pytest.mark.parametrize('accumulate', [1, 2])
def test_skips_the_step(tmp_path, accumulate):
    runner, weights = run(tmp_path, 'skip', accumulate=accumulate)
    runner.train()
    bad = [i for i, (indices, _) in record_of(runner).items() if 5 in indices and i < 11]
    assert bad
    for i in bad:
        # The first iteration of the step and the first after it.
        first = i - (i - 1) % accumulate
        assert torch.equal(weights[first], weights[first + accumulate])
    good = next(i for i in range(1, 11) if not {i, i + 1} & set(bad))
    assert not torch.equal(weights[good], weights[good + 2])
    assert all(p.isfinite().all() for p in runner.model.parameters())


def test_at_most_so_many(tmp_path):
    runner, _ = run(tmp_path, 'skip', bad=range(22), max_skips=3)
    with pytest.raises(
        InputError, match='at iteration 4; .*; 3 steps before it have been left out already'
    ):
        runner.train()


def test_finite_losses_are_trained_as_without(tmp_path):
    guarded, _ = run(tmp_path / 'a', 'stop', bad=())
    guarded.train()
    plain, _ = run(tmp_path / 'b', 'stop', bad=())
    plain._hooks = [h for h in plain._hooks if not isinstance(h, NonFiniteLossGuard)]
    plain.train()
    assert record_of(guarded) == record_of(plain)


@pytest.mark.parametrize('options', [dict(action='warn'), dict(max_skips=0)], ids=str)
def test_bad_options(options):
    with pytest.raises(ValueError, match='expected'):
        NonFiniteLossGuard(**options)
