"""What a checkpoint has to have for a training to go on from it, looked at before all else."""

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import HistoryBuffer
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor

from mmattn.engine.resume.optimizer_state import compare_groups, compare_states, is_number
from mmattn.engine.resume.random_state import check_random_state
from mmattn.engine.resume.schedules import (
    Options,
    compare_options,
    compare_schedules,
    options_of,
    put_options,
    put_schedules,
    schedules_of,
)
from mmattn.engine.resume.settings import Difference, compare_settings, settings_of, show
from mmattn.errors import InputError


def start_id() -> str | None:
    """Give the name of the start that this process belongs to; torchrun hands it to all."""
    return os.environ.get('MMATTN_START_ID') or os.environ.get('TORCHELASTIC_RUN_ID')


# A part of the checkpoint, what is wrong with it, and what comes of leaving it out; the function
# that finds it does that.
Fault = tuple[str, str, str]


class ResumptionCheck(Hook):
    """Refuse a checkpoint that a training cannot go on from as if nothing had been.

    It comes before model, optimizer and schedules are changed, and what it lets through is of the
    types and shapes that they take. With ``resume_partial=True`` in the config, the parts that are
    missing or do not fit are left out with a warning each, and the training goes on with the rest.

    What the config has otherwise than the one that the checkpoint was trained with is listed. An
    optimizer and schedules with other values go on as the config says, from where they would be by
    now; with ``resume_schedule='checkpoint'`` in the config, as they were.
    """

    priority = 'HIGHEST'

    def __init__(self) -> None:
        #: The file that is being resumed from, else None.
        self.source: str | None = None
        #: Whether the optimizer, and whether the schedules are to go on.
        self.optimizer = self.schedules = True
        self._begin()

    def _begin(self) -> None:
        # What the optimizers begin with by the config, where its schedules hold.
        self._options: Options | None = None
        # Whether they keep what no schedule changes.
        self._only_scheduled = False

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Look at a checkpoint that is to be resumed from.

        Raises:
            InputError: If something is missing or does not fit; it names all that.
        """
        if self.source is None:
            return
        self._begin()
        chosen = runner.cfg.get('resume_schedule')
        if chosen not in (None, 'config', 'checkpoint'):
            raise InputError(
                f"config: resume_schedule has to be 'config' or 'checkpoint', got {chosen!r}"
            )
        _find_weights(checkpoint, self.source)
        faults = list(self._faults(runner, checkpoint))
        if faults and not runner.cfg.get('resume_partial'):
            found = '; '.join(f'{part} {fault}' for part, fault, _ in faults)
            raise InputError(
                f'checkpoint {self.source} is not all that a training goes on with: {found}; name '
                'another one, or go on without that: --resume-partial (resume_partial=True)'
            )
        for part, fault, consequence in faults:
            runner.logger.warning(f'{self.source}: {part} {fault}; {consequence}')

    def _faults(self, runner: Runner, checkpoint: dict) -> Iterator[Fault]:
        yield from _faults_of_meta(runner, checkpoint)
        yield from _faults_of_place(runner, checkpoint)
        yield from _faults_of_messages(runner, checkpoint)
        yield from _faults_of_average(runner, checkpoint)
        if self.optimizer:
            yield from _faults_of_optimizer(runner, checkpoint)
        differences = self._list_differences(runner, checkpoint)
        if not self.schedules:
            return
        if runner.param_schedulers is not None:
            runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
        # Without the optimizer the schedules are gone already, and that has been said.
        if self.optimizer and 'optimizer' not in checkpoint:
            self._begin_schedules(runner, checkpoint, only_scheduled=False)
        else:
            yield from self._faults_of_schedules(runner, checkpoint, differences)

    def _list_differences(self, runner: Runner, checkpoint: dict) -> list[Difference] | None:
        """Say what is other than in the run of a checkpoint; None if that is not known."""
        meta = checkpoint['meta']
        settings, ranks = meta.get('settings'), meta.get('training_state')
        if not isinstance(settings, dict) or not ranks:
            return None
        differences = [*compare_settings(settings, settings_of(runner.cfg))]
        if len(ranks) != runner.world_size:
            differences.append(('processes', show(len(ranks)), show(runner.world_size)))
        if differences:
            runner.logger.warning(f'{self.source} is of a training with other settings:')
        _list(runner, differences)
        return differences

    def _faults_of_schedules(
        self, runner: Runner, checkpoint: dict, differences: list[Difference] | None
    ) -> Iterator[Fault]:
        ours, theirs = runner.param_schedulers, checkpoint.get('param_schedulers')
        is_none = ours is None and not theirs
        fault = None if is_none else _fault_of_schedules([] if ours is None else ours, theirs)
        keys = {key.split('.')[0] for key, _, _ in differences or ()}
        others = self._other_values(runner, checkpoint, fault is None and not is_none)
        if differences is None:
            runner.logger.warning(
                f'{self.source} does not keep the settings of its training: only its optimizer and '
                'schedules can be compared, and they are '
                + ('other ones than those of the config:' if fault or others else 'the same')
            )
            _list(runner, others)
        elif not keys.intersection(_OF_SCHEDULES):
            others = []
        chosen = runner.cfg.get('resume_schedule')
        is_other = bool(others) or 'param_scheduler' in keys
        if chosen != 'checkpoint' and (is_other if fault is None else chosen or is_other):
            only_scheduled = differences is not None and 'optim_wrapper' not in keys
            self._begin_schedules(runner, checkpoint, only_scheduled)
            runner.logger.warning(
                'Learning rate and schedules go on as those of the config would by now; to keep '
                'those of the checkpoint: --resume-schedule checkpoint'
            )
        elif fault:
            self._begin_schedules(runner, checkpoint, only_scheduled=True)
            yield (
                'param_schedulers',
                f'{fault} (to take those of the config: --resume-schedule config)',
                'the schedules of the config go on from here',
            )
        elif is_other:
            runner.logger.warning('Learning rate and schedules go on as those of the checkpoint')

    def _begin_schedules(self, runner: Runner, checkpoint: dict, only_scheduled: bool) -> None:
        """Leave the schedules as they are built, for :meth:`finish`."""
        checkpoint.pop('param_schedulers', None)
        self._options, self._only_scheduled = options_of(runner), only_scheduled

    def _other_values(
        self, runner: Runner, checkpoint: dict, with_schedules: bool
    ) -> list[Difference]:
        """Give the values of optimizers and schedules that are not those of a checkpoint."""
        found: list[Difference] = []
        if self.optimizer:
            saved, options = checkpoint['optimizer'], options_of(runner)
            found += compare_options(options, saved if '' not in options else {'': saved})
        if with_schedules:
            theirs = checkpoint['param_schedulers']
            ours = schedules_of(runner)
            found += compare_schedules(ours, theirs if '' not in ours else {'': theirs})
        return found

    def finish(self, runner: Runner) -> None:
        """Bring schedules that the checkpoint does not have, or not so, to where they would be."""
        if self._options is None:
            return
        put_options(runner, self._options, self._only_scheduled)
        for kind in put_schedules(runner):
            runner.logger.warning(
                f'{kind} begins anew: where it would be depends on the validations before'
            )


# What in a config an optimizer and its schedules are made of, and the number of processes.
_OF_SCHEDULES = {
    *('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'auto_scale_lr'),
    'processes',
}

# Lines that a log can bear.
_LISTED = 100


def _list(runner: Runner, differences: list[Difference]) -> None:
    for key, before, now in differences[:_LISTED]:
        runner.logger.warning(f'  {key}: {before} in the checkpoint, {now} in the config')
    if len(differences) > _LISTED:
        runner.logger.warning(f'  and {len(differences) - _LISTED} more')


def _find_weights(checkpoint: dict, source: str) -> None:
    """Put the weights where mmengine looks for them."""
    if not isinstance(checkpoint.get('state_dict'), dict):
        if isinstance(checkpoint.get('model'), dict):
            checkpoint['state_dict'] = checkpoint['model']
        else:
            weights = dict(checkpoint)
            checkpoint.clear()
            checkpoint['state_dict'] = weights
    for key, value in checkpoint['state_dict'].items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise InputError(
                f'checkpoint {source} has no state_dict of tensors: {key!r} is a '
                f'{type(value).__name__}; name another one'
            )


def _faults_of_meta(runner: Runner, checkpoint: dict) -> Iterator[Fault]:
    meta = checkpoint.get('meta')
    if not isinstance(meta, dict):
        fault: str | None = 'is missing' if meta is None else f'is a {type(meta).__name__}'
        meta = checkpoint['meta'] = {}
    else:
        wrong = [key for key in ('epoch', 'iter') if not _is_count(meta.get(key))]
        fault = f'has {wrong[0]}={meta.get(wrong[0])!r}, expected a count' if wrong else None
    if fault:
        # The place in the data means nothing without them.
        meta.update(epoch=0, iter=0, training_state=None)
        yield 'meta', fault, 'epochs and iterations are counted from 0'
    seed = meta.get('seed')
    if seed is not None and not _is_count(seed, 2**32):
        meta['seed'] = None
        yield 'meta', f'has seed={seed!r}, expected one below 2**32', 'the order is a new one'


def _faults_of_place(runner: Runner, checkpoint: dict) -> Iterator[Fault]:
    meta = checkpoint['meta']
    ranks = meta.get('training_state')
    if ranks is None:
        return
    fault = _fault_of_ranks(ranks)
    if fault:
        meta['training_state'] = None
        yield 'training_state', fault, 'the place in the data is taken from the iteration'
        return
    for rank, state in enumerate(ranks):
        fault = check_random_state(state['random'])
        if fault:
            for other in ranks:
                other['random'] = None
            yield 'random state', f'of rank {rank}: {fault}', 'the random numbers are new ones'
            return
    if (ranks[0]['random']['cuda'] is None) == torch.cuda.is_available():
        runner.logger.warning(
            'The checkpoint is of a run with another kind of device: random numbers of GPUs are new'
        )


def _fault_of_ranks(ranks: Any) -> str | None:
    if not isinstance(ranks, list) or not ranks:
        return f'is {ranks!r:.20}, expected a list with an entry for each process'
    for rank, state in enumerate(ranks):
        if not isinstance(state, dict):
            return f'of rank {rank} is a {type(state).__name__}'
        for key in ('batch', 'sampler_seed', 'worker_seed', 'random'):
            if key not in state:
                return f'of rank {rank} has no {key}'
        if not _is_count(state['batch']):
            return f'of rank {rank} has batch={state["batch"]!r}, expected a count'
        for key in ('sampler_seed', 'worker_seed', 'batch_size', 'optimizer_states'):
            if state.get(key) is not None and not _is_count(state[key]):
                return f'of rank {rank} has {key}={state[key]!r}, expected a count or None'
        if not _are_legs(state.get('legs', [])):
            return f'of rank {rank} has legs={show(state["legs"])}, expected pairs of counts'
    return None


def _are_legs(legs: Any) -> bool:
    return isinstance(legs, list) and all(
        isinstance(leg, list) and len(leg) == 2 and all(map(_is_count, leg)) and leg[1]
        for leg in legs
    )


def _faults_of_messages(runner: Runner, checkpoint: dict) -> Iterator[Fault]:
    state = checkpoint.get('message_hub')
    parts = ('log_scalars', 'runtime_info', 'resumed_keys')
    fault: str | None
    if state is None:
        fault = 'is missing'
    elif not isinstance(state, dict):
        fault = f'is a {type(state).__name__}'
    else:
        wrong = [part for part in parts if not isinstance(state.get(part), dict)]
        fault = f'has no {wrong[0]}' if wrong else None
        # mmengine leaves what is no history out.
        others = [] if wrong else [v for v in state['log_scalars'].values() if _is_broken(v)]
        fault = 'has a history that is none' if others else fault
    if fault:
        checkpoint['message_hub'] = runner.message_hub.state_dict()
        yield 'message_hub', fault, 'the log and the best score begin anew'


def _is_broken(history: Any) -> bool:
    return isinstance(history, HistoryBuffer) and not all(
        isinstance(vars(history).get(name), np.ndarray)
        for name in ('_log_history', '_count_history')
    )


def _faults_of_average(runner: Runner, checkpoint: dict) -> Iterator[Fault]:
    averages = [h.ema_model for h in runner.hooks if isinstance(h, EMAHook) and _has_average(h)]
    state = checkpoint.get('ema_state_dict')
    if not averages:
        return
    fault: str | None
    if state is None:
        fault = 'is missing'
    elif not isinstance(state, dict):
        fault = f'is a {type(state).__name__}'
    else:
        expected = averages[0].state_dict()
        wrong = [
            key
            for key in {**expected, **state}
            if _shape(expected.get(key)) != _shape(state.get(key))
            # mmengine exchanges the two.
            or (key.startswith('module.') and key[7:] not in checkpoint['state_dict'])
        ]
        fault = f'is that of another model ({wrong[0]})' if wrong else None
    if fault:
        checkpoint.pop('ema_state_dict', None)
        yield 'ema_state_dict', fault, 'the average begins with the weights of the file'


def _has_average(hook: EMAHook) -> bool:
    # It is made when the run begins.
    return hasattr(hook, 'ema_model')


def _faults_of_optimizer(runner: Runner, checkpoint: dict) -> Iterator[Fault]:
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    wrappers = {'': runner.optim_wrapper}
    saved: dict[str, Any] = {'': checkpoint.get('optimizer')}
    fault = None
    if saved[''] is None:
        fault = 'is missing'
    elif isinstance(runner.optim_wrapper, OptimWrapperDict):
        wrappers, saved = runner.optim_wrapper.optim_wrappers, saved['']
        if not isinstance(saved, dict) or set(saved) != set(wrappers):
            fault = f'is not that of {", ".join(wrappers)}'
    for name in () if fault else wrappers:
        fault = fault or compare_groups(saved[name], wrappers[name].optimizer)
    if fault:
        # A schedule continues the values that are in the optimizer.
        for part in ('optimizer', 'param_schedulers'):
            checkpoint.pop(part, None)
        yield 'optimizer', fault, 'it begins anew, the schedules are those of the config'
        return
    ranks = checkpoint['meta'].get('training_state')
    noted = ranks[0].get('optimizer_states') if ranks else None
    complete = noted == sum(map(bool, (s for n in saved for s in saved[n]['state'].values())))
    names = {p: name for name, p in runner.model.named_parameters()}
    for name, wrapper in wrappers.items():
        parameters = [p for group in wrapper.optimizer.param_groups for p in group['params']]
        faults, missing = compare_states(saved[name], wrapper.optimizer)
        # Parameters that no loss reaches have none either; then the count tells.
        faults.update(dict.fromkeys(() if complete else missing, 'has none'))
        if faults:
            first = min(faults)
            for number in faults:
                saved[name]['state'].pop(number, None)
            yield (
                'optimizer',
                f'has no state that fits for {len(faults)} of {len(parameters)} parameters: '
                f'{names.get(parameters[first], first)} {faults[first]}',
                'these begin anew',
            )
        yield from _faults_of_wrapper(wrapper, saved[name])


def _faults_of_wrapper(wrapper: OptimWrapper, saved: dict) -> Iterator[Fault]:
    """Look at what the wrappers of mmengine add to the state of an optimizer."""
    base = saved.get('base_param_settings')
    if base is not None and not (isinstance(base, dict) and is_number(base.get('lr'))):
        del saved['base_param_settings']
        yield 'optimizer', 'has base_param_settings without lr', 'they begin anew'
    scaler = wrapper.loss_scaler if isinstance(wrapper, AmpOptimWrapper) else None
    if scaler is None or not scaler.is_enabled():
        return
    scale = saved.get('loss_scaler')
    expected = scaler.state_dict()
    if not isinstance(scale, dict) or not all(is_number(scale.get(key)) for key in expected):
        saved.pop('loss_scaler', None)
        yield 'optimizer', 'has no loss_scaler (trained without --amp?)', 'it begins anew'


def _fault_of_schedules(ours: list | dict, theirs: Any) -> str | None:
    if theirs is None:
        return 'is missing'
    if not isinstance(ours, dict):
        ours, theirs = {'': ours}, {'': theirs}
    if not isinstance(theirs, dict) or set(ours) != set(theirs):
        return f'is not that of {", ".join(ours)}'
    for name in ours:
        if not isinstance(theirs[name], list):
            return f'is a {type(theirs[name]).__name__}'
        if len(ours[name]) != len(theirs[name]):
            return f'has {len(theirs[name])} schedules, the config has {len(ours[name])}'
        for schedule, saved in zip(ours[name], theirs[name], strict=True):
            own = schedule.state_dict()
            if not isinstance(saved, dict):
                return f'has a {type(saved).__name__} for a {type(schedule).__name__}'
            wrong = [k for k in {**own, **saved} if not (k in own and k in saved)]
            wrong += [k for k in own if k in saved and not _is_alike(saved[k], own[k])]
            if wrong:
                return f'has no state of a {type(schedule).__name__} (see {wrong[0]})'
    return None


def _is_alike(value: Any, own: Any) -> bool:
    """Tell whether a value of a schedule is of the kind that is computed with."""
    if is_number(own):
        return is_number(value)
    if isinstance(own, list) and own and all(map(is_number, own)):
        alike = isinstance(value, list) and len(value) == len(own)
        return alike and all(map(is_number, value))
    return value is None or own is None or type(value) is type(own)


def _is_count(value: Any, limit: float = math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < limit


def _shape(value: Any) -> tuple[int, ...] | str:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
