"""What a config of the launch tests names: a regression without batch statistics."""

import contextlib
import os
import signal
from pathlib import Path

import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from torch import nn

from mmattn import VAN

CONFIG = """
custom_imports = dict(imports=['mmattn', 'tests.launch.points'])
model = dict(type='ToyRegression')
train_dataloader = dict(
    dataset=dict(type='ToyPoints', length=16),
    batch_size=2,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
)
val_dataloader = dict(
    dataset=dict(type='ToyPoints', length=7),
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ToyError')
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
param_scheduler = [dict(type='PolyLR', begin=0, end=4, by_epoch=False)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=4)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2),
)
custom_hooks = [dict(type='ToyListeners')]
log_processor = dict(by_epoch=False)
env_cfg = dict(dist_cfg=dict(backend='nccl', timeout=60, join_timeout=60))
randomness = dict(seed=0)
"""


@DATASETS.register_module()
class ToyPoints(torch.utils.data.Dataset):
    def __init__(self, length):
        generator = torch.Generator().manual_seed(0)
        self.points = torch.rand(length, 3, generator=generator, dtype=torch.float64)

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return dict(x=self.points[index])


@MODELS.register_module()
class ToyRegression(BaseModel):
    """Fail in the third iteration of one rank, by an exception or by ``kill -9``."""

    def __init__(self, norm='GroupNorm', raises=None, dies=None):
        super().__init__()
        norm = nn.GroupNorm(2, 4) if norm == 'GroupNorm' else nn.SyncBatchNorm(4)
        self.layers = nn.Sequential(nn.Linear(3, 4), norm, nn.Linear(4, 1)).double()
        self.raises, self.dies = raises, dies
        self.iterations = 0

    def forward(self, x, mode='tensor'):
        x = torch.stack(x)
        error = self.layers(x) - x.sum(dim=1, keepdim=True)
        if mode == 'predict':
            return error.abs().flatten().tolist()
        self.iterations += 1
        if self.iterations == 3 and os.environ.get('RANK') == str(self.raises):
            raise RuntimeError('the toy is broken')
        if self.iterations == 3 and os.environ.get('RANK') == str(self.dies):
            os.kill(os.getpid(), signal.SIGKILL)
        return {'loss': error.square().mean()}


@HOOKS.register_module()
class ToyListeners(Hook):
    """Print where this process listens, and the one that started it."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 0 and Path('/proc/net/tcp').exists():
            found = sorted(set(listeners(os.getpid()) + listeners(os.getppid())))
            # Written at once, or what another rank writes comes between.
            print(f'listens at {" ".join(found)}\n', end='')


def listeners(process):
    own = []
    for path in Path(f'/proc/{process}/fd').iterdir():
        with contextlib.suppress(OSError):  # closed since, or not for us to see
            own.append(os.readlink(path))
    rows = [
        line.split()
        for table in ('tcp', 'tcp6')
        for line in Path('/proc/net', table).read_text().splitlines()[1:]
    ]
    # Of a row: the address and port in hexadecimal numbers, the state (0A: it listens), the inode.
    return [row[1].split(':')[0] for row in rows if row[3] == '0A' and f'socket:[{row[9]}]' in own]


@METRICS.register_module()
class ToyError(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(error=sum(results), count=len(results))


@MODELS.register_module()
class ToyVAN(BaseModel):
    """A network with blocks to shard, on pictures of the points."""

    def __init__(self):
        super().__init__()
        arch = dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), mlp_ratios=(2, 2, 2, 2))
        self.backbone = VAN(arch, out_indices=[3], drop_path_rate=0.0).double()
        self.register_buffer('pattern', torch.linspace(-1, 1, 32 * 32).reshape(1, 1, 32, 32))

    def forward(self, x, mode='tensor'):
        x = torch.stack(x)
        [features] = self.backbone(x[:, :, None, None] * self.pattern)
        error = features.mean(dim=(1, 2, 3)) - x.sum(dim=1)
        return error.abs().tolist() if mode == 'predict' else {'loss': error.square().mean()}
