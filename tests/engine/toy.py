"""A training of milliseconds whose every random number shows in its weights."""

import random
from typing import ClassVar

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from mmengine.structures import BaseDataElement
from torch import nn


@DATASETS.register_module()
class ToyData(BaseDataset):
    """Samples augmented with random numbers of numpy and of Python.

    ``width`` and ``height`` are what batch samplers of mmdet ask for.
    """

    loaded: ClassVar[list[int]] = []

    def __init__(self, size=22, **kwargs):
        self.size = size
        # Serialized data asks for a garbage collection each time.
        super().__init__(serialize_data=False, **kwargs)

    def load_data_list(self):
        return [dict(idx=i, width=10 + i % 3, height=11) for i in range(self.size)]

    def prepare_data(self, idx):
        self.loaded.append(idx)
        x = torch.tensor([idx / 10, np.random.rand(), random.random()], dtype=torch.float32)
        sample = BaseDataElement(metainfo=dict(idx=idx, img_path=f'{idx}.jpg'))
        return dict(inputs=x, data_samples=sample)


@MODELS.register_module()
class ToyModel(BaseModel):
    def __init__(self, nan_at=()):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
        self.nan_at = nan_at

    def forward(self, inputs, data_samples, mode='tensor'):
        out = self.net(torch.stack(list(inputs)))
        if mode == 'predict':
            return list(out)
        bad = any(sample.idx in self.nan_at for sample in data_samples)
        return {'loss': out.sub(1).square().mean() * (float('nan') if bad else 1)}


@METRICS.register_module()
class ToyMetric(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [float(x) for x in data_samples]

    def compute_metrics(self, results):
        return {'mean': sum(results) / len(results)}


@HOOKS.register_module()
class ToyRecord(Hook):
    """What was trained on and what came of it, one line per iteration."""

    def __init__(self):
        self.lines = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        indices = [sample.idx for sample in data_batch['data_samples']]
        self.lines[runner.iter + 1] = (indices, outputs['loss'].item())


def toy_config(work_dir, by_epoch=False, iterations=30, interval=7, **others):
    """The config of a training; ``interval`` is in iterations."""
    loader = dict(
        batch_size=4,
        num_workers=0,
        dataset=dict(type='ToyData'),
        sampler=dict(type='DefaultSampler' if by_epoch else 'InfiniteSampler', shuffle=True),
    )
    cfg = dict(
        model=dict(type='ToyModel'),
        work_dir=str(work_dir),
        train_dataloader=loader,
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.02), clip_grad=dict(max_norm=1.0)),
        param_scheduler=dict(type='CosineAnnealingLR', T_max=iterations, by_epoch=False),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=iterations),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=interval),
            logger=dict(type='LoggerHook', interval=10),
        ),
        custom_hooks=[dict(type='ToyRecord'), dict(type='EMAHook')],
        log_level='ERROR',
    )
    if by_epoch:
        # 22 samples make 6 batches.
        cfg['train_cfg'] = dict(type='EpochBasedTrainLoop', max_epochs=iterations // 6)
    cfg = Config(cfg)
    cfg.merge_from_dict(others)
    return cfg


def with_validation(cfg, interval):
    """Add a validation to a config."""
    cfg.val_dataloader = dict(
        batch_size=4,
        num_workers=0,
        dataset=dict(type='ToyData', size=10),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    cfg.val_evaluator = dict(type='ToyMetric')
    cfg.val_cfg = dict(type='ValLoop')
    cfg.train_cfg.val_interval = interval
    return cfg


def record_of(runner):
    """Give the lines of :class:`ToyRecord`."""
    return next(hook for hook in runner.hooks if isinstance(hook, ToyRecord)).lines


def whole_state(runner):
    """Give all that training changes, by name."""
    ema = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook')
    return {
        **runner.model.state_dict(),
        **{f'ema.{k}': v for k, v in ema.ema_model.state_dict().items()},
    }
