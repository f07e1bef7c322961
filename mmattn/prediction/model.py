"""A trained model, ready to look at pictures."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import mmcv
import numpy as np
import torch
from mmcv.transforms import Compose, LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, TRANSFORMS, DefaultScope, init_default_scope
from mmengine.runner import CheckpointLoader
from torch import nn

from mmattn.datasets.checks import datasets_in
from mmattn.datasets.loading import LoadImage, check_whole
from mmattn.datasets.names import visible
from mmattn.engine.config import load_config
from mmattn.errors import InputError
from mmattn.prediction.class_names import describe_classes
from mmattn.prediction.drawing import Painter
from mmattn.prediction.result import Result, arrays_of
from mmattn.probe.config_check import check_model
from mmattn.weights.fit import fit_weights
from mmattn.weights.reading import weights_in
from mmattn.weights.sources import reading_as

Task = Literal['segmentation', 'detection', 'instance', 'panoptic', 'classification']

# What reads annotations in a test pipeline, by the names of OpenMMLab and ours.
_ANNOTATIONS = ('LoadAnnotations', 'LoadPanopticAnnotations', 'LoadSegMap', 'FilterAnnotations')


def load(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    device: str | None = None,
    cfg_options: dict | None = None,
    trust_checkpoint: bool = False,
) -> 'Model':
    """Load a trained model.

    Args:
        config: Config file, ``mmattn::PATH`` for one that comes with the package, or a config.
        checkpoint: Its checkpoint: a file, or an address.
        device: ``'cpu'``, ``'cuda'`` or ``'cuda:1'``; None for CUDA if there is one.
        cfg_options: Values for dotted keys of the config.
        trust_checkpoint: Whether code in the checkpoint may run. Otherwise it is read as data.

    Returns:
        The model.

    Raises:
        InputError: If the config, the checkpoint or the device is not there or not fit for use,
            the checkpoint is of another architecture, or the classes are of another number.
    """
    device = _check_device(device)
    if not isinstance(config, Config):
        config = load_config(str(config), cfg_options)
    elif cfg_options:
        config = config.copy()
        config.merge_from_dict(cfg_options)
    if config.get('test_dataloader') is None and config.get('val_dataloader') is None:
        raise InputError(
            f'config {config.filename} has no test_dataloader and no val_dataloader; one of them '
            'has to say how an image is prepared'
        )
    source = str(checkpoint)
    with reading_as(trust_checkpoint):
        read = CheckpointLoader.load_checkpoint(source, 'cpu')
    check_model(config)
    init_default_scope(config.get('default_scope', 'mmengine'))
    model_cfg = config.model.copy()
    if config.get('data_preprocessor') is not None:
        # As a runner does.
        model_cfg.setdefault('data_preprocessor', config.data_preprocessor)
    # One process has nobody to be in step with.
    module = revert_sync_batchnorm(MODELS.build(model_cfg))
    fit = fit_weights(weights_in(read, source, [(r'^module\.', '')]), module)
    fit.refuse_or_report(exact=True)
    fit.load()
    metainfo = describe_classes(config, read.get('meta'))
    return Model(module.to(device).eval(), config, metainfo)


class Predictor(ABC):
    """What looks at pictures: a model, or a file that it was exported to.

    Args:
        task: The task.
        cfg: A config that says how a picture is prepared and drawn.
        metainfo: What the data set of its training says of itself: ``classes`` and ``palette``.

    Attributes:
        task: ``'segmentation'``, ``'detection'``, ``'instance'``, ``'panoptic'`` or
            ``'classification'``.
        cfg: The config.
        metainfo: What the data set says.
        classes: Names of the classes.
        palette: Their colours, RGB of 0 to 255.
        painter: Who draws results.
    """

    def __init__(self, task: Task, cfg: Config, metainfo: dict[str, Any]) -> None:
        self.task = task
        self.cfg = cfg
        self.metainfo = metainfo
        self.classes: tuple[str, ...] = tuple(metainfo['classes'])
        self.palette: tuple[tuple[int, ...], ...] = metainfo['palette']
        self.painter = Painter(cfg, task, self.classes, self.palette)
        self._loader, steps = read_pipeline(cfg)
        with TRANSFORMS.switch_scope_and_registry(cfg.get('default_scope')):
            self._pipeline = Compose(steps)

    @abstractmethod
    def run(self, batch: dict[str, list]) -> list[dict[str, np.ndarray]]:
        """Give the arrays of the results of prepared pictures of one size.

        Args:
            batch: What :meth:`prepare` gives.

        Raises:
            InputError: If they need more memory than the device has, or are of a size that is not
                taken.
        """

    def read(self, source: str | Path | np.ndarray) -> np.ndarray:
        """Read a picture as the test of the config reads it, with the checks of ``LoadImage``.

        Args:
            source: File or address of a picture, or a picture (H, W, 3) of uint8, RGB.

        Returns:
            The picture (H, W, 3), uint8, RGB.

        Raises:
            InputError: If it is none.
        """
        if isinstance(source, np.ndarray):
            _check_picture(source)
            return source
        if '://' not in str(source) and not Path(source).is_file():
            raise InputError(f'image {visible(source)} is not a file; check the path')
        backend = self._loader.get('imdecode_backend', 'cv2')
        if backend != 'pillow' and '://' not in str(source):
            check_whole(str(source))
        options = {key: self._loader[key] for key in ('backend_args',) if key in self._loader}
        results = LoadImage(imdecode_backend=backend, **options).transform(
            {'img_path': str(source)}
        )
        assert results is not None  # Nothing is skipped.
        return np.ascontiguousarray(results['img'][..., ::-1])

    def prepare(self, images: Sequence[np.ndarray]) -> dict[str, list]:
        """Prepare pictures by the test pipeline of the config, without annotations.

        Args:
            images: Pictures (H, W, 3), uint8, RGB. Of a segmentor they must have one size when
                they are prepared.

        Returns:
            What ``test_step`` of a model takes: ``inputs``, one (C, H, W) of each picture, and
            ``data_samples``.

        Raises:
            InputError: If a picture cannot be prepared.
        """
        with TRANSFORMS.switch_scope_and_registry(self.cfg.get('default_scope')):
            return pseudo_collate([self._prepare(image) for image in images])

    def _prepare(self, image: np.ndarray) -> dict[str, Any]:
        try:
            return self._pipeline(self._as_loaded(image))
        # Transforms that cannot do with a size, such as one pixel by a thousand, fail in any way.
        except Exception as error:
            height, width = image.shape[:2]
            reason = (str(error).strip().splitlines() or [''])[-1]
            # Where that is in the sources of OpenCV helps nobody.
            reason = re.sub(r'OpenCV\(\S+ \S+ error: ', '', reason)
            raise InputError(
                f'an image of {width}x{height} pixels does not go through the test pipeline '
                f'({type(error).__name__}: {reason}); give another one'
            ) from error

    def predict(self, image: str | Path | np.ndarray) -> Result:
        """Predict what is on a picture.

        Args:
            image: What :meth:`read` takes: a path, or an array (H, W, 3) of uint8, RGB.

        Returns:
            The result, with arrays in the size of the picture.

        Raises:
            InputError: If it is no picture.
        """
        [result] = self.predict_batch([image])
        return result

    def predict_batch(self, images: Sequence[str | Path | np.ndarray]) -> list[Result]:
        """Predict what is on each of several pictures, at once where they have one size.

        Args:
            images: As of :meth:`predict`.

        Returns:
            One result for each, which does not depend on its neighbours.

        Raises:
            InputError: If one is no picture, or they need more memory than the device has.
        """
        pictures = [self.read(image) for image in images]
        if not pictures:
            return []
        data = self.prepare(pictures)
        results: dict[int, Result] = {}
        by_size: dict[tuple, list[int]] = {}
        for i, (prepared, picture) in enumerate(zip(data['inputs'], pictures, strict=True)):
            by_size.setdefault((prepared.shape, picture.shape), []).append(i)
        for numbers in by_size.values():
            # A smaller one would be padded by more than alone.
            batch = {key: [values[i] for i in numbers] for key, values in data.items()}
            for i, arrays in zip(numbers, self.run(batch), strict=True):
                results[i] = Result(pictures[i], arrays, self.painter)
        return [results[i] for i in range(len(pictures))]

    def _as_loaded(self, image: np.ndarray) -> dict[str, Any]:
        """Give what the loader of the config would have made of a picture."""
        pixels = mmcv.rgb2bgr(image)
        if str(self._loader.get('color_type', 'color')).startswith('grayscale'):
            pixels = mmcv.bgr2gray(pixels)
        if self._loader.get('to_float32'):
            pixels = pixels.astype(np.float32)
        size = image.shape[:2]
        return {
            **dict(img=pixels, img_shape=size, ori_shape=size, img_path='', img_id=0),
            # mmseg's loader of annotations would say so.
            **dict(seg_fields=[], reduce_zero_label=self.reduce_zero_label),
        }

    @property
    def reduce_zero_label(self) -> bool:
        """Whether 0 in the label maps of the data means "no label", and 1 the first class."""
        return bool(self.metainfo.get('reduce_zero_label'))


class Model(Predictor):
    """A trained model, ready to look at pictures.

    Args:
        module: The model itself, on its device and in evaluation mode.
        cfg: Its config.
        metainfo: What the data set of its training says of itself: ``classes`` and ``palette``.

    Attributes:
        module: The model itself.

    Raises:
        InputError: If the model has none of these tasks.
    """

    def __init__(self, module: nn.Module, cfg: Config, metainfo: dict[str, Any]) -> None:
        super().__init__(_task_of(module), cfg, metainfo)
        self.module = module

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.module.parameters()).device

    def run(self, batch: dict[str, list]) -> list[dict[str, np.ndarray]]:
        """Give the arrays of the results of prepared pictures; see :meth:`Predictor.run`."""
        # Another model may have been loaded since, of another scope.
        scope = self.cfg.get('default_scope')
        try:
            with DefaultScope.overwrite_default_scope(scope), torch.no_grad():
                model: Any = self.module
                samples = model.test_step(batch)
                return [arrays_of(self.task, sample, len(self.classes)) for sample in samples]
        except torch.cuda.OutOfMemoryError as error:
            count, sides = len(batch['inputs']), tuple(batch['inputs'][0].shape[1:])
            raise InputError(
                f'{count} images of {sides[1]}x{sides[0]} need more memory than the GPU has; take '
                'fewer at once, or the CPU'
            ) from error


def _check_device(device: str | None) -> str:
    there = torch.cuda.is_available()
    if device is None:
        return 'cuda' if there else 'cpu'
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"expected device 'cpu' or 'cuda', got {device!r}") from error
    if wanted.type == 'cuda' and (wanted.index or 0) >= torch.cuda.device_count():
        has = f'only {torch.cuda.device_count()} of them' if there else 'no CUDA device'
        raise InputError(f"device={device!r}, but PyTorch sees {has}; use 'cpu'")
    return device


def _task_of(module: nn.Module) -> Task:
    kinds = {f'{k.__module__.partition(".")[0]}.{k.__name__}' for k in type(module).__mro__}
    if 'mmseg.BaseSegmentor' in kinds:
        return 'segmentation'
    if 'mmpretrain.BaseClassifier' in kinds:
        return 'classification'
    if 'mmdet.BaseDetector' not in kinds:
        raise InputError(
            f'{type(module).__name__} is no segmentor of mmseg, detector of mmdet or classifier of '
            'mmpretrain, whose predictions are known here'
        )
    fusion: Any = getattr(module, 'panoptic_fusion_head', None)
    if fusion is not None:
        return 'panoptic' if (fusion.test_cfg or {}).get('panoptic_on', True) else 'instance'
    has_masks = getattr(module, 'with_mask', False) or 'mmdet.SingleStageInstanceSegmentor' in kinds
    return 'instance' if has_masks else 'detection'


def read_pipeline(cfg: Config) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Take the test pipeline of a config apart.

    Returns:
        The step that loads an image, and the steps behind it that need no annotations.

    Raises:
        InputError: If there is none.
    """
    modes = [mode for mode in ('test', 'val') if cfg.get(f'{mode}_dataloader')]
    where, dataset = next(
        datasets_in(cfg[f'{modes[0]}_dataloader'].dataset, f'{modes[0]}_dataloader.dataset')
    )
    steps = list(dataset.get('pipeline') or [])
    with TRANSFORMS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
        types = [step['type'] for step in steps]
        kinds = [registry.get(kind) if isinstance(kind, str) else kind for kind in types]
        loads = [isinstance(kind, type) and issubclass(kind, LoadImageFromFile) for kind in kinds]
        if not any(loads):
            raise InputError(f'{where}.pipeline loads no image; expected LoadImageFromFile in it')
        first = loads.index(True)
        kept = [
            step
            for step, kind in zip(steps[first + 1 :], kinds[first + 1 :], strict=True)
            if getattr(kind, '__name__', '') not in _ANNOTATIONS
        ]
        return dict(steps[first]), kept


def _check_picture(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(
            'expected an image (height, width, 3) of uint8, RGB, got an array of shape '
            f'{image.shape} and {image.dtype}'
        )
