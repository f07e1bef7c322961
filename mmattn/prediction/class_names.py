"""The names and colours of the classes that a model tells apart."""

import colorsys
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from mmattn.datasets.checks import datasets_in
from mmattn.datasets.names import first_of
from mmattn.errors import InputError
from mmattn.probe.class_count import heads_in, wrong_counts
from mmattn.probe.places import listed

# The hue of a class is this much of a circle behind that of the class before it: however many there
# are, two neighbours are far apart.
_STEP = 0.618034
_REDUCED = 'reduce_zero_label'


def describe_classes(cfg: Config, meta: Any) -> dict[str, Any]:
    """Find out what the classes of a model are called.

    Args:
        cfg: Config of the model, whose scope is the default now.
        meta: What its checkpoint says of itself, which goes before what the config says.

    Returns:
        What a data set says of itself: ``classes``, and ``palette`` with one RGB colour of 0 to
        255 for each; others where there are. Where nobody has names, they are numbers.

    Raises:
        InputError: If there are names for another number of classes than the model has.
    """
    found = next(_descriptions(cfg, meta), None)
    if found is None:
        counts = [count for head in heads_in(cfg.model) if (count := head.number())]
        if not counts:
            raise InputError(
                f'config {cfg.filename} and the checkpoint name no classes; give them by '
                'test_dataloader.dataset.metainfo.classes'
            )
        found = 'the model', {'classes': tuple(map(str, range(max(counts))))}
    source, metainfo = found
    classes = metainfo['classes']
    wrong = wrong_counts(cfg.model, metainfo)
    if wrong:
        keys = listed([f'{each.key}={each.given}' for each in wrong])
        raise InputError(
            f'{source} names {len(classes)} classes ({first_of(classes)}), but the config has '
            f'{keys}; use the checkpoint and the data set that belong to the config'
        )
    palette = _palette(metainfo.get('palette'), len(classes))
    return {**metainfo, 'palette': palette, _REDUCED: _is_reduced(cfg, metainfo)}


def _is_reduced(cfg: Config, metainfo: dict[str, Any]) -> bool:
    """Tell whether 0 is no label in the label maps of the data, which older checkpoints do not."""
    if _REDUCED in metainfo:
        return bool(metainfo[_REDUCED])
    return any(described.get(_REDUCED) for _, described in _descriptions(cfg, None))


def _descriptions(cfg: Config, meta: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give what names the classes, and how, the best first."""
    for entry in (_entry(meta, 'dataset_meta'), meta):
        # Older checkpoints have them without a dict around, in capitals.
        described = {str(key).lower(): value for key, value in _items(entry)}
        if _are_names(described.get('classes')):
            yield 'the checkpoint', {**described, 'classes': tuple(described['classes'])}
    for mode in ('test', 'val', 'train'):
        if not cfg.get(f'{mode}_dataloader'):
            continue
        for where, dataset in datasets_in(cfg[f'{mode}_dataloader'].dataset, f'{mode}_dataloader'):
            described = _metainfo(dataset)
            if _are_names(described.get('classes')):
                yield where, {**described, 'classes': tuple(described['classes'])}


def _metainfo(dataset: dict) -> dict[str, Any]:
    """Give what a data set says of itself, without reading it: the data need not be here."""
    lazy = {**dataset, 'lazy_init': True, 'pipeline': []}
    try:
        return dict(DATASETS.build(lazy).metainfo)
    # Those that look for their files at once fail in any way.
    except Exception:
        kind = dataset.get('type')
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind
        return {**getattr(kind, 'METAINFO', {}), **(dataset.get('metainfo') or {})}


def _palette(given: Any, count: int) -> tuple[tuple[int, ...], ...]:
    """Give a colour for each class: those given if they are colours, else hues that differ."""
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) >= count:
        return tuple(tuple(int(value) for value in colour) for colour in given[:count])
    hues = (colorsys.hsv_to_rgb(i * _STEP % 1, 0.75, 0.95) for i in range(count))
    return tuple(tuple(round(255 * value) for value in hue) for hue in hues)


def _entry(meta: Any, key: str) -> Any:
    return meta.get(key) if isinstance(meta, dict) else None


def _items(meta: Any) -> Any:
    return meta.items() if isinstance(meta, dict) else ()


def _are_names(classes: Any) -> bool:
    return (
        isinstance(classes, list | tuple)
        and bool(classes)
        and all(isinstance(name, str) for name in classes)
    )
