"""Whether the schedule of the learning rate ends where the training does."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

# Fewer iterations are a trial, in which nobody looks at the learning rate.
TRIAL = 100
# What a schedule may end before the training, as a share of it.
_SLACK = 0.01


def remarks_on_schedule(cfg: Config) -> Iterator[str]:
    """Say what of the schedule does not fit the length of the training.

    Args:
        cfg: Config of a training. What counts otherwise than the training does is passed over.
    """
    unit, length = _length_of(cfg)
    if not length:
        return
    schedulers = list(_schedulers(cfg))
    for key, scheduler in schedulers:
        kind = f'{key} ({scheduler["type"]})'
        if scheduler.get('by_epoch', True) != (unit == 'epoch'):
            if unit == 'iteration':
                yield (
                    f'{kind} counts epochs, which a training by iterations does not: the learning '
                    f'rate will not change; set {key}.by_epoch=False'
                )
            continue
        milestones = scheduler.get('milestones') if scheduler['type'] == 'MultiStepLR' else None
        if milestones and max(milestones) >= scheduler.get('end', max(milestones) + 1):
            yield (
                f'{kind} ends at {unit} {scheduler["end"]}, before its milestones '
                f'{list(milestones)} are over; set {key}.end={length}'
            )
        end = _end_of(scheduler)
        if end is None or scheduler['type'] == 'ConstantLR' or _is_warmup(scheduler):
            continue
        remedy = f'set {key}.{_option_for(scheduler, length)}'
        if end > length:
            yield (
                f'{kind} goes on to {unit} {end}, and the training ends at {length}: the learning '
                f'rate will not come down as far as it should; {remedy}'
            )
        later = any(s.get('begin', 0) >= end for _, s in schedulers)
        if end < length * (1 - _SLACK) and _ends_at_zero(scheduler) and not later:
            yield (
                f'{kind} ends at {unit} {end}, and the training at {length}: from there on the '
                f'learning rate will be 0; {remedy}'
            )


def unfinished_warmup(cfg: Config, epoch_length: int) -> str | None:
    """Say which warm-up is longer than the training.

    Args:
        cfg: Config of a training.
        epoch_length: Batches of an epoch.

    Returns:
        What is wrong, in one line; None if nothing, or in a trial of less than :data:`TRIAL`
        iterations.
    """
    unit, length = _length_of(cfg)
    iterations = length * (epoch_length if unit == 'epoch' else 1)
    if iterations < TRIAL:
        return None
    for key, scheduler in _schedulers(cfg):
        by_epoch = scheduler.get('by_epoch', True)
        end = _end_of(scheduler)
        if end is None or not _is_warmup(scheduler) or (by_epoch and unit == 'iteration'):
            continue
        last = end * (epoch_length if by_epoch else 1)
        if last > iterations:
            option = 'max_epochs' if unit == 'epoch' else 'max_iters'
            return (
                f'{key} ({scheduler["type"]}) warms up for {last} iterations, and the training has '
                f'{iterations}: it never gets to its learning rate; set {key}.end to less, or '
                f'train_cfg.{option} to more'
            )
    return None


def _length_of(cfg: Config) -> tuple[str, int]:
    """Give what the training counts, and how many of them there are; 0 if nobody can tell."""
    train_cfg = cfg.get('train_cfg') or {}
    kind = train_cfg.get('type')
    by_epoch = kind == 'EpochBasedTrainLoop' or (kind is None and train_cfg.get('by_epoch'))
    if not by_epoch and kind not in (None, 'IterBasedTrainLoop'):
        return 'iteration', 0
    length = train_cfg.get('max_epochs' if by_epoch else 'max_iters')
    return 'epoch' if by_epoch else 'iteration', length if isinstance(length, int) else 0


def _schedulers(cfg: Config) -> Iterator[tuple[str, dict]]:
    """Give the schedules of learning rates with their keys; each of several optimizers has some."""
    yield from _schedulers_in(cfg.get('param_scheduler'), 'param_scheduler')


def _schedulers_in(node: Any, where: str) -> Iterator[tuple[str, dict]]:
    if isinstance(node, dict) and isinstance(node.get('type'), str) and node['type'].endswith('LR'):
        yield where, node
    elif isinstance(node, dict) and 'type' not in node:
        for name, value in node.items():
            yield from _schedulers_in(value, f'{where}.{name}')
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from _schedulers_in(value, f'{where}.{i}')


def _end_of(scheduler: dict) -> int | None:
    """Give where a schedule is over, None if it never is."""
    kind, end = scheduler['type'], scheduler.get('end')
    if kind == 'CosineAnnealingLR' and scheduler.get('T_max') is not None:
        end = scheduler.get('begin', 0) + scheduler['T_max']
    elif kind == 'OneCycleLR':
        end = scheduler.get('total_steps')
    elif kind == 'MultiStepLR':
        milestones = scheduler.get('milestones')
        end = max(milestones) if milestones else None
    elif kind not in ('PolyLR', 'LinearLR', 'CosineAnnealingLR', 'QuadraticWarmupLR', 'ConstantLR'):
        end = None
    return end if isinstance(end, int) else None


def _option_for(scheduler: dict, length: int) -> str:
    """Give the option, and its value, with which a schedule is over where the training is."""
    if scheduler['type'] == 'MultiStepLR':
        return 'milestones to earlier ones'
    if scheduler['type'] == 'OneCycleLR':
        return f'total_steps={length}'
    if scheduler.get('T_max') is not None:
        return f'T_max={length - scheduler.get("begin", 0)}'
    return f'end={length}'


def _is_warmup(scheduler: dict) -> bool:
    kind = scheduler['type']
    if kind == 'LinearLR':
        return scheduler.get('start_factor', 1 / 3) < scheduler.get('end_factor', 1.0)
    return kind == 'QuadraticWarmupLR' or (
        kind == 'ConstantLR' and scheduler.get('factor', 1 / 3) < 1
    )


def _ends_at_zero(scheduler: dict) -> bool:
    lowest = scheduler.get('eta_min', scheduler.get('eta_min_ratio', 0))
    return scheduler['type'] in ('PolyLR', 'CosineAnnealingLR') and not lowest
