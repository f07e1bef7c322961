"""The metrics of a config, of a model and of the file that it was exported to."""

import copy
import io
import math
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, EVALUATOR, DefaultScope
from mmengine.structures import InstanceData, PixelData

from mmattn.errors import InputError
from mmattn.prediction.model import Predictor


class Validation:
    """Some images of the validation data of a config, and the metrics of its ``val_evaluator``.

    Args:
        cfg: The config.
        count: How many images to take, from the whole of the data at even steps; all if there are
            no more.

    Raises:
        InputError: If the config does not say what is validated, and how.
    """

    def __init__(self, cfg: Config, count: int) -> None:
        check_validation_part(cfg)
        self.cfg = cfg
        with self._scope():
            self.dataset: Any = DATASETS.build(copy.deepcopy(cfg.val_dataloader.dataset))
        # The first ones would be of few classes where images lie in folders by their class.
        steps = np.linspace(0, len(self.dataset) - 1, min(count, len(self.dataset)))
        self.numbers = [int(number) for number in steps.round()]

    def check_size(self, size: tuple[int, int]) -> None:
        """Check that all images have one size behind the pipeline.

        Args:
            size: Height and width.

        Raises:
            InputError: If one has another.
        """
        for number in self.numbers:
            height, width = self._batch(number)['inputs'][0].shape[1:]
            if (height, width) != tuple(size):
                raise InputError(
                    f'image {number} of val_dataloader is {width}x{height} behind its pipeline, '
                    f'and the file takes {size[1]}x{size[0]} only; use --dynamic'
                )

    def metrics(self, predictor: Predictor) -> dict[str, float | None]:
        """Give the metrics of a model or a file, None for one that is not finite.

        Args:
            predictor: Who predicts.

        Raises:
            InputError: If the evaluator has no metrics, or an image cannot be predicted.
        """
        with self._scope(), redirect_stdout(io.StringIO()):
            evaluator = self._evaluator()
            names = []
            for number in self.numbers:
                batch = self._batch(number)
                [arrays] = predictor.run(batch)
                [sample] = batch['data_samples']
                names.append(getattr(sample, 'img_id', None))
                _put(predictor.task, sample, arrays)
                evaluator.process([sample], batch)
            for metric in evaluator.metrics:
                # COCO's counts as missed what is on all images of its annotations.
                if hasattr(metric, 'img_ids'):
                    metric.img_ids = names
            found = evaluator.evaluate(len(self.numbers))
        numbers = {key: float(value) for key, value in found.items() if np.ndim(value) == 0}
        if not numbers:
            raise InputError('val_evaluator computes no metrics; leave --val out')
        return {key: value if math.isfinite(value) else None for key, value in numbers.items()}

    def _scope(self) -> Any:
        # Another model may have been loaded since, of another scope.
        return DefaultScope.overwrite_default_scope(self.cfg.get('default_scope'))

    def _batch(self, number: int) -> dict[str, Any]:
        return pseudo_collate([self.dataset[number]])

    def _evaluator(self) -> Evaluator:
        cfg: Any = copy.deepcopy(self.cfg.val_evaluator)
        if isinstance(cfg, dict) and 'metrics' in cfg:
            evaluator = EVALUATOR.build(cfg, default_args=dict(type='Evaluator'))
        else:
            evaluator = Evaluator(cfg)
        evaluator.dataset_meta = self.dataset.metainfo
        return evaluator


def check_validation_part(cfg: Config) -> None:
    """Check that a config says what is validated, and how.

    Raises:
        InputError: If it does not.
    """
    missing = [part for part in ('val_dataloader', 'val_evaluator') if cfg.get(part) is None]
    if missing:
        raise InputError(
            f'config {cfg.filename} has no {" and no ".join(missing)}; --val needs them both'
        )


def _put(task: str, sample: Any, arrays: dict[str, np.ndarray]) -> None:
    """Put the arrays of a result where metrics look for what a model predicts."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if task == 'segmentation':
        sample.pred_sem_seg = PixelData(data=tensors['masks'][None])
    elif task == 'classification':
        scores = tensors['scores'][tensors['labels'].argsort()]
        sample.set_pred_score(scores).set_pred_label(tensors['labels'][:1])
    else:
        tensors['bboxes'] = tensors.pop('boxes')
        sample.pred_instances = InstanceData(**tensors)
