"""The config file of each run, which inherits the base and can be trained alone."""

import hashlib
import pprint
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import METRICS

from mmattn.engine.config import load_config
from mmattn.engine.shipped_configs import PREFIX
from mmattn.errors import InputError
from mmattn.files.whole_file import write_whole
from mmattn.probe.metric_names import metric_names
from mmattn.sweep.plan import Run

# What a scope's papers compare, the first that a config has.
_USUAL_METRICS = (
    *('mIoU', 'coco_panoptic/PQ', 'coco/bbox_mAP', 'coco/segm_mAP', 'pascal_voc/mAP'),
    *('accuracy/top1', 'coco/AP'),
)


class Base:
    """The base config of a sweep.

    Args:
        path: Config file, or ``mmattn::PATH``.
        metric: Name of the metric that counts; None for the usual one of its task.

    Raises:
        InputError: If it cannot be read, or cannot be trained, validated and tested.
    """

    def __init__(self, path: str, metric: str | None = None) -> None:
        self.path = path if path.startswith(PREFIX) else str(Path(path).resolve())
        self.cfg = load_config(path)
        parts = [f'{part}_{what}' for part in _PARTS for what in _WHATS]
        missing = [key for key in parts if self.cfg.get(key) is None and key != 'train_evaluator']
        if missing:
            raise InputError(
                f'config {path} has no {", no ".join(missing)}; a sweep trains, chooses the '
                'checkpoint on the validation, and tests it'
            )
        self.metric = metric or self._usual_metric()

    @property
    def by_epoch(self) -> bool:
        """Whether its training is counted in epochs."""
        return 'max_epochs' in self.cfg.train_cfg

    @property
    def digest(self) -> str:
        """Give a number that changes when the config does."""
        content = pprint.pformat(self.cfg.to_dict(), sort_dicts=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def _usual_metric(self) -> str:
        evaluator = self.cfg.val_evaluator
        found: set[str] = set()
        for metric in evaluator if isinstance(evaluator, list | tuple) else [evaluator]:
            with METRICS.switch_scope_and_registry(self.cfg.get('default_scope')) as registry:
                kind = registry.get(metric['type'])
            found |= (kind and metric_names(kind, metric)) or set()
        usual = [name for name in _USUAL_METRICS if name in found]
        if not usual:
            raise InputError(
                f'config {self.path}: none of its metrics is the usual one of a task; '
                "say which one counts: metric = 'NAME' in the plan, or --metric NAME"
            )
        return usual[0]


_PARTS = ('train', 'val', 'test')
_WHATS = ('dataloader', 'cfg', 'evaluator')


def write_config(run: Run, base: Base, folder: Path) -> Path:
    """Write the config file of a run.

    Args:
        run: The run.
        base: Its base config.
        folder: Where the file goes, under the name of the run.

    Returns:
        The file.

    Raises:
        InputError: If an option does not fit the base config, or the file cannot be written.
    """
    changes: dict[str, Any] = {}
    for options in (
        _of_the_length(run.length, base) if run.length else {},
        *run.options,
        _of_the_sweep(run, base),
    ):
        for key, value in options.items():
            _put(changes, key.split('.'), value)
    changes = _with_whole_lists(changes, base.cfg, f'run {run.name}')
    lines = [
        f'# {run.variant}, seed {run.seed}: written by mmattn sweep, and to be trained alone, too.',
        f'_base_ = [{base.path!r}]',
        '',
    ]
    if run.sites:
        host = changes.pop('model', None)
        sites = ''.join(f'        {site!r},\n' for site in run.sites)
        if host is None:
            inner = '{{_base_.model}}'
        else:
            whole = Config(dict(model=base.cfg.model.to_dict()))
            whole.merge_from_dict(dict(model=host))
            inner = repr(whole.model.to_dict())
        lines += [
            'model = dict(',
            '    _delete_=True,',
            "    type='InsertAttention',",
            f'    host={inner},',
            f'    sites=[\n{sites}    ],',
            f'    start={run.start!r},',
            ')',
        ]
    for key, value in changes.items():
        lines.append(f'{key} = {pprint.pformat(value, width=100, sort_dicts=False)}')
    path = folder / f'{run.name}.py'
    text = '\n'.join(lines) + '\n'
    if not path.is_file() or path.read_text() != text:
        write_whole(path, lambda partial: partial.write_text(text))
    return path


def _of_the_sweep(run: Run, base: Base) -> dict[str, Any]:
    """Give what all runs of a sweep have in common: the seed, and the best checkpoint is kept."""
    hooks = base.cfg.get('default_hooks') or {}
    kept: dict[str, Any] = dict(save_best=base.metric, max_keep_ckpts=1, save_last=True)
    if (hooks.get('checkpoint') or {}).get('out_dir'):
        # They are looked for in the folder of the run.
        kept['out_dir'] = None
    # Validations have the numbers that best checkpoints are named after.
    wanted: dict[str, dict] = dict(checkpoint=kept, logger=dict(log_metric_by_epoch=base.by_epoch))
    usual = dict(checkpoint='CheckpointHook', logger='LoggerHook')
    for name, options in wanted.items():
        if not hooks.get(name):
            options['type'] = usual[name]
    return {
        'randomness.seed': run.seed,
        **{f'default_hooks.{name}': options for name, options in wanted.items()},
    }


def _of_the_length(length: int, base: Base) -> dict[str, Any]:
    """Give the options for a training of another length: its schedules go with it."""
    cfg = base.cfg
    key = 'max_epochs' if base.by_epoch else 'max_iters'
    if key not in cfg.train_cfg:
        raise InputError(f'config {base.path}: train_cfg has neither max_epochs nor max_iters')
    former = cfg.train_cfg[key]
    options: dict[str, Any] = {f'train_cfg.{key}': length}
    if cfg.train_cfg.get('val_interval', 1) > length:
        options['train_cfg.val_interval'] = length
    interval = ((cfg.get('default_hooks') or {}).get('checkpoint') or {}).get('interval', -1)
    if interval > length:
        options['default_hooks.checkpoint.interval'] = length
    schedules = cfg.get('param_scheduler') or []
    scaled = []
    for schedule in [schedules] if isinstance(schedules, dict) else schedules:
        schedule = dict(schedule)
        if schedule.get('by_epoch', True) == base.by_epoch:
            for name in ('begin', 'end', 'T_max', 'total_iters', 'total_steps', 'step_size'):
                # Until the end of all training is written as a huge number, or left out.
                if 0 < schedule.get(name, 0) <= former:
                    schedule[name] = max(1, round(schedule[name] * length / former))
            if 'milestones' in schedule:
                steps = schedule['milestones']
                schedule['milestones'] = [max(1, round(s * length / former)) for s in steps]
        scaled.append(schedule)
    if scaled:
        options['param_scheduler'] = scaled
    return options


def _put(changes: dict[str, Any], keys: list[str], value: Any) -> None:
    """Put a value where a dotted key says; what is there of a dict stays."""
    key, *rest = keys
    if rest:
        inner = changes.setdefault(key, {})
        if isinstance(inner, list | tuple):
            inner = changes[key] = {str(i): item for i, item in enumerate(inner)}
        _put(inner, rest, value)
    elif isinstance(value, dict) and '_delete_' not in value:
        # The keys within may have dots of their own, as those of paramwise_cfg do.
        inner = changes.setdefault(key, {})
        for name, part in value.items():
            _put(inner, [name], part)
    else:
        changes[key] = value


def _with_whole_lists(changes: Any, base: Any, where: str) -> Any:
    """Write a list in full where an option changes one of its items by number, as files cannot."""
    if not isinstance(changes, dict):
        return changes
    if isinstance(base, list | tuple) and changes and all(k.isdigit() for k in changes):
        if max(map(int, changes)) >= len(base):
            raise InputError(
                f'{where}: option {max(changes)} is behind the end of a list of {len(base)}'
            )
        items = [dict(item) if isinstance(item, dict) else item for item in base]
        for key, change in changes.items():
            whole = Config(dict(item=items[int(key)]))
            whole.merge_from_dict(dict(item=change))
            items[int(key)] = whole.to_dict()['item']
        return items
    read = base.get if isinstance(base, dict | Config) else lambda key: None
    return {key: _with_whole_lists(value, read(key), where) for key, value in changes.items()}
