"""Data sets as a config reads them, wrapped or not, and the files that metrics compare with."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from mmattn.datasets.audit import class_folders, coco, coco_category, label_maps, voc
from mmattn.datasets.audit.faults import Fault, Plan
from mmattn.datasets.audit.pixels import CHECKED, Decoder
from mmattn.datasets.audit.samples import Check, Sample, explain, is_loader, transforms_of
from mmattn.datasets.checks import datasets_in
from mmattn.datasets.exchange import read_as_validation
from mmattn.datasets.lists import read_list
from mmattn.datasets.loading import LoadImage
from mmattn.errors import InputError


def plan_config(cfg: Config) -> Plan:
    """Plan to look at all data sets of a config, as a training and a test of it read them.

    Args:
        cfg: The config; its test is made to read as ``tools/test.py`` does.

    Raises:
        InputError: If it has no data set, or one of a class that is not there.
    """
    if cfg.get('test_dataloader') and isinstance(cfg.test_dataloader, dict):
        read_as_validation(cfg)
    plan = Plan()
    seen = set()
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        ignored = frozenset(_values_of(cfg.get('model'), 'ignore_index'))
        for where, dataset, metrics in _datasets_of(cfg):
            reading = _build(where, dataset, metrics)
            # A test often reads what the validation has read.
            if reading.key not in seen:
                seen.add(reading.key)
                _look_at_annotations(reading)
                _add(reading, ignored, plan)
    if not seen:
        raise InputError(
            f'config {cfg.filename} has no data: no train_dataloader, val_dataloader or '
            'test_dataloader'
        )
    return plan


def _datasets_of(cfg: Config) -> Iterator[tuple[str, dict, list[dict]]]:
    """Give the place of each data set, its config and the metrics that measure with a file."""
    for part in ('train', 'val', 'test'):
        loader = cfg.get(f'{part}_dataloader')
        if not isinstance(loader, dict) or 'dataset' not in loader:
            continue
        given = cfg.get(f'{part}_evaluator') or []
        given = given.get('metrics', given) if isinstance(given, dict) else given
        metrics = [m for m in (given if isinstance(given, list | tuple) else [given]) if m]
        for where, dataset in datasets_in(loader['dataset'], f'{part}_dataloader.dataset'):
            yield where, dataset, [m for m in metrics if m.get('ann_file')]


def _values_of(node: Any, key: str) -> Iterator[int]:
    """Find the numbers that a key has anywhere in a config."""
    if isinstance(node, dict):
        if type(node.get(key)) is int:
            yield node[key]
        node = list(node.values())
    if isinstance(node, list | tuple):
        for inner in node:
            yield from _values_of(inner, key)


@dataclass
class _Reading:
    """A data set, as one part of a config reads it.

    Args:
        where: Where it stands in the config.
        cfg: Its config.
        kind: Its class.
        metrics: Metrics that compare with an annotation file.
        dataset: What was built, or None if that fails.
        error: Why it fails.
        faults: What is wrong with its lists and annotation files.
        checks: What looks at the annotations of an image, by its path.
    """

    where: str
    cfg: dict
    kind: type
    metrics: list[dict]
    dataset: Any = None
    error: str = ''
    faults: list[Fault] = field(default_factory=list)
    checks: dict[Path, list[Check]] = field(default_factory=dict)

    def path(self, key: str) -> Path:
        """Give ``ann_file``, or a folder of ``data_prefix``, below ``data_root``."""
        prefixes = self.get('data_prefix', {})
        if isinstance(prefixes, str):
            prefixes = {'img_path': prefixes}
        given = self.get('ann_file', '') if key == 'ann_file' else prefixes.get(key)
        # A data set that was built has put its root in front.
        root = self.cfg.get('data_root') if self.dataset is None or not given else ''
        return Path(root or '', given or '')

    @property
    def key(self) -> str:
        """What it reads, and how, in one text."""
        options = {name: value for name, value in self.cfg.items() if name != 'pipeline'}
        loaders = [t for t in transforms_of(self.dataset) if is_loader(t)]
        return repr((options, loaders, self.metrics))

    def get(self, name: str, default: Any) -> Any:
        """Give an option of the data set."""
        if self.dataset is None:
            return self.cfg.get(name, default)
        return getattr(self.dataset, name, default)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes that are read, or None if nobody can tell."""
        known = getattr(self.kind, 'METAINFO', {})
        given = (self.get('metainfo', None) or {}).get('classes') or known.get('classes')
        return tuple(given) if isinstance(given, list | tuple) else None

    @property
    def is_remote(self) -> bool:
        """Whether its files may be elsewhere than their names say."""
        paths = f'{self.cfg.get("data_root")} {self.cfg.get("ann_file")}'
        return '://' in paths or bool(self.cfg.get('backend_args'))

    @property
    def decoder(self) -> Decoder | None:
        """How images are decoded, or None if nobody can tell."""
        if self.dataset is None:
            return CHECKED
        for transform in transforms_of(self.dataset):
            if isinstance(transform, LoadImageFromFile):
                if self.is_remote or transform.backend_args or transform.file_client_args:
                    return None
                backend = transform.imdecode_backend
                scales = isinstance(transform, LoadImage) or backend != 'pillow'
                return Decoder(backend, transform.color_type, scales)
        return None

    def of_loader(self, name: str, default: Any) -> Any:
        """Give an option of the transform that loads annotations."""
        if self.dataset is None:
            steps = [step for step in self.cfg.get('pipeline', []) if isinstance(step, dict)]
            return next((step[name] for step in steps if name in step), default)
        found = (getattr(t, name) for t in transforms_of(self.dataset) if hasattr(t, name))
        return next(found, default)

    def reads_as(self, name: str) -> bool:
        """Tell whether a class, given by package and name, reads the annotations of this one."""
        for base in self.kind.__mro__:
            if f'{base.__module__.partition(".")[0]}.{base.__name__}' == name:
                methods = ('load_data_list', 'parse_data_info', '_find_samples')
                return all(
                    getattr(self.kind, method, None) is getattr(base, method, None)
                    for method in methods
                )
        return False


def _build(where: str, cfg: dict, metrics: list[dict]) -> _Reading:
    """Build a data set, whose loaders leave nothing out."""
    name = cfg['type']
    with DATASETS.switch_scope_and_registry(None) as registry:
        kind = registry.get(name) if isinstance(name, str) else name
    if kind is None:
        raise InputError(f'config: {where}.type {name} is no data set that is registered')
    reading = _Reading(where, cfg, kind, metrics)
    try:
        # pycocotools prints what it is about to do.
        with contextlib.redirect_stdout(io.StringIO()):
            reading.dataset = DATASETS.build(cfg)
    # Annotations of any content may end in anything.
    except Exception as error:
        reading.error = explain(error)
    for transform in transforms_of(reading.dataset):
        # What a training may leave out is looked at, too.
        if isinstance(transform, LoadImageFromFile):
            transform.ignore_empty = False
        if isinstance(transform, LoadImage):
            transform.max_skips = 0
    return reading


def _look_at_annotations(reading: _Reading) -> None:
    """Look at the lists and annotation files of a class that is known."""
    if not reading.is_remote:
        for name, look in _LOOKS.items():
            if reading.reads_as(name):
                look(reading)


def _add(reading: _Reading, ignored: frozenset[int], plan: Plan) -> None:
    """Plan to load each sample, or to look at the annotations if there are no samples."""
    empty = f'{reading.where}: of {reading.kind.__name__}, nothing is left to read'
    if reading.dataset is None:
        # What numpy says when mmengine stores no samples.
        is_empty = 'need at least one array' in reading.error
        kind = 'empty data set' if is_empty else 'data set that cannot be read'
        place = empty if is_empty else f'{reading.where}: {reading.error}'
        reading.faults.append(Fault(kind, place))
        images = len(reading.checks)
        plan.tasks += [partial(_carry_out, checks) for checks in reading.checks.values()]
    else:
        images = len(reading.dataset)
        if not images:
            reading.faults.append(Fault('empty data set', empty))
        plan.tasks += [
            Sample(reading.dataset, index, reading.checks, reading.decoder, ignored)
            for index in range(images)
        ]
    plan.faults += reading.faults
    plan.notes.append(f'{reading.where}: {reading.kind.__name__}, {images} images')


def _carry_out(checks: list[Check]) -> list[Fault]:
    return [fault for check in checks for fault in check()]


def _look_at_coco(reading: _Reading, task: str = 'instances') -> None:
    """Look at an annotation file, and at those that metrics compare with."""
    ann_file = reading.path('ann_file')
    is_same = [os.path.abspath(m['ann_file']) == os.path.abspath(ann_file) for m in reading.metrics]
    use = coco.Use(
        task,
        masks=bool(reading.of_loader('with_mask', False)),
        poly2mask=bool(reading.of_loader('poly2mask', True)),
        metrics=tuple(
            name
            for metric, is_one in zip(reading.metrics, is_same, strict=True)
            if is_one
            for name in _measured(metric)
        ),
        classes=reading.classes,
    )
    described = _describe(reading, ann_file, use)
    for image, about in described.items():
        # Without an image loader, the image is not looked at.
        decoder = reading.decoder
        check = partial(coco.check_coco, decoder=decoder) if decoder else _check_annotations
        reading.checks.setdefault(image, []).append(partial(check, image, about))
    for metric, is_one in zip(reading.metrics, is_same, strict=True):
        if not is_one:
            names = tuple(_measured(metric))
            use = coco.Use(task, is_loaded=False, metrics=names, classes=reading.classes)
            for image, about in _describe(reading, Path(metric['ann_file']), use).items():
                reading.faults += _check_annotations(image, about)


def _describe(reading: _Reading, ann_file: Path, use: coco.Use) -> coco.Described:
    described: coco.Described = {}
    content = coco.load(ann_file, reading.faults)
    if content is not None:
        images, segmentations = reading.path('img'), reading.path('seg')
        coco.describe(
            ann_file, content, images, use, described, reading.faults, segmentations, is_own=True
        )
    return described


def _measured(metric: dict) -> list[str]:
    """Name what a metric of mmdet measures against its annotation file."""
    kind = str(metric.get('type')).rpartition('.')[2]
    names = {'CocoMetric': metric.get('metric', 'bbox'), 'CocoPanopticMetric': 'panoptic'}.get(kind)
    return [names] if isinstance(names, str) else list(names or ())


def _check_annotations(image: Path, about: list[coco.Description]) -> list[Fault]:
    return [fault for one in about for fault in coco.check_annotations(image, one)]


def _look_at_panoptic(reading: _Reading) -> None:
    _look_at_coco(reading, 'panoptic')


def _look_at_category(reading: _Reading) -> None:
    category = (reading.classes or ('',))[-1]
    images, decoder = reading.path('img'), reading.decoder
    check: Callable[..., list[Fault]] = coco_category.check_masks
    if decoder:
        check = partial(coco_category.check_category, decoder=decoder)
    described = coco_category.describe_category(
        reading.path('ann_file'), images, category, reading.faults, is_own=True
    )
    for image, about in described.items():
        reading.checks[image] = [partial(check, image, about)]


def _look_at_xml(reading: _Reading) -> None:
    root = reading.path('sub_data_root')
    images = root / reading.get('img_subdir', 'JPEGImages')
    annotations = root / reading.get('ann_subdir', 'Annotations')
    least = (reading.get('filter_cfg', None) or {}).get('bbox_min_size')
    boxes = voc.Boxes(reading.classes or (), least, is_own=True)
    for stem in _listed(reading):
        check = partial(
            voc.check_detection,
            images / f'{stem}.jpg',
            annotations / f'{stem}.xml',
            boxes,
            reading.decoder or CHECKED,
        )
        reading.checks[images / f'{stem}.jpg'] = [check]


def _look_at_label_maps(reading: _Reading) -> None:
    if reading.path('ann_file').is_file():
        _listed(reading)
        return
    images, maps = reading.path('img_path'), reading.path('seg_map_path')
    suffix = reading.get('img_suffix', '.jpg'), reading.get('seg_map_suffix', '.png')
    if images.is_dir():
        reading.faults += label_maps.others_in(images, suffix[0])
        if maps.is_dir() and maps != images:
            reading.faults += label_maps.without_image(images, suffix[0], maps, suffix[1])


def _look_at_classes(reading: _Reading) -> None:
    folder, names = reading.path('img_path'), reading.path('ann_file')
    if reading.dataset is None and 'split' in reading.cfg:
        split = reading.cfg['split']
        names = folder / 'meta' / f'{split}.txt'
        folder = folder / split
    classes = reading.classes
    if not reading.get('with_label', True) or not folder.is_dir():
        return
    if names.is_file():
        number = None if classes is None else len(classes)
        class_folders.listed_images(names, folder, number, reading.faults)
        return
    found = class_folders.class_folders(folder, reading.faults)
    if classes is not None:
        reading.faults += class_folders.check_number_of_classes(folder, found, len(classes))
    extensions = reading.get('extensions', class_folders.EXTENSIONS)
    class_folders.images_in_classes(folder, found, extensions, reading.faults)


def _listed(reading: _Reading) -> list[str]:
    """Read the names of a list, or none if it cannot be read."""
    path = reading.path('ann_file')
    try:
        return read_list(path)
    except (OSError, ValueError) as error:
        reading.faults.append(Fault('unreadable list', f'{path}: {error}'))
        return []


# What looks at the annotations of a class and of those that read alike; of any other, each sample
# is loaded.
_LOOKS = {
    'mmattn.COCOCategoryDataset': _look_at_category,
    'mmdet.CocoDataset': _look_at_coco,
    'mmdet.CocoPanopticDataset': _look_at_panoptic,
    'mmdet.XMLDataset': _look_at_xml,
    'mmseg.BaseSegDataset': _look_at_label_maps,
    'mmpretrain.CustomDataset': _look_at_classes,
}
