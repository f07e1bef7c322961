"""Find what of a config cannot be built, before anything is.

A dict with a ``type`` is looked up where mmengine will look it up, and its other keys are compared
with what the class takes. A config that works is never refused: what lies where nobody can tell who
reads it is left alone, and so are the options of whatever takes any.
"""

import difflib
from collections.abc import Callable, Container, Iterable, Iterator, Set
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any, NamedTuple

import mmengine.registry
from mmengine.config import Config
from mmengine.registry import FUNCTIONS, MODELS, DefaultScope, Registry
from torch.utils.data import DataLoader

from mmattn.errors import InputError
from mmattn.probe.class_count import (
    faults_of_class_weights,
    faults_of_out_channels,
    faults_of_topk,
)
from mmattn.probe.metric_names import metric_names
from mmattn.probe.places import ending_in, listed, places
from mmattn.probe.signatures import PACKAGES, is_of_openmmlab, names, options_of


class _Place(NamedTuple):
    """Where a type is looked up.

    Args:
        registries: Names of registries, one of which has to have it.
        sure: Whether it is looked up nowhere else.
        whole: Whether nobody adds an option to those of the config.
        added: Options that whoever builds it takes out or adds.
    """

    registries: tuple[str, ...]
    sure: bool = True
    whole: bool = True
    added: frozenset[str] = frozenset()


def _in(registry: str, *added: str) -> _Place:
    return _Place((registry,), added=frozenset(added))


_PART = _Place(('MODELS',), whole=False)
_PARTS = (
    *('neck', 'head', 'decode_head', 'auxiliary_head', 'bbox_head', 'mask_head', 'rpn_head'),
    *('roi_head', 'host', 'attention', 'conv_cfg', 'act_cfg'),
)
_SOMETHING = _Place(('MODELS', 'TASK_UTILS'), sure=False, whole=False)
_INITIALIZER = _Place(('WEIGHT_INITIALIZERS',), whole=False, added=frozenset(('override', 'name')))

# Places by the name of the option that a dict lies in, by what has that option; None stands for
# any other option.
_INSIDE: dict[str, dict[str | None, _Place]] = {
    'DataLoader': {
        'dataset': _in('DATASETS'),
        'sampler': _in('DATA_SAMPLERS', 'dataset', 'seed'),
        'batch_sampler': _in('DATA_SAMPLERS', 'sampler', 'batch_size'),
        'collate_fn': _Place(('FUNCTIONS',), whole=False),
        'worker_init_fn': _Place(('FUNCTIONS',), whole=False),
    },
    'DATASETS': {
        'dataset': _in('DATASETS'),
        'datasets': _in('DATASETS'),
        'pipeline': _in('TRANSFORMS'),
    },
    'EVALUATOR': {'metrics': _in('METRICS')},
    'MODELS': {
        'backbone': _in('MODELS'),
        **dict.fromkeys(_PARTS, _PART),
        'norm_cfg': _PART._replace(added=frozenset(['requires_grad'])),
        'init_cfg': _INITIALIZER,
        'augments': _Place(('BATCH_AUGMENTS',), sure=False),
        None: _SOMETHING,
    },
    'OPTIM_WRAPPERS': {'optimizer': _in('OPTIMIZERS', 'params')},
    'TASK_UTILS': {None: _SOMETHING},
    'TRANSFORMS': {'transforms': _in('TRANSFORMS')},
    'VISUALIZERS': {'vis_backends': _in('VISBACKENDS', 'save_dir')},
    'WEIGHT_INITIALIZERS': {'override': _INITIALIZER},
}

_HOOK = _in('HOOKS', 'priority')
_LOOP = _in('LOOPS', 'runner', 'dataloader', 'evaluator')
_OPTIM_WRAPPER = _in('OPTIM_WRAPPERS', 'optimizer', 'constructor', 'paramwise_cfg')
_SCHEDULER = _in('PARAM_SCHEDULERS', 'optimizer', 'epoch_length', 'convert_to_iter_based')
_RUNNER = _in('RUNNERS')
_CONSTRUCTOR = _in('OPTIM_WRAPPER_CONSTRUCTORS')
# What an optimizer computes with.
_NUMBERS = ('lr', 'weight_decay', 'momentum', 'eps')
# Their transforms are those of another package.
_OF_ALBUMENTATIONS = ('Albu', 'Albumentations')
_LOADER = frozenset(('num_batch_per_epoch', 'disable_subprocess_warning'))


def check_config(cfg: Config, mode: str) -> None:
    """Check that a runner can build what the config says, as far as that can be told.

    Args:
        cfg: The config.
        mode: ``'train'`` or ``'test'``: what the runner is to do.

    Raises:
        InputError: If a type is in no registry, its class does not take an option, or needs one
            that is missing; the message tells where.
    """
    modes = ('train', 'val') if mode == 'train' else (mode,)
    _refuse(cfg, lambda: _faults_of_runner(cfg, modes))


def check_model(cfg: Config) -> None:
    """Check that the model of a config can be built, as far as that can be told.

    Raises:
        InputError: If it has none, or as :func:`check_config`.
    """
    if 'model' not in cfg:
        raise InputError(f'config {cfg.filename} has no model; give one that trains')
    _refuse(cfg, lambda: _faults(cfg.get('model'), 'model', _in('MODELS')))


def check_tta(cfg: Config) -> None:
    """Check what test-time augmentation puts around the model and in the place of pipelines.

    Raises:
        InputError: As :func:`check_config`.
    """

    def find() -> Iterator[str]:
        yield from _faults(cfg.get('model'), 'model', _in('MODELS'))
        yield from _faults(cfg.get('tta_model'), 'tta_model', _in('MODELS', 'module'))
        yield from _faults(cfg.get('tta_pipeline'), 'tta_pipeline', _in('TRANSFORMS'))

    _refuse(cfg, find)


def _refuse(cfg: Config, find: Callable[[], Iterator[str]]) -> None:
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        for fault in find():
            raise InputError(f'config: {fault}')


def _faults_of_runner(cfg: Config, modes: Iterable[str]) -> Iterator[str]:
    """Walk through what :class:`mmengine.runner.Runner` reads."""
    runner = cfg.get('runner_type')
    if runner and not is_of_openmmlab(_look_up(runner, _RUNNER)[1]):
        return  # Nobody can tell what it reads.
    yield from _faults(cfg.get('model'), 'model', _in('MODELS'))
    for mode in modes:
        loop = cfg.get(f'{mode}_cfg') or {}
        yield from _faults(loop, f'{mode}_cfg', _LOOP)
        if 'type' in loop and not is_of_openmmlab(_look_up(loop['type'], _LOOP)[1]):
            continue  # It may have several loaders.
        yield from _faults_of_loader(cfg.get(f'{mode}_dataloader'), f'{mode}_dataloader')
        evaluator = cfg.get(f'{mode}_evaluator')
        kind = 'EVALUATOR' if isinstance(evaluator, dict) and 'metrics' in evaluator else 'METRICS'
        yield from _faults(evaluator, f'{mode}_evaluator', _in(kind))
        if mode == 'val':
            yield from _faults_of_best(cfg)
        yield from faults_of_topk(cfg.get('model') or {}, evaluator, f'{mode}_evaluator')
    yield from faults_of_out_channels(cfg.get('model') or {})
    if 'train' in modes:
        yield from faults_of_class_weights(cfg.get('model') or {})
        yield from _faults_of_optimizer(cfg.get('optim_wrapper'))
        yield from _faults(cfg.get('param_scheduler'), 'param_scheduler', _SCHEDULER)
    for name, hook in (cfg.get('default_hooks') or {}).items():
        yield from _faults(hook, f'default_hooks.{name}', _HOOK)
    yield from _faults(cfg.get('custom_hooks'), 'custom_hooks', _HOOK)
    yield from _faults(cfg.get('visualizer'), 'visualizer', _in('VISUALIZERS', 'name', 'save_dir'))
    yield from _faults(cfg.get('log_processor'), 'log_processor', _in('LOG_PROCESSORS'))


def _faults_of_loader(cfg: Any, where: str) -> Iterator[str]:
    if isinstance(cfg, dict):
        known = options_of(DataLoader)
        yield from _unknown_options(cfg, where, 'DataLoader', known.names | _LOADER)
        for option, least in (('batch_size', 1), ('num_workers', 0)):
            value = cfg.get(option, least)
            if value is not None and (not isinstance(value, int) or value < least):
                yield f'{where}.{option}={value!r} has to be a whole number from {least} on'
        yield from _faults_inside(cfg, where, 'DataLoader', cfg)


def _faults_of_optimizer(cfg: Any) -> Iterator[str]:
    if isinstance(cfg, dict) and 'optimizer' in cfg:
        constructor = cfg.get('constructor', 'DefaultOptimWrapperConstructor')
        _, constructor = _look_up(constructor, _CONSTRUCTOR)
        if is_of_openmmlab(constructor):
            cfg = {'type': 'OptimWrapper', **cfg}
            yield from _faults(cfg, 'optim_wrapper', _OPTIM_WRAPPER)
            optimizer = cfg['optimizer'] if isinstance(cfg['optimizer'], dict) else {}
            for option in _NUMBERS:
                if isinstance(value := optimizer.get(option), str):
                    yield f'optim_wrapper.optimizer.{option}={value!r} has to be a number'


def _faults_of_best(cfg: Config) -> Iterator[str]:
    """Look for what a validation is to be judged by, before there is one."""
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    evaluator = cfg.get('val_evaluator')
    if isinstance(evaluator, dict) and 'metrics' in evaluator:
        evaluator = evaluator['metrics']
    known: set[str] = set()
    for metric in evaluator if isinstance(evaluator, list | tuple) else [evaluator]:
        names = None
        if isinstance(metric, dict) and 'type' in metric:
            _, callee = _look_up(metric['type'], _in('METRICS'))
            names = metric_names(callee, metric) if is_of_openmmlab(callee) else None
        if names is None:
            return  # Nobody can tell what it gives.
        known |= names
    keys = hook.get('save_best') or []
    for key in [keys] if isinstance(keys, str) else keys:
        if key not in ('auto', *known):
            near = _did_you_mean(key, known) or f'; there are {", ".join(sorted(known))}'
            yield f'default_hooks.checkpoint.save_best={key!r} is no metric of val_evaluator{near}'


def _faults(
    value: Any, where: str, place: _Place, above: str | None = None, around: tuple = ()
) -> Iterator[str]:
    """Find the faults of a part of a config.

    Args:
        value: A config, or what configs lie in.
        where: Where it stands in the whole config.
        place: Where its type is looked up.
        above: Registry of what has the value among its options.
        around: What has it, and what is around that.
    """
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _faults(item, f'{where}.{i}', place, above, around)
    elif isinstance(value, dict) and 'type' in value:
        # What it builds is looked up in its scope, too.
        with MODELS.switch_scope_and_registry(value.get('_scope_')):
            yield from _faults_of_typed(value, where, place, around)
    elif isinstance(value, dict) and above:
        yield from _faults_inside(value, where, above, value, around)


def _faults_of_typed(cfg: dict, where: str, place: _Place, around: tuple) -> Iterator[str]:
    kind = cfg['type']
    name, callee = _look_up(kind, place)
    if callee is None:
        if place.sure and isinstance(kind, str):
            with _registry(place.registries[0]) as registry:
                near = _did_you_mean(kind, _registered(registry))
                listed = f'{registry.scope}::{registry.name}'
            near = near or '; check the spelling and custom_imports'
            yield f'{where}.type={kind!r} is not in the registry {listed}{near}'
        return
    options = options_of(callee)
    known, is_open = options.names | place.added | {'type', '_scope_'}, options.is_open
    if options.rest and isinstance(cfg.get(options.rest), dict):
        _, part = _look_up(cfg[options.rest].get('type'), place)
        inner = options_of(part) if part else None
        if inner is None or inner.is_open:
            is_open = True
        else:
            known |= inner.names
    if not is_open:
        # What the class around it names may be meant for that one, which takes it out.
        meant = {o for o in cfg if o not in known and any(names(c, o) for c in around)}
        yield from _unknown_options(cfg, where, _name_of(callee), known | meant)
    missing = [repr(option) for option in options.needed if option not in {*cfg, *place.added}]
    if missing and place.whole:
        given = ', '.join(key for key in cfg if key not in ('type', '_scope_')) or 'nothing'
        yield f'{where}.type={kind!r} needs {" and ".join(missing)}, got {given}'
    if _name_of(callee) not in _OF_ALBUMENTATIONS:
        yield from _faults_inside(cfg, where, name, options.building, (*around, callee))


def _faults_inside(
    cfg: dict, where: str, above: str, options: Container[str], around: tuple = ()
) -> Iterator[str]:
    """Find the faults of what lies in the options of a config that are built as they are."""
    places = _INSIDE.get(above, {})
    for option, value in cfg.items():
        place = places.get(option, places.get(None))
        if place and option in options:
            yield from _faults(value, f'{where}.{option}', place, above, around)


def _unknown_options(cfg: dict, where: str, name: str, known: Set[str]) -> Iterator[str]:
    for option in cfg:
        if option not in known:
            inside = ending_in(option, (key for key, _ in places(cfg, where)))
            inside.remove(f'{where}.{option}')
            hint = f'; what is read is {listed(inside)}' if inside else _did_you_mean(option, known)
            yield f'{where}.{option} is not an option of {name}{hint}'


def _name_of(callee: Callable) -> str:
    return getattr(callee, '__name__', repr(callee))  # a partial has none


def _look_up(kind: Any, place: _Place) -> tuple[str, Callable | None]:
    """Find what a type stands for, and the registry that has it; none if several have others."""
    found = {}
    for name in place.registries:
        with _registry(name) as registry:
            if not isinstance(kind, str):
                known = place.sure or kind in registry.module_dict.values()
                found[name] = kind if known else None
                continue
            # For what no registry has mmengine would import a module of that name.
            scope = kind.partition('.')[0]
            if place.sure or scope in PACKAGES or _has(registry, kind):
                found[name] = _get(registry, kind)
    found = {name: callee for name, callee in found.items() if callable(callee)}
    if len(set(found.values())) == 1:
        return next(iter(found.items()))
    return place.registries[0], None


def _registry(name: str) -> AbstractContextManager[Registry]:
    """Switch to a registry of the scope that things are looked up in at this place."""
    if name == 'FUNCTIONS':  # The same in all scopes.
        return nullcontext(FUNCTIONS)
    registry = getattr(mmengine.registry, name, None)
    if registry is None:  # The package of the scope has one that mmengine does not have.
        scope = DefaultScope.get_current_instance().scope_name
        registry = getattr(import_module(f'{scope}.registry'), name, MODELS)
    return registry.switch_scope_and_registry(None)


def _get(registry: Registry, kind: str) -> Any:
    try:
        return registry.get(kind)
    except RuntimeError:  # The part of the name before a point is no module.
        return None


def _has(registry: Registry, kind: str) -> bool:
    registry.import_from_location()
    return any(kind in registry.module_dict for registry in _with_parents(registry))


def _registered(registry: Registry) -> list[str]:
    return [name for registry in _with_parents(registry) for name in registry.module_dict]


def _with_parents(registry: Registry | None) -> Iterator[Registry]:
    while registry is not None:
        yield registry
        registry = registry.parent


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean {close[0]!r}?' if close else ''
