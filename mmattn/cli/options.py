"""What the options of the command line do to a config."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import METRICS
from mmengine.runner import CheckpointLoader

from mmattn.datasets.benchmarks import find_reader
from mmattn.datasets.checks import check_data, check_evaluator, datasets_in
from mmattn.datasets.classes import check_classes
from mmattn.datasets.roots import data_roots, move_data
from mmattn.engine.resume.checkpoint_files import find_damage, find_last, out_dir_of
from mmattn.engine.resume.resumption import start_id
from mmattn.errors import InputError
from mmattn.probe.config_check import check_tta
from mmattn.probe.signatures import options_of
from mmattn.weights.other_files import refuse_other_files


def check_device(device: str | None) -> None:
    """Check that the device asked for is there.

    Args:
        device: ``'cpu'``, ``'cuda'``, or None for whatever there is.

    Raises:
        InputError: If CUDA was asked for and there is none.
    """
    if device == 'cuda' and not torch.cuda.is_available():
        raise InputError('--device cuda, but PyTorch sees no CUDA device; use --device cpu')


def choose_work_dir(cfg: Config, work_dir: str | None) -> None:
    """Choose the folder for logs and checkpoints.

    Args:
        cfg: Config whose ``work_dir`` is set: to ``work_dir``, else its own value, else
            ``work_dirs/<name of the config>``.
        work_dir: Folder from the command line.
    """
    cfg.work_dir = work_dir or cfg.get('work_dir') or f'work_dirs/{Path(cfg.filename).stem}'


def use_data_root(cfg: Config, root: str | None, mode: str) -> None:
    """Read the data from another folder than the config says.

    Args:
        cfg: The config, which is changed.
        root: Folder that takes the place of the config's ``data_root``; of Pascal VOC also the one
            that ``VOC2012`` is in. None changes nothing.
        mode: ``'train'``, ``'val'`` or ``'test'``: what reads them.

    Raises:
        InputError: If there is no such folder, or the config reads from none or from several.
    """
    if root is None:
        return
    if '://' not in root and not Path(root).is_dir():
        raise InputError(f'--data-root {root} is not a folder; check the path')
    modes = ('train', 'val') if mode == 'train' else (mode,)
    loaders = tuple(f'{name}_dataloader' for name in modes)
    roots = data_roots(cfg, loaders)
    if not roots:
        raise InputError(
            '--data-root takes the place of data_root, and no data set of the config has one; set '
            'its paths with --cfg-options'
        )
    if len(roots) > 1:
        found = ', '.join(f'{folder} ({key})' for folder, key in roots.items())
        raise InputError(
            f'--data-root takes the place of one folder, and the config reads from {len(roots)}: '
            f'{found}; set each with --cfg-options KEY=DIR'
        )
    [old_root] = roots
    for _, dataset in datasets_in(cfg[loaders[0]].dataset):
        found_reader = find_reader(dataset)
        if found_reader and (inner := Path(root, found_reader[1].root)).is_dir():
            root = str(inner)
            break
    move_data(cfg, old_root, root)


def check_data_of(cfg: Config, mode: str) -> list[str]:
    """Check the data sets of a config, and what else reads their files.

    Args:
        cfg: The config.
        mode: ``'train'``, ``'val'`` or ``'test'``: what reads them.

    Returns:
        What deserves a warning.

    Raises:
        InputError: If something is missing, or classes are not those of the data.
    """
    modes = ('train', 'val') if mode == 'train' else (mode,)
    remarks: list[str] = []
    for name in modes:
        where = f'{name}_dataloader.dataset'
        if cfg.get(f'{name}_dataloader'):
            dataset = cfg[f'{name}_dataloader'].dataset
            check_data(dataset, where)
            remarks += check_classes(dataset, where, cfg.get('default_scope'))
            remarks += check_evaluator(cfg, name)
    return remarks


def use_amp(cfg: Config) -> None:
    """Train in mixed precision.

    Raises:
        InputError: If there is no CUDA device, or the config has an optimizer wrapper of its own.
    """
    if not torch.cuda.is_available():
        raise InputError('--amp needs a CUDA device, and PyTorch sees none; train without it')
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise InputError(f'--amp replaces OptimWrapper, but the config has {kind}')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def use_auto_scale_lr(cfg: Config) -> None:
    """Scale the learning rate by the real over the intended total batch size.

    Raises:
        InputError: If the config does not say for which batch size its learning rate is.
    """
    if not cfg.get('auto_scale_lr', {}).get('base_batch_size'):
        raise InputError(
            '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config'
        )
    cfg.auto_scale_lr.enable = True


def resume(cfg: Config, path: str) -> None:
    """Go on from a checkpoint.

    Args:
        cfg: Config with a ``work_dir``.
        path: Checkpoint, or ``'auto'`` for the last whole one in the work dir.

    Raises:
        InputError: If there is no such checkpoint, or the one that was named is damaged.
    """
    if path == 'auto':
        path = find_last(Path(cfg.work_dir), out_dir_of(cfg))
    else:
        check_checkpoint(path)
        damage = find_damage(Path(path)) if Path(path).is_file() else None
        if damage:
            raise InputError(f'checkpoint {path} {damage}; name another one: --resume PATH')
    cfg.resume, cfg.load_from = True, path


def has_restarted(cfg: Config) -> bool:
    """Tell whether torchrun has started a training again that has written a checkpoint.

    A checkpoint has the name of the start that wrote it, so that what an older training left in the
    work dir does not count, whatever the clocks say.

    Args:
        cfg: Config with a ``work_dir``.
    """
    if os.environ.get('TORCHELASTIC_RESTART_COUNT', '0') == '0':
        return False
    try:
        last = find_last(Path(cfg.work_dir), out_dir_of(cfg))
        meta = CheckpointLoader.load_checkpoint(last, 'cpu').get('meta')
    except InputError:
        # Nothing has been written yet.
        return False
    ranks = meta.get('training_state') if isinstance(meta, dict) else None
    ranks = ranks if isinstance(ranks, list) else []
    return any(isinstance(rank, dict) and rank.get('start') == start_id() for rank in ranks)


def check_test_part(cfg: Config) -> None:
    """Check that a config says what is tested, and how.

    Raises:
        InputError: If it does not.
    """
    parts = ('test_dataloader', 'test_cfg', 'test_evaluator')
    missing = [part for part in parts if cfg.get(part) is None]
    if missing:
        raise InputError(
            f'config {cfg.filename} has no {" and no ".join(missing)}; a test needs '
            f'{", ".join(parts[:-1])} and {parts[-1]}'
        )


def use_tta(cfg: Config) -> None:
    """Test with the augmentations of the config's ``tta_pipeline``.

    Raises:
        InputError: If the config has none, one that cannot be built, or one that it inherited for
            images of another size.
    """
    if not cfg.get('tta_pipeline') or not cfg.get('tta_model'):
        raise InputError('--tta needs tta_pipeline and tta_model in the config')
    # As long as they stand where the user has them.
    check_tta(cfg)
    tested = [dataset for _, dataset in datasets_in(cfg.test_dataloader.dataset)]
    plain, augmented = (
        sorted(max(scale) for scale in _scales(pipelines))
        for pipelines in ([dataset.get('pipeline') for dataset in tested], cfg.tta_pipeline)
    )
    if plain and augmented and not augmented[0] <= plain[-1] <= augmented[-1]:
        raise InputError(
            f'--tta: tta_pipeline makes the long side of an image {augmented[0]} to '
            f'{augmented[-1]} pixels, but the test {plain[-1]}; give the config a tta_pipeline of '
            'its own'
        )
    for dataset in tested:
        dataset.pipeline = cfg.tta_pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)


def _scales(node: Any) -> Iterator[tuple[int, int]]:
    """Give the widths and heights that a pipeline resizes to."""
    if isinstance(node, dict):
        if node.get('type') == 'Resize' and isinstance(node.get('scale'), tuple | list):
            yield tuple(node['scale'])
        node = node.get('transforms')
    if isinstance(node, list | tuple):
        for item in node:
            yield from _scales(item)


def draw_predictions(cfg: Config, folder: str) -> None:
    """Draw every prediction into a folder.

    Raises:
        InputError: If it is not known how to draw in the scope of the config.
    """
    # An absolute path, since mmdet's hook puts a relative one below the work dir.
    path = str(Path(folder).resolve())
    hooks = {
        'mmseg': dict(type='SegVisualizationHook', draw=True),
        'mmdet': dict(type='DetVisualizationHook', draw=True, test_out_dir=path),
        'mmpretrain': dict(type='VisualizationHook', enable=True, interval=1, out_dir=path),
    }
    scope = cfg.get('default_scope')
    if scope not in hooks or 'visualizer' not in cfg:
        raise InputError(
            f'--show-dir needs a visualizer in the config and one of the scopes {", ".join(hooks)}'
        )
    # The hook is not in the configs, because it warns when it has nothing to draw.
    cfg.default_hooks.visualization = ConfigDict(hooks[scope])
    # mmseg's hook draws by the backend.
    cfg.visualizer.vis_backends = [
        ConfigDict(type='LocalVisBackend', save_dir=path, img_save_dir='')
    ]


def check_checkpoint(path: str) -> None:
    """Check that a checkpoint file is there and may be one, unless it is an address.

    Raises:
        InputError: If it is not.
    """
    if '://' in path:
        return
    if not Path(path).is_file():
        raise InputError(f'checkpoint {path} is not a file; check the path')
    try:
        with Path(path).open('rb') as file:
            refuse_other_files(file, path)
    except OSError as error:
        raise InputError(f'checkpoint {path} cannot be read ({error.strerror})') from error


def save_predictions(cfg: Config, path: str) -> None:
    """Save predictions: label maps as PNG files for mmseg, else one pickle file.

    Args:
        cfg: Config with a ``test_evaluator``.
        path: Folder for label maps, or the name of the pickle file.

    Raises:
        InputError: If the name does not fit what will be written, or no metric writes label maps.
    """
    evaluator = cfg.test_evaluator
    has_type = isinstance(evaluator, dict) and 'metrics' in evaluator
    metrics = evaluator.metrics if has_type else evaluator
    metrics = list(metrics) if isinstance(metrics, list | tuple) else [metrics]
    is_pickle = Path(path).suffix in ('.pkl', '.pickle')
    if cfg.get('default_scope') == 'mmseg':
        if is_pickle or Path(path).is_file():
            raise InputError(f'--out {path} has to be a folder: mmseg writes one PNG per image')
        with METRICS.switch_scope_and_registry('mmseg') as registry:
            kinds = [registry.get(m['type']) for m in metrics]
        writers = [
            metric
            for metric, kind in zip(metrics, kinds, strict=True)
            if kind and 'output_dir' in options_of(kind).names
        ]
        if not writers:
            raise InputError('--out needs a metric that writes label maps, such as IoUMetric')
        writers[0].output_dir = path
        return
    if not is_pickle:
        raise InputError(f'--out {path} has to end in .pkl')
    metrics.append(ConfigDict(type='DumpResults', out_file_path=path))
    if has_type:
        evaluator.metrics = metrics
    else:
        cfg.test_evaluator = metrics
