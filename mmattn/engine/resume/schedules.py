"""Schedules that are other ones than before, and where they would be by now."""

import inspect
import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.runner import Runner

from mmattn.engine.resume.settings import Difference, show

# For each optimizer wrapper by its name, '' where there is one: for each group its options.
Options = dict[str, list[dict[str, Any]]]


def wrappers_of(runner: Runner) -> dict[str, OptimWrapper]:
    """Give the optimizer wrappers of a runner by their names, '' where there is one."""
    wrapper = runner.optim_wrapper
    return wrapper.optim_wrappers if isinstance(wrapper, OptimWrapperDict) else {'': wrapper}


def schedules_of(runner: Runner) -> dict[str, list[_ParamScheduler]]:
    """Give the schedules of each optimizer wrapper, built."""
    schedules = runner.param_schedulers or []
    return schedules if isinstance(schedules, dict) else {'': schedules}


def options_of(runner: Runner) -> Options:
    """Copy the options of the optimizers of a runner."""
    return {
        name: [{k: v for k, v in group.items() if k != 'params'} for group in wrapper.param_groups]
        for name, wrapper in wrappers_of(runner).items()
    }


def put_options(runner: Runner, options: Options, only_scheduled: bool) -> None:
    """Give optimizers the options that :func:`options_of` had.

    Args:
        runner: Runner of the optimizers.
        options: The options.
        only_scheduled: Whether to leave what no schedule changes.
    """
    for name, wrapper in wrappers_of(runner).items():
        for group, own in zip(wrapper.param_groups, options[name], strict=True):
            scheduled = {'lr', 'initial_lr'}.union(
                *((key, f'initial_{key}') for key in own if f'initial_{key}' in own),
                ['betas'] if 'initial_momentum' in own else [],
            )
            group.update((k, v) for k, v in own.items() if k in scheduled or not only_scheduled)


def compare_options(options: Options, saved: dict[str, Any]) -> Iterator[Difference]:
    """Compare the options of optimizers with those in a checkpoint, where both have them.

    What a schedule changes is compared by the value that the schedule begins with.

    Args:
        options: Those of the config.
        saved: State of each optimizer wrapper, of the same groups.

    Yields:
        For each option that differs its name and the first values that do.
    """
    found: dict[tuple[str, str], tuple[Any, Any]] = {}
    for name, groups in options.items():
        for own, group in zip(groups, saved[name]['param_groups'], strict=False):
            for key, value in own.items():
                is_scheduled = f'initial_{key}' in own and f'initial_{key}' in group
                if key in group and not is_scheduled and not _is_close(value, group[key]):
                    place = name, key.removeprefix('initial_')
                    found.setdefault(place, (group[key], value))
    for (name, key), (before, now) in found.items():
        yield f'{name}.{key}'.lstrip('.'), show(before), show(now)


def compare_schedules(ours: dict[str, list], theirs: dict[str, list]) -> Iterator[Difference]:
    """Compare what schedules are made of with the states of as many of the same kinds."""
    for name, schedules in ours.items():
        for i, (schedule, state) in enumerate(zip(schedules, theirs[name], strict=True)):
            own = schedule.state_dict()
            for key in _parameters(type(schedule)):
                if key in own and not _is_close(own[key], state.get(key)):
                    place = f'{name}.param_scheduler.{i}.{key}'.lstrip('.')
                    yield place, show(state.get(key)), show(own[key])


def _parameters(kind: type) -> list[str]:
    """Give the options of a kind of schedule, and what it has from its optimizer."""
    names = [name for base in kind.__mro__ for name in inspect.signature(base).parameters]
    return [*dict.fromkeys(n for n in names if n not in ('last_step', 'verbose')), 'base_values']


def _is_close(own: Any, other: Any) -> bool:
    if isinstance(own, list | tuple) and isinstance(other, list | tuple):
        return len(own) == len(other) and all(map(_is_close, own, other))
    if isinstance(own, int | float) and isinstance(other, int | float):
        return math.isclose(own, other, rel_tol=1e-9)
    if isinstance(own, dict) and isinstance(other, dict):
        return set(own) == set(other) and all(_is_close(own[key], other[key]) for key in own)
    if own is None or other is None or isinstance(own, str):
        return own is other or (isinstance(own, str) and isinstance(other, str) and own == other)
    # Not of what can be compared.
    return True


def put_schedules(runner: Runner) -> list[str]:
    """Bring schedules that have not begun to where they would be by now.

    They are stepped as often as a training from the start would have done.

    Args:
        runner: Runner that has resumed; its optimizers have the options of the start.

    Returns:
        The kinds of schedules that stay at their beginning, since they go by validations.
    """
    steps = getattr(runner.train_loop, 'steps', runner.iter)
    left_out = []
    for name, schedules in schedules_of(runner).items():
        wrapper = wrappers_of(runner)[name]
        left_out += [type(s).__name__ for s in schedules if getattr(s, 'need_val_args', False)]
        fixed = [s for s in schedules if not getattr(s, 'need_val_args', False)]
        converted = _converted(runner, name)
        counts = [
            runner.epoch if s.by_epoch else steps if i in converted else runner.iter
            for i, s in enumerate(schedules)
            if s in fixed
        ]
        _step(fixed, counts, wrapper)
    return left_out


def _converted(runner: Runner, name: str) -> set[int]:
    """Give the places of the schedules that a config has by epochs and that go by iterations."""
    cfg = runner.cfg.get('param_scheduler') or []
    cfg = cfg.get(name, cfg) if isinstance(cfg, dict) else cfg
    cfg = [cfg] if isinstance(cfg, dict) else cfg
    return {i for i, s in enumerate(cfg) if isinstance(s, dict) and s.get('convert_to_iter_based')}


def _step(schedules: list[_ParamScheduler], counts: list[int], wrapper: OptimWrapper) -> None:
    """Step the schedules of an optimizer, each so many times, in the order of a training."""
    groups = wrapper.param_groups
    all_values = [schedule.base_values for schedule in schedules]
    # Hundreds of groups differ in a few numbers: one stands for all that have the same.
    kinds = [
        repr((_numbers(group), [values[i] for values in all_values]))
        for i, group in enumerate(groups)
    ]
    first = {kind: i for i, kind in reversed([*enumerate(kinds)])}
    optimizer = SimpleNamespace(
        param_groups=[_numbers(groups[i]) for i in first.values()],
        # A schedule looks whether the optimizer has taken its first step.
        step=SimpleNamespace(_with_counter=True),
        _global_step=0,
    )
    for schedule, values in zip(schedules, all_values, strict=True):
        schedule.optimizer = optimizer
        schedule.base_values = [values[i] for i in first.values()]
    # Epochs end among the iterations; all are taken as equally long.
    turns = [
        (turn / count, schedules[i].by_epoch, i)
        for i, count in enumerate(counts)
        for turn in range(1, count + 1)
    ]
    for *_, i in sorted(turns):
        schedules[i].step()
    numbers = dict(zip(first, optimizer.param_groups, strict=True))
    for group, kind in zip(groups, kinds, strict=True):
        group.update(numbers[kind])
    for schedule, values in zip(schedules, all_values, strict=True):
        schedule.optimizer, schedule.base_values = wrapper, values
        schedule._last_value = [group[schedule.param_name] for group in groups]


def _numbers(group: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in group.items()
        if isinstance(value, int | float)
        or (isinstance(value, tuple) and all(isinstance(v, int | float) for v in value))
    }
