"""A training of seconds on a ResNet-50 with attention among its plug-ins."""

import torch
from mmengine.dist import all_gather
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from torch.utils.data import Dataset

CONFIG = """
custom_imports = dict(imports=['mmattn', 'tests.insertion.plugged'])
model = dict(
    type='Plugged',
    backbone=dict(
        type='mmdet.ResNet',
        depth=50,
        base_channels=8,
        frozen_stages=1,
        norm_eval=True,
        zero_init_residual=False,
        plugins=[
            dict(cfg=dict(type='CoordAtt', reduction=4), position='after_conv2'),
            dict(
                cfg=dict(type='ECA'), stages=(False, False, False, True), position='after_conv3'
            ),
        ],
    ),
)
loader = dict(batch_size=2, num_workers=0)
train_dataloader = dict(
    **loader,
    dataset=dict(type='TwoPictures'),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    **loader,
    dataset=dict(type='TwoPictures'),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Nothing')
val_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4),
)
custom_hooks = [dict(type='Record')]
randomness = dict(seed=0)
"""
BY_EPOCH = dict(type='EpochBasedTrainLoop', max_epochs=2)
BY_ITERATION = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=2)


@DATASETS.register_module()
class TwoPictures(Dataset):
    metainfo = {}

    def __len__(self):
        return 4

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return dict(pictures=torch.rand(3, 32, 32, generator=generator))


@MODELS.register_module()
class Plugged(BaseModel):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = MODELS.build(backbone)

    def forward(self, pictures, mode='tensor'):
        maps = self.backbone(torch.stack(pictures))
        loss = sum(x.square().mean() for x in maps)
        return dict(loss=loss) if mode == 'loss' else [loss]


@METRICS.register_module()
class Nothing(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return {}


@HOOKS.register_module()
class Record(Hook):
    """What the model holds before the training and after each iteration."""

    def __init__(self):
        self.states = []

    def before_train(self, runner):
        self._keep(runner)

    def after_train_iter(self, runner, *args, **kwargs):
        self._keep(runner)

    def _keep(self, runner):
        self.states.append({k: v.clone() for k, v in runner.model.state_dict().items()})


@HOOKS.register_module()
class RanksAgree(Hook):
    """A parameter whose gradients are not exchanged differs between ranks."""

    def after_train_iter(self, runner, *args, **kwargs):
        for name, parameter in runner.model.named_parameters():
            first, *others = all_gather(parameter.detach())
            assert all(torch.equal(first, other) for other in others), name
