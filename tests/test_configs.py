"""Every shipped config: a new file is tested by existing."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, TRANSFORMS, init_default_scope
from mmengine.runner import Runner
from torch import nn

from mmattn.datasets.tiny_ade20k import CLASSES

ROOT = Path(__file__).resolve().parents[1]
PATHS = sorted(p for p in (ROOT / 'configs').rglob('*.py') if '_base_' not in p.parts)
each = pytest.mark.parametrize('path', PATHS, ids=lambda p: p.stem)


def load(path):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    return cfg


def build(cfg):
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        return MODELS.build(cfg.model)


def millions(module):
    return sum(p.numel() for p in module.parameters()) / 1e6


def named(name):
    return load(ROOT / 'configs' / 'seg' / f'{name}.py')


def test_there_are_configs():
    names = {p.stem for p in PATHS}
    assert {f'upernet_van_b{i}_ade20k' for i in range(7)} <= names
    assert {f'deeplabv3_coordatt_mobilenetv2_d{d}_ade20k' for d in (8, 16)} <= names


@each
def test_builds_and_its_heads_fit_its_backbone(path):
    cfg = load(path)
    model = build(cfg)
    for head in (model.decode_head, model.auxiliary_head):
        indices = head.in_index if isinstance(head.in_index, list) else [head.in_index]
        channels = head.in_channels if isinstance(head.in_channels, list) else [head.in_channels]
        assert [model.backbone.out_channels[i] for i in indices] == channels


@each
def test_every_decay_key_names_something(path):
    cfg = load(path)
    names = [name for name, _ in build(cfg).named_parameters()]
    for key in cfg.optim_wrapper.get('paramwise_cfg', {}).get('custom_keys', {}):
        assert any(key in name for name in names), key


@each
def test_pipelines_build(path):
    cfg = load(path)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for transform in loader.dataset.pipeline:
            TRANSFORMS.build(transform)
    for transform in cfg.get('tta_pipeline') or []:
        TRANSFORMS.build(transform)


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.norm = nn.Linear(1, 1)

    def forward(self, *args, **kwargs):
        raise RuntimeError('only built')


@each
def test_the_runner_takes_every_hook_and_schedule(path, tmp_path):
    """All but the model and the data, which take time or are not there."""
    cfg = load(path)
    cfg.work_dir, cfg.log_level = str(tmp_path), 'ERROR'
    cfg.model = dict(type=Toy)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[key] = dict(batch_size=1, dataset=[0], sampler=dict(type='DefaultSampler'))
    runner = Runner.from_cfg(cfg)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.train_loop  # noqa: B018
    schedulers = runner.build_param_scheduler(runner.param_schedulers)
    assert max(s.end for s in schedulers) == cfg.train_cfg.max_iters


@each
def test_says_for_which_batch_its_learning_rate_is(path):
    cfg = load(path)
    if path.parent.name != 'demo':
        assert cfg.auto_scale_lr.base_batch_size % cfg.train_dataloader.batch_size == 0
        assert not cfg.auto_scale_lr.enable


@each
def test_never_looks_for_unused_parameters(path):
    assert 'find_unused_parameters' not in load(path)


@each
def test_trains_in_the_crop_that_the_model_expects(path):
    cfg = load(path)
    crops = [t.crop_size for t in cfg.train_dataloader.dataset.pipeline if 'crop_size' in t]
    if crops:
        assert crops == [cfg.model.data_preprocessor.size]


# With the auxiliary head. The paper gives B5 117 M; its own backbone and head make 121.9 M.
@pytest.mark.parametrize(
    ('arch', 'count'),
    [
        ('b0', 32.1),
        ('b1', 43.8),
        ('b2', 56.6),
        ('b3', 74.7),
        ('b4', 90.3),
        ('b5', 121.9),
        ('b6', 231.5),
    ],
)
def test_parameters_of_upernet(arch, count):
    assert millions(build(named(f'upernet_van_{arch}_ade20k'))) == pytest.approx(count, abs=0.06)


# The recipe of the release: drop path rate, images per GPU (of 8), eps of the stage norms.
@pytest.mark.parametrize(
    ('arch', 'drop_path_rate', 'batch_size'),
    [
        ('b0', 0.1, 2),
        ('b1', 0.1, 2),
        ('b2', 0.1, 2),
        ('b3', 0.3, 2),
        ('b4', 0.4, 4),
        ('b5', 0.4, 2),
        ('b6', 0.5, 2),
    ],
)
def test_recipe_of_van(arch, drop_path_rate, batch_size):
    cfg = named(f'upernet_van_{arch}_ade20k')
    assert cfg.model.backbone.drop_path_rate == drop_path_rate
    assert cfg.model.backbone.stage_norm_cfg.eps == 1e-5
    assert cfg.train_dataloader.batch_size == batch_size
    assert cfg.auto_scale_lr.base_batch_size == 8 * batch_size
    assert cfg.optim_wrapper.optimizer.lr == 6e-5
    assert cfg.train_cfg.max_iters == 160000


@pytest.mark.parametrize(('name', 'stride'), [('d8', 8), ('d16', 16)])
def test_output_stride_of_deeplab(name, stride):
    backbone = MODELS.build(named(f'deeplabv3_coordatt_mobilenetv2_{name}_ade20k').model.backbone)
    assert backbone(torch.rand(2, 3, 64, 64))[-1].shape[2:] == (64 // stride, 64 // stride)


def test_demo_has_the_classes_of_the_generated_scenes():
    cfg = load(ROOT / 'configs' / 'demo' / 'upernet_van_tiny_ade20k.py')
    assert cfg.train_dataloader.dataset.metainfo.classes == CLASSES
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == len(CLASSES)
