"""A search instead of a grid: Optuna proposes what is trained next."""

import logging
from typing import Any

import numpy as np

from mmattn.errors import InputError
from mmattn.files.lock import in_turn
from mmattn.layers.packages import import_optional
from mmattn.sweep.plan import TRIAL, Plan, Row, Run
from mmattn.sweep.sweep import Sweep
from mmattn.sweep.training import Launch

FILE = 'search.db'
_STUDY = 'sweep'


def search(sweep: Sweep, launch: Launch) -> None:
    """Train what Optuna proposes, one trial after another, until there are enough.

    A trial is a row of the sweep, trained with all seeds of the plan. Its value is the mean of the
    metric on the validation: the test has no part in the choice. What was proposed stands in
    ``search.db`` beside the results, so that a search that was broken off goes on with its trial.

    Args:
        sweep: The sweep, whose plan has a space.
        launch: How trainings are started.

    Raises:
        InputError: If the space is none for Optuna.
        MissingPackage: If Optuna is not installed.
    """
    optuna = import_optional('optuna', 'a search')
    optuna.logging.set_verbosity(logging.WARNING)
    distributions = _distributions(optuna, sweep.plan)
    with in_turn(sweep.folder / 'search.lock', lambda: print('another process searches here')):
        storage = f'sqlite:///{sweep.folder / FILE}'
        study = optuna.create_study(
            storage=storage, study_name=_STUDY, direction=_direction(sweep), load_if_exists=True
        )
        running = optuna.trial.TrialState.RUNNING
        while True:
            trials = study.get_trials(deepcopy=False)
            for trial in trials:
                if trial.state == running and trial.params.keys() != distributions.keys():
                    # Killed while it was drawn.
                    study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                elif trial.state == running:
                    _try(sweep, launch, study, trial, optuna.trial.TrialState.FAIL)
            if sum(t.params.keys() == distributions.keys() for t in trials) >= sweep.plan.trials:
                return
            # Not the same draws again after a new start.
            study.sampler = optuna.samplers.TPESampler(seed=len(trials))
            study.ask(distributions)


def _try(sweep: Sweep, launch: Launch, study: Any, trial: Any, failed: Any) -> None:
    """Train what a trial has drawn, with all seeds, and tell the study what it is worth."""
    runs = trial_runs(sweep.plan, trial.number, trial.params)
    sweep.add(runs)
    sweep.work(launch)
    values = sweep.database.rows(
        "SELECT value FROM metrics JOIN runs ON runs.id = metrics.run WHERE part = 'val' "
        'AND metrics.name = ? AND runs.variant = ?',
        sweep.base.metric,
        runs[0].variant,
    )
    if len(values) < len(runs):
        study.tell(trial.number, state=failed)
    else:
        study.tell(trial.number, float(np.mean([row['value'] for row in values])))


def trial_runs(plan: Plan, number: int, drawn: dict[str, Any]) -> list[Run]:
    """Give the runs of a trial: one for each seed.

    Args:
        plan: The plan.
        number: Number of the trial.
        drawn: What was drawn, by its key in the space.
    """
    options = {k: v for k, v in drawn.items() if k not in ('attention', 'after', 'start')}
    sites: tuple[dict, ...] = ()
    if drawn.get('attention', 'none') != 'none':
        sites = (dict(after=drawn['after'], attention=dict(type=drawn['attention'])),)
    row = Row(sites, drawn.get('start', 'identity'), options)
    parts = [f'{key.rpartition(".")[2]}={_short(value)}' for key, value in drawn.items()]
    name = f'{TRIAL}{number}: {" ".join(parts)}'
    length = plan.lengths[0] if plan.lengths else None
    return [plan.run(name, row, seed, length) for seed in plan.seeds]


def _short(value: Any) -> str:
    return f'{value:.3g}' if isinstance(value, float) else str(value)


def _distributions(optuna: Any, plan: Plan) -> dict[str, Any]:
    kinds = optuna.distributions
    found = {}
    for key, drawn in plan.space.items():
        try:
            if 'choices' in drawn:
                found[key] = kinds.CategoricalDistribution(drawn['choices'])
            elif all(type(drawn[end]) is int for end in ('low', 'high')):
                found[key] = kinds.IntDistribution(**drawn)
            else:
                found[key] = kinds.FloatDistribution(**drawn)
        except (TypeError, ValueError) as error:
            raise InputError(f'space[{key!r}] cannot be searched: {error}') from error
    return found


def _direction(sweep: Sweep) -> str:
    """Tell whether the metric is to be high, as the hook of the best checkpoint does."""
    hook = (sweep.base.cfg.get('default_hooks') or {}).get('checkpoint') or {}
    rule = sweep.plan.options.get('default_hooks.checkpoint.rule', hook.get('rule'))
    return 'minimize' if rule == 'less' else 'maximize'
