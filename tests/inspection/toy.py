"""A model of milliseconds with attention of each shape, and a training of it."""

import random

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel, ImgDataPreprocessor
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.structures import BaseDataElement
from torch import nn

import mmattn

MEAN, STD = 100.0, 50.0


@MODELS.register_module()
class ToyAttentive(BaseModel):
    """Rows and columns, channels, positions, and two maps against each other."""

    def __init__(self):
        preprocessor = ImgDataPreprocessor(mean=[MEAN] * 3, std=[STD] * 3, bgr_to_rgb=True)
        super().__init__(preprocessor)
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Dropout(0.2))
        self.coord = mmattn.CoordAtt(8, start='identity')
        self.cbam = mmattn.CBAM(8, reduction=2)
        self.fusion = mmattn.AFF(8)
        nn.init.constant_(self.coord.blend, 0.25)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = self.backbone(inputs)
        y = self.cbam(self.coord(x))
        out = self.fusion(x, y).relu_()
        if mode == 'loss':
            return {'loss': out.square().mean()}
        # What comes behind a module may change what went into it.
        x.zero_()
        return list(out.mean((1, 2, 3)))


@DATASETS.register_module()
class ToyImages(BaseDataset):
    """Images of noise, each with the name of its number."""

    def __init__(self, size=6, **kwargs):
        self.size = size
        super().__init__(serialize_data=False, **kwargs)

    def load_data_list(self):
        return [dict(idx=i) for i in range(self.size)]

    def prepare_data(self, idx):
        generator = torch.Generator().manual_seed(idx)
        pixels = torch.randint(0, 256, (3, 12, 16), generator=generator)
        pixels = (pixels + 20 * np.random.rand() + 20 * random.random()).clamp(max=255).byte()
        sample = BaseDataElement(metainfo=dict(img_path=f'folder/{idx}.jpg'))
        return dict(inputs=pixels, data_samples=sample)


@METRICS.register_module()
class ToyMean(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [float(x) for x in data_samples]

    def compute_metrics(self, results):
        return {'mean': sum(results) / len(results)}


def config(work_dir, hooks=()):
    """A training of six iterations that validates after every second one."""
    loader = dict(batch_size=2, num_workers=0, dataset=dict(type='ToyImages'))
    return Config(
        dict(
            model=dict(type='ToyAttentive'),
            work_dir=str(work_dir),
            train_dataloader=dict(**loader, sampler=dict(type='InfiniteSampler', shuffle=True)),
            val_dataloader=dict(**loader, sampler=dict(type='DefaultSampler', shuffle=False)),
            val_evaluator=dict(type='ToyMean'),
            val_cfg=dict(),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=6, val_interval=2),
            default_hooks=dict(checkpoint=None),
            custom_hooks=list(hooks),
            visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
            randomness=dict(seed=0),
            log_level='ERROR',
        )
    )
