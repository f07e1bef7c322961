"""Every shipped config: a new file is tested by existing."""

import copy
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS, TRANSFORMS, DefaultScope
from mmengine.runner import Runner
from torch import nn

from mmattn.datasets.exchange import read_as_validation
from mmattn.datasets.roots import data_roots, move_data
from mmattn.datasets.synthetic.tiny_ade20k import CLASSES
from mmattn.probe.class_count import (
    faults_of_class_weights,
    faults_of_out_channels,
    heads_in,
    wrong_counts,
)
from mmattn.probe.count import published_results
from mmattn.probe.schedule_check import TRIAL, remarks_on_schedule, unfinished_warmup
from tests.configs.leaves import (
    BUILT,
    LARGE,
    LEAVES,
    LISTED,
    SIBLINGS,
    build,
    datasets,
    load,
    named,
    read,
)

each = pytest.mark.parametrize('path', BUILT, ids=lambda p: p.stem)


@pytest.mark.parametrize(
    'path', [p for p in BUILT if p.parent.name in ('seg', 'demo')], ids=lambda p: p.stem
)
def test_heads_fit_the_maps_of_the_backbone(path):
    model = build(path).eval()
    maps = model.extract_feat(torch.rand(1, 3, 64, 64, device='meta'))
    heads = [getattr(model, name, None) for name in ('decode_head', 'auxiliary_head')]
    for head in filter(None, heads):
        indices = head.in_index if isinstance(head.in_index, list | tuple) else [head.in_index]
        channels = head.in_channels
        channels = channels if isinstance(channels, list | tuple) else [channels]
        # A head that concatenates what it takes knows the sum.
        given = [maps[i].shape[1] for i in indices]
        assert list(channels) in (given, [sum(given)])


@each
def test_builds_and_every_decay_key_names_something(path):
    names = [name for name, _ in build(path).named_parameters()]
    for key in read(path).optim_wrapper.get('paramwise_cfg', {}).get('custom_keys', {}):
        assert any(key in name for name in names), key


@each
def test_pipelines_build(path):
    cfg = load(path)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for dataset in datasets(loader.dataset):
            for transform in dataset.pipeline:
                TRANSFORMS.build(transform)
    for transform in cfg.get('tta_pipeline') or []:
        TRANSFORMS.build(transform)


class Toy(BaseModel):
    def forward(self, *args, **kwargs):
        raise RuntimeError('only built')


@pytest.mark.parametrize(
    'path',
    # PyTorch's optimizers take time that grows with the square of the number of weights.
    [pytest.param(p, marks=pytest.mark.slow) if p in LARGE + SIBLINGS else p for p in BUILT],
    ids=lambda p: p.stem,
)
def test_the_runner_takes_every_hook_and_schedule(path, tmp_path, monkeypatch):
    """All but the data, which is not there."""
    # It asks the compilers for their versions.
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    cfg = load(path)
    cfg.work_dir, cfg.log_level = str(tmp_path), 'ERROR'
    cfg.model = dict(type=Toy)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[key] = dict(batch_size=1, dataset=[0], sampler=dict(type='DefaultSampler'))
    for key in ('val_evaluator', 'test_evaluator'):
        cfg[key] = []
    runner = Runner.from_cfg(cfg)
    runner.model = build(path)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    loop = runner.train_loop
    schedulers = runner.build_param_scheduler(runner.param_schedulers)
    assert max(s.end for s in schedulers) >= min(loop.max_iters, loop.max_epochs)


def test_says_for_which_batch_the_learning_rate_is():
    for path in LISTED:
        cfg = read(path)
        assert cfg.auto_scale_lr.base_batch_size % cfg.train_dataloader.batch_size == 0, path
        assert not cfg.auto_scale_lr.enable, path


def test_never_looks_for_unused_parameters():
    assert not [path for path in LEAVES if 'find_unused_parameters' in read(path)]


def test_trains_in_the_crop_that_the_model_expects():
    for path in LEAVES:
        cfg = read(path)
        size = cfg.model.get('data_preprocessor', {}).get('size')
        for dataset in datasets(cfg.train_dataloader.dataset) if size else []:
            crops = [t.crop_size for t in dataset.pipeline if 'crop_size' in t]
            assert crops in ([size], []), path


# Whose images come as arrays, which no transform loads.
ARRAYS = 'CIFAR100Superclasses'


def test_every_config_names_what_inferencers_look_for():
    for path in LEAVES:
        cfg = read(path)
        if cfg.test_dataloader.dataset.type == ARRAYS:
            assert cfg.visualizer.name == 'visualizer', path
            continue
        pipeline = cfg.test_dataloader.dataset.pipeline
        kind = 'mmpose.LoadImage' if path.parent.name == 'pose' else 'LoadImageFromFile'
        # The decoder of LoadImage, so that the pixels are those of the training.
        assert pipeline[0] == dict(type=kind, imdecode_backend='pillow'), path
        assert 'LoadSegMap' not in [step.type for step in pipeline], path
        # Where mmseg looks.
        assert cfg.default_scope != 'mmseg' or cfg.test_pipeline == pipeline, path
        # Stock browse_dataset.py builds it as it is.
        assert cfg.visualizer.name == 'visualizer', path


def test_every_config_is_tested_as_it_is_validated():
    for path in BUILT:
        parts = ('default_scope', 'val_dataloader', 'test_dataloader')
        cfg = Config({key: copy.deepcopy(read(path)[key]) for key in parts})
        if cfg.test_dataloader.dataset.type == ARRAYS:
            assert cfg.test_dataloader == cfg.val_dataloader, path
            continue
        assert read_as_validation(cfg).startswith('test_dataloader reads with LoadImage'), path
        [step] = [s for s in cfg.test_dataloader.dataset.pipeline if s.type == 'LoadImage']
        # Its default.
        assert step.pop('imdecode_backend') == 'pillow', path
        assert cfg.test_dataloader == cfg.val_dataloader, path


def test_data_root_leaves_nothing_behind():
    for path in LEAVES:
        cfg = read(path)
        loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
        [root] = data_roots(cfg, loaders)
        moved = Config({key: cfg[key] for key in (*loaders, 'val_evaluator', 'test_evaluator')})
        move_data(moved, root, '/elsewhere')
        assert root.rstrip('/') not in str(moved.to_dict()), path
        for loader in loaders:
            for dataset in datasets(moved[loader].dataset):
                assert dataset.data_root.rstrip('/') == '/elsewhere', path


def test_nothing_is_refused_or_warned_of_before_the_first_iteration():
    for path in BUILT:
        cfg = read(path)
        assert list(remarks_on_schedule(cfg)) == [], path
        # Epochs as short as a trial.
        assert unfinished_warmup(cfg, TRIAL) is None, path
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            faults = [*faults_of_class_weights(cfg.model), *faults_of_out_channels(cfg.model)]
            assert faults == [], path
            for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
                for dataset in datasets(cfg[loader].dataset):
                    with DATASETS.switch_scope_and_registry(None) as registry:
                        own = registry.get(dataset.type).METAINFO
                    metainfo = {**own, **dataset.get('metainfo', {})}
                    # mmpretrain does not name the classes of ImageNet21k.
                    if path.parent.name != 'pose' and dataset.type != 'ImageNet21k':
                        assert any(heads_in(cfg.model)) and metainfo['classes'], path
                        assert wrong_counts(cfg.model, metainfo) == [], path


def test_se_in_mobilenetv2_is_that_of_the_authors():
    """Linear with bias, ReLU6, linear with bias: what they compare coordinate attention with."""
    paths = [path for path in LISTED if 'mobilenetv2' in path.stem and '-se' in path.stem]
    assert len(paths) == 11
    for path in paths:
        attention = MODELS.build(dict(read(path).model.backbone.attention, in_channels=960))
        reduce, act, expand = attention.fc
        assert isinstance(act, nn.ReLU6), path
        assert reduce.out_features == (80 if '-r12' in path.stem else 40), path
        assert reduce.bias is not None and expand.bias is not None, path


UNITS = {
    'parameters': 'M( parameters)?',
    'flops': 'G( multiply-adds)?',
    'top1': 'top-1',
    'bbox_mAP': 'box AP',
    'segm_mAP': 'mask AP',
    'mIoU_ms': 'mIoU',
}


def test_no_header_repeats_a_published_figure():
    for path in LISTED:
        comment = path.read_text().partition('_base_ =')[0].replace('\n#', '')
        for result in published_results(read(path)):
            for name, figure in {**result, **result.get('metrics', {})}.items():
                if isinstance(figure, int | float) and not isinstance(figure, bool):
                    said = rf'\b{re.escape(str(figure))} {UNITS.get(name, name)}\b'
                    assert not re.search(said, comment), (path, said)


@pytest.mark.parametrize(
    'path', [p for p in BUILT if 'parameters=' in p.read_text()], ids=lambda p: p.stem
)
def test_parameters_are_the_published_or_the_difference_is_explained(path):
    [published] = [found for found in published_results(read(path)) if 'parameters' in found]
    theirs = published.parameters
    ours = sum(p.numel() for p in build(path).parameters()) / 1e6
    decimals = len(f'{theirs:g}'.partition('.')[2])
    agrees = abs(ours - theirs) <= max(0.01 * theirs, 0.5001 * 10**-decimals)
    assert agrees != ('difference' in published), f'{ours:.3f} M here, {theirs} M published'


def test_demo_has_the_classes_of_the_generated_scenes():
    cfg = read(named('demo', 'upernet_van_tiny_ade20k'))
    assert cfg.train_dataloader.dataset.metainfo.classes == CLASSES
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == len(CLASSES)
