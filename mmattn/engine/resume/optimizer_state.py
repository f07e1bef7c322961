"""Does the state of an optimizer that a checkpoint holds fit the optimizer of a config?"""

import copy
import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def compare_groups(saved: Any, optimizer: Optimizer) -> str | None:
    """Compare what belongs to all parameters: their number, their groups, and the options.

    Args:
        saved: What is there in the place of ``optimizer.state_dict()``.
        optimizer: The optimizer that is to go on.

    Returns:
        What does not fit, or None.
    """
    if not _is_state_dict(saved):
        return 'is no state of an optimizer'
    theirs, ours = saved['param_groups'], optimizer.param_groups
    sizes, own_sizes = ([len(group['params']) for group in groups] for groups in (theirs, ours))
    if sizes != own_sizes:
        return f'has {_describe(sizes)}, the {type(optimizer).__name__} of the config has ' + (
            _describe(own_sizes) if _describe(sizes) != _describe(own_sizes) else 'others'
        )
    numbers = [number for group in theirs for number in group['params']]
    if numbers != list(range(len(numbers))) or not set(saved['state']) <= set(numbers):
        return 'does not number its parameters from 0 on'
    for group, own_group in zip(theirs, ours, strict=True):
        options, own_options = _options(group), _options(own_group)
        differing = [
            key
            for key in {**own_options, **options}
            # What newer versions of PyTorch have added is not in older checkpoints.
            if options.get(key) != own_options.get(key) and (key in group or key not in _SWITCHES)
        ]
        if differing:
            return (
                f'is that of an optimizer of another kind than the {type(optimizer).__name__} of '
                f'the config: {", ".join(differing)}'
            )
        for key, own in own_group.items():
            if isinstance(own, bool) and not isinstance(group.get(key), bool | None):
                return f'has {key}={group[key]!r}, expected True or False'
    return None


# What makes AdamW of Adam.
_SWITCHES = ('decoupled_weight_decay',)


def compare_states(saved: dict[str, Any], optimizer: Optimizer) -> tuple[dict[int, str], list[int]]:
    """Compare what belongs to single parameters with what this kind of optimizer keeps for them.

    What that is shows a step on the meta device. An optimizer that cannot do one is believed.

    Args:
        saved: A state to which :func:`compare_groups` has no objection.
        optimizer: The optimizer that is to go on.

    Returns:
        What does not fit, by the numbers of the parameters, and the numbers of those that have no
        state although they are trained.
    """
    kept = _try_a_step(optimizer, saved['param_groups'])
    faults, missing = {}, []
    parameters = [(i, p) for i, g in enumerate(optimizer.param_groups) for p in g['params']]
    for number, (group, parameter) in enumerate(parameters if kept is not None else ()):
        assert kept is not None
        examples = kept[group, parameter.shape, parameter.dtype]
        state = saved['state'].get(number, {})
        if not isinstance(state, dict):
            faults[number] = f'has a {type(state).__name__} for a state'
        elif not state and examples and parameter.requires_grad:
            missing.append(number)
        elif state:
            wrong = [name for name, example in examples.items() if not _fits(state, name, example)]
            if wrong:
                faults[number] = _explain(state, wrong[0], examples[wrong[0]])
    return faults, missing


def count_states(optimizer: Optimizer) -> int:
    """Count the parameters that an optimizer keeps something for."""
    return sum(bool(state) for state in optimizer.state.values())


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number, in a tensor or not."""
    if isinstance(value, Tensor):
        return value.numel() == 1 and not value.is_complex() and bool(value.isfinite().all())
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_state_dict(saved: Any) -> bool:
    return (
        isinstance(saved, dict)
        and isinstance(saved.get('state'), dict)
        and isinstance(saved.get('param_groups'), list)
        and all(
            isinstance(group, dict) and isinstance(group.get('params'), list)
            for group in saved['param_groups']
        )
        # A list would have no place in a set.
        and all(isinstance(n, int) for group in saved['param_groups'] for n in group['params'])
    )


def _describe(sizes: list[int]) -> str:
    return f'{sum(sizes)} parameters in {len(sizes)} group{"s" * (len(sizes) != 1)}'


def _options(group: dict[str, Any]) -> dict[str, Any]:
    """Give what tells the kinds of optimizers apart: how many numbers each option is made of."""
    found = {key: group[key] for key in _SWITCHES if key in group}
    for key, value in group.items():
        numbers = value if isinstance(value, list | tuple) else [value]
        # Schedules put what they began with into the groups.
        if key != 'params' and not str(key).startswith('initial_') and all(map(is_number, numbers)):
            found[key] = len(numbers)
    return found


def _try_a_step(optimizer: Optimizer, groups: list[dict]) -> dict[tuple, dict[str, Any]] | None:
    """Give what an optimizer with the options of other groups keeps after a step.

    Returns:
        By group, shape and type of a parameter its state, with tensors on the meta device; None if
        the optimizer cannot do without data.
    """
    trial = copy.copy(optimizer)
    trial.state = defaultdict(dict)
    trial.param_groups, stand_ins = [], {}
    for i, (own_group, group) in enumerate(zip(optimizer.param_groups, groups, strict=True)):
        here = {}
        for p in own_group['params']:
            if (p.shape, p.dtype) not in here:
                stand_in = nn.Parameter(torch.empty(p.shape, dtype=p.dtype, device='meta'))
                stand_in.grad = torch.empty_like(stand_in)
                here[p.shape, p.dtype] = stand_in
        options = {**own_group, **group, 'params': list(here.values())}
        # How it computes makes no difference to what it keeps.
        options.update((k, False) for k in ('foreach', 'fused', 'capturable') if k in options)
        trial.param_groups.append(options)
        stand_ins.update({(i, *kind): stand_in for kind, stand_in in here.items()})
    try:
        # The step of the instance may be wrapped by a schedule.
        type(trial).step(trial)
    except Exception:
        return None
    return {kind: dict(trial.state.get(stand_in, {})) for kind, stand_in in stand_ins.items()}


def _fits(state: dict[str, Any], name: str, example: Any) -> bool:
    value: Any = state.get(name)
    if example.dim() == 0 if isinstance(example, Tensor) else is_number(example):
        return is_number(value) and bool(value >= 0 or name != 'step')
    if isinstance(example, Tensor):
        return (
            isinstance(value, Tensor)
            and value.layout == torch.strided
            and value.shape == example.shape
            and value.is_floating_point() == example.is_floating_point()
        )
    return type(value) is type(example)


def _explain(state: dict[str, Any], name: str, example: Any) -> str:
    if name not in state:
        return f'has no {name}'
    value = state[name]
    if isinstance(value, Tensor):
        came = f'of shape {tuple(value.shape)}'
    else:
        came = f'that is a {type(value).__name__}'
    if isinstance(example, Tensor):
        return f'has {name} {came}, expected shape {tuple(example.shape)}'
    return f'has {name} {came}, expected a {type(example).__name__}'
