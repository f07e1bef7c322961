"""A training of milliseconds, and the numbers of what each iteration saw."""

import time

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from torch import nn
from torch.utils.data import Dataset


@DATASETS.register_module()
class Numbers(Dataset):
    metainfo = {}

    def __init__(self, length, seconds=0.0):
        self.length, self.seconds = length, seconds

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return dict(inputs=torch.tensor([float(index)]))


@MODELS.register_module()
class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def forward(self, inputs, mode='tensor'):
        outputs = self.linear(inputs)
        return dict(loss=outputs.square().mean()) if mode == 'loss' else list(inputs)


@METRICS.register_module()
class Sum(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(sum=float(sum(results)))
