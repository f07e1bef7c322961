"""Write a short config over a shipped one, which reads a user's own data."""

import math
import textwrap
from typing import Any

from mmengine.config import Config

from mmattn.datasets.checks import datasets_in
from mmattn.datasets.exchange import transforms_in
from mmattn.datasets.own.found import Found
from mmattn.datasets.own.pipelines import Fit
from mmattn.datasets.own.schedule import (
    VALIDATIONS,
    fit_batch,
    fit_length,
    fit_schedulers,
)
from mmattn.datasets.own.source import Source, to_source
from mmattn.errors import InputError

SCOPES = {'seg': 'mmseg', 'det': 'mmdet', 'cls': 'mmpretrain'}
_CLASSES = {'seg': 'BaseSegDataset', 'cls': 'CustomDataset'}
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# Short side in pixels of most images of COCO, which detectors enlarge.
_COCO_SIDE = 480
_NUM_CLASSES = Source('num_classes')


def check_base(kind: str, base: Config, found: Found) -> None:
    """Check that a shipped config can read data of a kind.

    Raises:
        InputError: If it cannot.
    """
    scope = base.get('default_scope')
    missing = [
        key
        for key in ('model', 'train_dataloader', 'val_dataloader', 'train_cfg')
        if not base.get(key)
    ]
    if missing:
        raise InputError(
            f'--base {base.filename} has no {" and no ".join(missing)}; give a config of a training'
        )
    if scope != SCOPES[kind]:
        raise InputError(
            f'--base {base.filename} is written for {scope}, {kind} needs one for {SCOPES[kind]}'
        )
    if kind != 'det':
        return
    _, dataset = next(datasets_in(base.train_dataloader.dataset))
    reader = str(dataset['type']).rpartition('.')[2]
    evaluator = base.get('val_evaluator') or {}
    evaluator = evaluator if isinstance(evaluator, dict) else {}
    metric = evaluator.get('type')
    if reader != 'CocoDataset' or metric != 'CocoMetric':
        raise InputError(
            f'--base {base.filename} reads with {reader} and measures with {metric}; expected one '
            'with CocoDataset and CocoMetric'
        )
    if 'segm' in evaluator.get('metric', '') and not found.has_masks:
        raise InputError(
            f'--base {base.filename} learns outlines, which not every object of the data has; '
            'give one that learns boxes, such as retinanet_van_b0_fpn_1x_coco'
        )


def write_config(kind: str, found: Found, base: Config, command: str, stem: str) -> str:
    """Write the config.

    Args:
        kind: 'seg', 'det' or 'cls'.
        found: The data.
        base: The shipped config.
        command: What wrote it, for its first lines.
        stem: Name of the config; those of the files beside it begin with it.

    Returns:
        Its text.
    """
    parts = _Parts(kind, found, base, stem)
    pipelines = parts.pipelines()
    assignments = {
        '_base_': base.filename,
        '': None,
        **parts.data(),
        ' ': None,
        **parts.sizes(),
        'model': parts.model(),
        '  ': None,
        **pipelines,
        **parts.loaders(),
        **parts.evaluators(),
        '   ': None,
        **parts.schedule(),
    }
    about = f'{found.root.name}: {"; ".join(found.describe()[:2])}. Written by {command}'
    lines = [f'# {line}' for line in textwrap.wrap(about, 98, break_on_hyphens=False)]
    for name, value in assignments.items():
        source = f'{name} = {to_source(value, len(name) + 3)}'
        lines.append(name.strip() if value is None else source)
    return '\n'.join(lines).rstrip() + '\n'


class _Parts:
    """The parts of the config, each as names and values."""

    def __init__(self, kind: str, found: Found, base: Config, stem: str) -> None:
        self.kind, self.found, self.base, self.stem = kind, found, base, stem
        self.train = base.train_dataloader.dataset
        self.fit = self._find_sizes()

    def _find_sizes(self) -> Fit:
        """Tell how large images are read, in proportion to the data."""
        _, train = next(datasets_in(self.train))
        steps = [*transforms_in(train.get('pipeline', []))]
        tested = [*transforms_in(self._val_pipeline_of_base())]
        if self.kind == 'cls':
            crop = next((s.get('scale') for s in steps if s['type'] == 'RandomResizedCrop'), None)
            usual = crop if isinstance(crop, int) else None
            side = max(64, self.found.side // 32 * 32)
            return Fit(min(1, side / usual) if usual else 1, {})
        keeping = [s for s in tested if s['type'] == 'Resize' and s.get('keep_ratio')]
        # What has one size, or mixes images, is made for that size.
        mixes = 'dataset' in self.train and 'pipeline' in self.train
        if not keeping or mixes or len(set(keeping[0]['scale'])) == 1:
            return Fit(1, {})
        scale = keeping[0]['scale']
        usual = min(scale) if self.kind == 'seg' else _COCO_SIDE
        factor = min(1, max(32, self.found.side) / usual)
        crops = [s['crop_size'] for s in steps if s['type'] == 'RandomCrop']
        names = {'scale': scale}
        if self.kind == 'seg' and crops:
            names['crop_size'] = crops[0]
        return Fit(factor, names)

    def _val_pipeline_of_base(self) -> list:
        _, dataset = next(datasets_in(self.base.val_dataloader.dataset))
        return dataset.get('pipeline', [])

    def data(self) -> dict[str, Any]:
        """Say where the data are and which classes they have."""
        found = self.found
        data: dict[str, Any] = {
            # The metric takes the name of a file behind it.
            'data_root': f'{found.root}/' if self.kind == 'det' else str(found.root),
            'metainfo': dict(classes=found.classes)
            if self.kind == 'cls'
            else dict(classes=found.classes, palette=found.palette),
            'num_classes': Source("len(metainfo['classes'])"),
        }
        return data

    def sizes(self) -> dict[str, Any]:
        """Give the sizes that have a name."""
        return {name: self.fit.size(name, size) for name, size in self.fit.names.items()}

    def model(self) -> dict:
        """Say the number of classes to all that count them, and the size to what pads to it."""
        return self._changes(self.base.model, 'model')

    def _changes(self, node: dict, path: str) -> dict:
        changes = {key: self._change(key, value, path) for key, value in node.items()}
        return {key: change for key, change in changes.items() if change}

    def _change(self, key: str, value: Any, path: str) -> Any:
        """Give what stands in the place of an option of the model, or nothing."""
        if key == 'num_classes':
            return _NUM_CLASSES
        if key == 'size' and path.endswith('data_preprocessor'):
            return Source('crop_size') if value == self.fit.names.get('crop_size') else None
        if key in ('crop_size', 'stride') and path.endswith('test_cfg'):
            return self.fit.size(key, value) if self.fit.factor != 1 else None
        if isinstance(value, dict):
            return self._changes(value, f'{path}.{key}')
        if isinstance(value, list | tuple) and any(isinstance(part, dict) for part in value):
            return self._change_list(value, f'{path}.{key}')
        return None

    def _change_list(self, parts: Any, path: str) -> Any:
        """Write a list as a whole, since lists of configs are not merged."""
        changes = [self._changes(p, path) if isinstance(p, dict) else {} for p in parts]
        if all(change == {'num_classes': _NUM_CLASSES} for change in changes):
            return Source(f'[dict(part, num_classes=num_classes) for part in _base_.{path}]')
        if any(changes):
            return [_merge(p, change) for p, change in zip(parts, changes, strict=True)]
        return None

    def pipelines(self) -> dict[str, Any]:
        """Say how images are read, where that differs from the shipped config."""
        self.own_pipelines = self.kind == 'seg' or self.fit.factor != 1
        if not self.own_pipelines:
            return {}
        named: dict[str, Any] = {}
        if self.kind == 'seg':
            loader = dict(type='LoadSegMap', **self.found.loader or {})
            largest = loader['max_label'] - len(self.found.classes)
            loader['max_label'] = Source('num_classes - 1' if largest < 0 else 'num_classes')
            if loader.get('ignore_index') == len(self.found.classes) and 'palette' in loader:
                loader['ignore_index'] = Source('num_classes')
            palette = loader.get('palette')
            if palette == self.found.palette:
                loader['palette'] = Source("metainfo['palette']")
            elif palette and palette[: len(self.found.palette)] == self.found.palette:
                others = ', '.join(map(str, palette[len(self.found.palette) :]))
                loader['palette'] = Source(f"[*metainfo['palette'], {others}]")
            named['load_labels'] = loader
        _, train = next(datasets_in(self.train))
        test = val = self._val_pipeline_of_base()
        if self.base.get('test_dataloader'):
            test = next(datasets_in(self.base.test_dataloader.dataset))[1].get('pipeline', val)
        shown = {
            'train_pipeline': self.fit.steps(train.get('pipeline', [])),
            '# By the names that inferencers look for.': None,
            'test_pipeline': self.fit.steps(test),
            '# The validation reads with loaders that name a file that is wrong.': None,
            'val_pipeline': self._val_pipeline(val, test),
        }
        if self.base.get('tta_pipeline'):
            shown['tta_pipeline'] = self.fit.steps(self.base.tta_pipeline)
        if self.fit.ratios:
            named['tta_scales'] = Source(
                f'[(int(scale[0] * r), int(scale[1] * r)) for r in {self.fit.ratios}]'
            )
        return {**named, **shown, '    ': None}

    def _val_pipeline(self, val: list, test: list) -> Any:
        """Write the validation as what it has other than the test: its loaders."""
        image = dict(type='LoadImage')
        if val[:1] == [image] and val[1:] == test[1:]:
            return [image, Source('*test_pipeline[1:]')]
        is_loader = len(val) > 2 and val[-2].get('type') == 'LoadSegMap'
        if is_loader and val[0] == image and val[1:-2] == test[1:-2] and val[-1] == test[-1]:
            return [
                image,
                Source('*test_pipeline[1:-2]'),
                Source('load_labels'),
                Source('test_pipeline[-1]'),
            ]
        return self.fit.steps(val)

    def loaders(self) -> dict[str, Any]:
        """Say which data the loaders read."""
        loaders: dict[str, Any] = {}
        for name in _LOADERS:
            split = name.removesuffix('_dataloader')
            base = self.base.get(name) or self.base.val_dataloader
            if split in self.found.datasets:
                inner = self._dataset(split, base.dataset, name)
                loaders[name] = dict(dataset=_in_wrappers(base.dataset, inner))
            else:
                loaders[name] = self._tested_on_val(base.dataset, name)
        self.batch = fit_batch(self.base.train_dataloader.batch_size, self.found.counts['train'])
        if self.batch != self.base.train_dataloader.batch_size:
            loaders['train_dataloader'] = dict(batch_size=self.batch, **loaders['train_dataloader'])
        return loaders

    def _tested_on_val(self, dataset: dict, loader: str) -> Source:
        """Let a test read what the validation reads."""
        pipeline = self._pipeline(dataset, loader)
        if pipeline is None:
            return Source('val_dataloader')
        return Source(f"dict(dataset=dict(val_dataloader['dataset'], pipeline={pipeline}))")

    def _dataset(self, split: str, wrapped: dict, loader: str) -> dict:
        new: dict[str, Any] = {}
        if self.kind != 'det':
            new.update(_delete_=True, type=_CLASSES[self.kind])
        new.update(data_root=Source('data_root'), metainfo=Source('metainfo'))
        new.update(self.found.datasets[split])
        if file := self._beside(split):
            new['ann_file'] = file
        if pipeline := self._pipeline(wrapped, loader):
            new['pipeline'] = pipeline
        return new

    def _pipeline(self, wrapped: dict, loader: str) -> Source | None:
        """Give the pipeline of a loader, or None if the shipped one stays."""
        if self.own_pipelines:
            return Source(loader.replace('dataloader', 'pipeline'))
        if self.kind == 'det':
            return None
        place = f'_base_.{loader if self.base.get(loader) else "val_dataloader"}.dataset'
        while 'dataset' in wrapped:
            place, wrapped = f'{place}.dataset', wrapped['dataset']
        return Source(f'{place}.pipeline')

    def _beside(self, split: str) -> str | None:
        """Give the list or annotation file that is written beside the config."""
        if split not in self.found.files:
            return None
        return f'{{{{ fileDirname }}}}/{self.stem}_{split}{self.found.files[split][0]}'

    def evaluators(self) -> dict[str, Any]:
        """Say what the metrics compare with."""
        evaluators: dict[str, Any] = {}
        if self.kind == 'det':
            evaluators['val_evaluator'] = dict(ann_file=self._ann_file('val'))
            evaluators['test_evaluator'] = Source('val_evaluator')
            if 'test' in self.found.datasets:
                evaluators['test_evaluator'] = dict(ann_file=self._ann_file('test'))
        elif self.kind == 'cls' and len(self.found.classes) < max(_topk(self.base)):
            evaluators['val_evaluator'] = dict(topk=(1,))
            evaluators['test_evaluator'] = Source('val_evaluator')
        return evaluators

    def _ann_file(self, split: str) -> str:
        file = self.found.datasets[split].get('ann_file')
        return self._beside(split) or Source(f'data_root + {file!r}')

    def schedule(self) -> dict[str, Any]:
        """Say how long the training is."""
        _, train = next(datasets_in(self.train))
        images = self.found.counts['train']
        name, old, new = fit_length(self.base, str(train['type']), images, self.batch)
        iterations = new * (1 if name == 'max_iters' else math.ceil(images / self.batch))
        schedulers = fit_schedulers(self.base.get('param_scheduler') or [], old, new, iterations)
        if name == 'max_epochs' and new == old and schedulers == self.base.param_scheduler:
            return {}
        for scheduler in schedulers:
            for key in ('end', 'T_max'):
                if scheduler.get(key) == new and scheduler.get('by_epoch') == (
                    name == 'max_epochs'
                ):
                    scheduler[key] = Source(name)
        schedule: dict[str, Any] = {name: new, 'train_cfg': {name: Source(name)}}
        if name == 'max_iters':
            interval = Source(f'{name} // {VALIDATIONS}')
            schedule['train_cfg']['val_interval'] = interval
            schedule['default_hooks'] = dict(checkpoint=dict(interval=interval))
        schedule['param_scheduler'] = schedulers
        return schedule


def _in_wrappers(base: dict, dataset: dict) -> dict:
    """Put a dataset into the wrappers of the shipped config; a list of several becomes it."""
    if 'dataset' in base:
        return dict(dataset=_in_wrappers(base['dataset'], dataset))
    return dict(dataset, _delete_=True) if 'datasets' in base else dataset


def _merge(old: dict, changed: dict) -> dict:
    merged = dict(old)
    for key, value in changed.items():
        merged[key] = _merge(old[key], value) if isinstance(value, dict) else value
    return merged


def _topk(base: Config) -> tuple[int, ...]:
    evaluator = base.get('val_evaluator') or {}
    topk = evaluator.get('topk', 1) if isinstance(evaluator, dict) else 1
    return tuple(topk) if isinstance(topk, tuple | list) else (topk,)
