"""Turn any config into a run of seconds, on a few of its own images or on generated ones."""

import math
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from mmattn.cli.pretrained import drop_pretrained
from mmattn.datasets.benchmarks import READERS, find_reader
from mmattn.datasets.checks import check_data, datasets_in
from mmattn.datasets.names import visible
from mmattn.datasets.roots import move_data
from mmattn.errors import InputError

IMAGES = 4
VAL_IMAGES = 2
BATCH_SIZE = 2
ITERATIONS = 4
RESUMED_ITERATIONS = 2

SIDE = 64  # Height and width of an image in pixels.
LONG_SIDE = 4 * SIDE  # Upper bound where the aspect ratio is kept.

# Sizes in transforms and in the data preprocessor, by the names of OpenMMLab.
_SIZES = {
    'crop_size': (SIDE, SIDE),
    'size': (SIDE, SIDE),
    'scale': (LONG_SIDE, SIDE),
    'scales': (LONG_SIDE, SIDE),
}
# How many boxes detectors look at, by the names of OpenMMLab; at most MOST_BOXES then.
_COUNTS = ('max_per_img', 'nms_pre', 'num')
MOST_BOXES = 32


def shrink(cfg: Config, data_root: str) -> None:
    """Make a config train for a few iterations, validate once and save.

    It reads the first images of its own data if they are there, else generated ones. The kind of
    loop stays: a training by epochs has as many epochs as make up the iterations.

    Args:
        cfg: Config of a training; it is changed.
        data_root: Folder for generated data; it must not exist or be empty.

    Raises:
        InputError: If its data are not there and there is no generator for its dataset, or if a
            part of them is missing.
    """
    _, dataset = next(datasets_in(cfg.train_dataloader.dataset))
    if _has_own_data(dataset):
        _take_few(cfg)
        where = f'the first images of {visible(dataset.get("data_root") or "its own data")}'
    else:
        _generate(cfg, dataset, data_root)
        where = 'generated images'
    print(f'smoke run on {where}')
    for name in _loaders_of(cfg):
        cfg[name].num_workers = 0
        cfg[name].persistent_workers = False
        _shrink_sizes(cfg[name].dataset)
        # Where no detector has looked at the images, mmpose takes the true boxes.
        for _, dataset in datasets_in(cfg[name].dataset):
            dataset.pop('bbox_file', None)
    cfg.train_dataloader.batch_size = BATCH_SIZE
    _clip_gradients(cfg)
    _repeat_once(cfg.train_dataloader.dataset)

    # Nothing is downloaded.
    drop_pretrained(cfg.model)
    model = _whole_model(cfg.model)
    _shrink_sizes(model.get('data_preprocessor', {}))
    for name in ('train_cfg', 'test_cfg'):
        _shrink_counts(model.get(name))
    cfg.load_from = None
    by_epoch = cfg.train_cfg.get('type') == 'EpochBasedTrainLoop' or cfg.train_cfg.get('by_epoch')
    if by_epoch:
        epochs = ITERATIONS // _iterations_per_epoch()
        cfg.train_cfg = ConfigDict(
            type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=epochs
        )
    else:
        cfg.train_cfg = ConfigDict(
            type='IterBasedTrainLoop', max_iters=ITERATIONS, val_interval=ITERATIONS
        )
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    hooks.setdefault('logger', ConfigDict(type='LoggerHook')).interval = 1
    hooks.checkpoint = ConfigDict(
        type='CheckpointHook', by_epoch=by_epoch, interval=cfg.train_cfg.val_interval
    )


def go_on(cfg: Config) -> None:
    """Make a shrunk config, whose run is over, resume from its checkpoint for some more iterations.

    Args:
        cfg: Config that went through :func:`shrink`; it is changed.
    """
    if 'max_epochs' in cfg.train_cfg:
        checkpoint = f'epoch_{cfg.train_cfg.max_epochs}.pth'
        cfg.train_cfg.max_epochs += RESUMED_ITERATIONS // _iterations_per_epoch()
    else:
        checkpoint = f'iter_{cfg.train_cfg.max_iters}.pth'
        cfg.train_cfg.max_iters += RESUMED_ITERATIONS
    cfg.load_from = str(Path(cfg.work_dir, checkpoint))
    cfg.resume = True


def _clip_gradients(cfg: Config) -> None:
    """Keep a batch of two from ending in NaN.

    A batch norm behind a global pooling sees two values of a channel then, which are nearly equal,
    and multiplies the gradient by up to 300: with one in every block that makes 1e15.
    """
    wrapper = cfg.get('optim_wrapper', {})
    if wrapper.get('type', 'OptimWrapper') in ('OptimWrapper', 'AmpOptimWrapper'):
        wrapper.setdefault('clip_grad', ConfigDict(max_norm=1.0))


def _loaders_of(cfg: Config) -> list[str]:
    return [key for key in ('train_dataloader', 'val_dataloader') if cfg.get(key)]


def _has_own_data(dataset: ConfigDict) -> bool:
    """Tell whether the data that a config names are there."""
    if dataset.type == 'CocoPanopticDataset':
        # Its metric asks for a prediction of every image of the annotation file.
        return False
    root = dataset.get('data_root')
    if root is None or '://' in str(root):
        return True
    return Path(root).is_dir() and any(Path(root).iterdir())


def _take_few(cfg: Config) -> None:
    """Let a config read the first of its own images, where they are."""
    with DATASETS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
        for name in _loaders_of(cfg):
            images = IMAGES if name == 'train_dataloader' else VAL_IMAGES
            check_data(cfg[name].dataset, f'{name}.dataset')
            datasets = [dataset for _, dataset in datasets_in(cfg[name].dataset)]
            for dataset in datasets:
                kind = dataset.type
                kind = registry.get(kind) if isinstance(kind, str) else kind
                # What is no dataset of mmengine may not know the option.
                if isinstance(kind, type) and issubclass(kind, BaseDataset):
                    dataset.indices = math.ceil(images / len(datasets))


def _generate(cfg: Config, dataset: ConfigDict, data_root: str) -> None:
    """Draw a small copy of the benchmark that a config reads, and let it read that."""
    found = find_reader(dataset)
    if found is None:
        raise InputError(
            f'--smoke finds no data in {visible(dataset.data_root)} and has no generated ones for '
            f'{dataset.type}; it has for {", ".join(READERS)}'
        )
    benchmark, reader = found
    benchmark.make(data_root, train=IMAGES, val=VAL_IMAGES)
    move_data(cfg, dataset.data_root, str(Path(data_root, reader.root)))


def _iterations_per_epoch() -> int:
    return IMAGES // BATCH_SIZE


def _shrink_sizes(node: Any) -> None:
    """Make every image size in a config small, in the form that it has there."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in _SIZES:
                node[key] = _small(value, _SIZES[key])
            else:
                _shrink_sizes(value)
    elif isinstance(node, list | tuple):
        for value in node:
            _shrink_sizes(value)


def _shrink_counts(node: Any) -> None:
    """Let a detector look at few boxes."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in _COUNTS and isinstance(value, int):
                node[key] = min(value, MOST_BOXES)
            else:
                _shrink_counts(value)
    elif isinstance(node, list | tuple):
        for value in node:
            _shrink_counts(value)


def _small(old: Any, new: tuple[int, int]) -> Any:
    if isinstance(old, int):
        return SIDE
    if all(isinstance(side, int) for side in old):
        return (SIDE, SIDE) if len(set(old)) == 1 else new
    return [_small(size, new) for size in old]


def _repeat_once(dataset: ConfigDict) -> None:
    while 'dataset' in dataset:
        if 'times' in dataset:
            dataset.times = 1
        dataset = dataset.dataset


def _whole_model(cfg: ConfigDict) -> ConfigDict:
    """Look through ``type='InsertAttention'``."""
    while 'host' in cfg:
        cfg = cfg.host
    return cfg
