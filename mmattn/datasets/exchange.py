"""Let a test read its data with the loaders of the validation."""

from collections.abc import Iterator
from typing import Any

from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import TRANSFORMS, Registry

from mmattn.datasets.checks import datasets_in
from mmattn.datasets.loading import LoadImage, LoadSegMap


def read_as_validation(cfg: Config) -> str | None:
    """Exchange the stock loaders of a test for those that name a file that is wrong.

    The test pipelines of configs name the stock loaders, which inferencers look for. Where the
    validation reads with ours, a test of data does, too; the pixels and the labels are the same.

    Args:
        cfg: Config whose ``test_dataloader`` is changed.

    Returns:
        What was exchanged, in a sentence; None if nothing.
    """
    if not cfg.get('val_dataloader'):
        return None
    exchanged = {}
    with TRANSFORMS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
        ours: dict[Any, dict[str, dict]] = {LoadImage: {}, LoadSegMap: {}}
        for step in _steps_of(cfg.val_dataloader.dataset):
            kind = _class_of(step, registry)
            if kind in ours:
                ours[kind][repr(step)] = step
        for step in _steps_of(cfg.test_dataloader.dataset):
            kind = _class_of(step, registry)
            before = step['type']
            if _is_stock_image_loader(kind) and ours[LoadImage]:
                [*_, image] = ours[LoadImage].values()
                # mmcv's decoder, unless the config names one.
                step.setdefault('imdecode_backend', 'cv2')
                step['type'] = image['type']
            # Options of its own, or maps of several kinds: nobody can tell what is the same.
            elif _is_mmseg_label_loader(kind) and len(step) == 1 and len(ours[LoadSegMap]) == 1:
                [labels] = ours[LoadSegMap].values()
                step.update(labels)
            if step['type'] != before:
                exchanged[before] = step['type']
    if not exchanged:
        return None
    theirs, checked = (' and '.join(map(str, names)) for names in (exchanged, exchanged.values()))
    return f'test_dataloader reads with {checked}, as val_dataloader does, instead of {theirs}'


def _steps_of(dataset: dict) -> Iterator[dict]:
    """Give the transforms of the pipelines of a dataset config, those in transforms too."""
    for _, inner in datasets_in(dataset):
        yield from transforms_in(inner.get('pipeline'))


def transforms_in(pipeline: Any) -> Iterator[dict]:
    """Give the configs of the transforms of a pipeline, those inside others too."""
    if isinstance(pipeline, dict) and 'type' in pipeline:
        yield pipeline
        yield from transforms_in(pipeline.get('transforms'))
    elif isinstance(pipeline, list | tuple):
        for item in pipeline:
            yield from transforms_in(item)


def _class_of(step: dict, registry: Registry) -> type | None:
    kind = step['type']
    return registry.get(kind) if isinstance(kind, str) else kind


def _is_stock_image_loader(kind: type | None) -> bool:
    # mmpose has a subclass of its own.
    return kind is LoadImageFromFile or _name_of(kind) == 'mmpose.LoadImage'


def _is_mmseg_label_loader(kind: type | None) -> bool:
    return _name_of(kind) == 'mmseg.LoadAnnotations'


def _name_of(kind: type | None) -> str:
    return f'{kind.__module__.partition(".")[0]}.{kind.__name__}' if isinstance(kind, type) else ''
