"""Turn any shipped config into a run of seconds on generated data."""

from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmattn.datasets import make_tiny_ade20k
from mmattn.errors import InputError

ITERATIONS = 4
RESUMED_ITERATIONS = 2
CROP_SIZE = (64, 64)  # Height and width in pixels.

# Which generator makes data of the kind that a dataset class reads.
_GENERATORS = {'ADE20KDataset': make_tiny_ade20k}


def shrink(cfg: Config, data_root: str) -> None:
    """Make a config train for a few iterations, validate once and save, on generated data.

    Args:
        cfg: Config of a training; it is changed.
        data_root: Folder for the generated data; it must not exist or be empty.

    Raises:
        InputError: If there is no generator for its dataset.
    """
    kind = _innermost(cfg.train_dataloader.dataset).type
    if kind not in _GENERATORS:
        raise InputError(
            f'--smoke has no generated data for {kind}; it has for {", ".join(_GENERATORS)}'
        )
    _GENERATORS[kind](data_root, train=4, val=2)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        dataset = _innermost(loader.dataset)
        dataset.data_root = str(data_root)
        dataset.pipeline = [_shrink_transform(transform) for transform in dataset.pipeline]
        loader.num_workers = 0
        loader.persistent_workers = False
    cfg.train_dataloader.batch_size = 2
    _drop_pretrained(cfg.model)
    cfg.model.data_preprocessor.size = CROP_SIZE
    cfg.load_from = None
    cfg.train_cfg = ConfigDict(
        type='IterBasedTrainLoop', max_iters=ITERATIONS, val_interval=ITERATIONS
    )
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint = ConfigDict(
        type='CheckpointHook', by_epoch=False, interval=ITERATIONS
    )


def go_on(cfg: Config) -> None:
    """Make a shrunk config, whose run is over, resume from its checkpoint for some more iterations.

    Args:
        cfg: Config that went through :func:`shrink`; it is changed.
    """
    cfg.train_cfg.max_iters += RESUMED_ITERATIONS
    cfg.load_from = str(Path(cfg.work_dir, f'iter_{ITERATIONS}.pth'))
    cfg.resume = True


def _innermost(dataset: ConfigDict) -> ConfigDict:
    while 'dataset' in dataset:
        dataset = dataset.dataset
    return dataset


def _shrink_transform(transform: ConfigDict) -> ConfigDict:
    h, w = CROP_SIZE
    if 'crop_size' in transform:
        transform.crop_size = CROP_SIZE
    if 'scale' in transform:
        transform.scale = (4 * w, h)  # Long side, short side: the ratio of ADE20K's configs.
    return transform


def _drop_pretrained(cfg: ConfigDict) -> None:
    """Take the pretrained weights out, so that nothing is downloaded."""
    if isinstance(cfg.get('init_cfg'), dict) and cfg.init_cfg.type == 'Pretrained':
        cfg.init_cfg = None
    for value in cfg.values():
        if isinstance(value, dict):
            _drop_pretrained(value)
