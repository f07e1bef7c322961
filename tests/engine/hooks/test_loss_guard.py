import pytest
import torch

from mmattn.engine.hooks.loss_guard import NonFiniteLossGuard
from mmattn.engine.runner import Runner
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


def test_only_steps_in_a_row_count(tmp_path):
    """A sample may end a pass and begin the next one, but is in no three batches in a row."""
    runner, _ = run(tmp_path, 'skip', bad=(5,), max_skips=2)
    guard = next(hook for hook in runner.hooks if isinstance(hook, NonFiniteLossGuard))
    report, skipped = guard._object, []
    guard._object = lambda *args, **kwargs: skipped.append(1) or report(*args, **kwargs)
    runner.train_loop._max_iters = 40
    runner.train()
    assert len(skipped) > 3


def test_gradients_that_are_no_numbers(tmp_path, monkeypatch):
    runner, weights = run(tmp_path, 'skip', bad=())
    warnings = []
    monkeypatch.setattr(runner.logger, 'warning', warnings.append)
    runner.model.net[0].weight.register_hook(
        lambda gradient: gradient * (float('inf') if runner.iter == 4 else 1)
    )
    runner.train()
    assert torch.equal(weights[5], weights[6]) and not torch.equal(weights[6], weights[7])
    [warning] = warnings
    assert warning.startswith('the gradient is NaN or infinite at iteration 5; images: ')


def test_images_without_a_path_are_unnamed(tmp_path):
    runner, _ = run(tmp_path, 'stop')

    def forget_paths(runner, batch_idx, data_batch):
        for sample in data_batch['data_samples']:
            del sample.img_path

    next(
        h for h in runner.hooks if type(h).__name__ == 'ToyRecord'
    ).before_train_iter = forget_paths
    with pytest.raises(InputError, match='images: unnamed, unnamed'):
        runner.train()


def test_running_statistics_get_back_what_they_had(tmp_path):
    runner, _ = run(tmp_path, 'skip')
    norm = torch.nn.BatchNorm1d(3)
    runner.model.norm = norm
    forward = runner.model.forward

    def spoiled(inputs, data_samples, mode='tensor'):
        bad = any(sample.idx == 5 for sample in data_samples)
        norm(torch.stack(list(inputs)) * (float('nan') if bad else 1))
        return forward(inputs, data_samples, mode)

    runner.model.forward = spoiled
    runner.train()
    bad = [i for i, (indices, _) in record_of(runner).items() if 5 in indices]
    assert bad and norm.running_mean.isfinite().all()
    assert norm.num_batches_tracked == 12 - len(bad)


def test_bad_weights_are_not_saved(tmp_path):
    runner, _ = run(tmp_path, 'skip', bad=())
    runner.train()
    before = sorted(path.name for path in tmp_path.iterdir())
    with torch.no_grad():
        runner.model.net[0].bias[0] = float('nan')
    with pytest.raises(InputError, match='net.0.bias is NaN or infinite .* the ones before stay'):
        runner.save_checkpoint(str(tmp_path), 'iter_13.pth')
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_the_own_one_takes_the_place_of_the_default_one(tmp_path):
    cfg = toy_config(tmp_path, iterations=12, model=dict(nan_at=range(22)))
    cfg.default_hooks.loss_guard = dict(type='NonFiniteLossGuard', action='skip', max_skips=2)
    cfg.custom_hooks.append(dict(type='NonFiniteLossGuard', action='skip', max_skips=4))
    with pytest.raises(InputError, match='at iteration 5; .*; 4 steps before it'):
        Runner.from_cfg(cfg).train()
    cfg.default_hooks.loss_guard = None
    cfg.custom_hooks.pop()
    assert not any(isinstance(h, NonFiniteLossGuard) for h in Runner.from_cfg(cfg).hooks)


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
