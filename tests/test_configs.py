"""Every shipped config: a new file is tested by existing."""

import ast
import copy
import functools
import importlib.util
import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, TRANSFORMS, init_default_scope
from mmengine.runner import Runner

from mmattn.datasets.synthetic.tiny_ade20k import CLASSES
from mmattn.probe.build import meta_device

ROOT = Path(__file__).resolve().parents[1]
ALL_PATHS = sorted(p for p in (ROOT / 'configs').rglob('*.py') if '_base_' not in p.parts)
PATHS = [p for p in ALL_PATHS if p.parent.name != 'pose' or importlib.util.find_spec('mmpose')]
each = pytest.mark.parametrize('path', PATHS, ids=lambda p: p.stem)
each_with_figures = pytest.mark.parametrize(
    'path', [p for p in ALL_PATHS if 'published = ' in p.read_text()], ids=lambda p: p.stem
)


read = functools.cache(Config.fromfile)


def load(path):
    cfg = copy.deepcopy(read(path))
    init_default_scope(cfg.default_scope)
    return cfg


@functools.cache
def build(path):
    cfg = load(path)
    with meta_device():
        return MODELS.build(cfg.model)


def named(folder, name):
    return ROOT / 'configs' / folder / f'{name}.py'


def datasets(cfg):
    if 'dataset' in cfg:
        return datasets(cfg.dataset)
    return [d for inner in cfg.datasets for d in datasets(inner)] if 'datasets' in cfg else [cfg]


def header(path):
    lines = path.read_text().splitlines()
    comment = [line for line in lines[: lines.index('')] if line.startswith('#')]
    return ' '.join(line.removeprefix('#').strip() for line in comment)


def numbers(figures):
    for value in figures.values():
        if isinstance(value, dict):
            yield from numbers(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield value


@pytest.mark.parametrize('path', ALL_PATHS, ids=lambda p: p.stem)
def test_inherits_from_bases_alone(path):
    if path.parent.name == 'demo':
        return
    [bases] = [
        ast.literal_eval(node.value)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and node.targets[0].id == '_base_'
    ]
    assert all(base.startswith('../_base_/') for base in bases)


@each
def test_builds(path):
    assert sum(p.numel() for p in build(path).parameters()) > 0


@pytest.mark.parametrize(
    'path', [p for p in PATHS if p.parent.name in ('seg', 'demo')], ids=lambda p: p.stem
)
def test_heads_fit_the_backbone(path):
    model = build(path)
    if model.with_neck:
        channels_in = [model.neck.out_channels] * model.neck.num_outs
    else:
        channels_in = getattr(model.backbone, 'out_channels', None)
    if channels_in is None:  # mmseg's ResNet does not say; the smoke run does
        return
    for head in (model.decode_head, getattr(model, 'auxiliary_head', None)):
        if head is None or (model.with_neck and head is not model.decode_head):
            continue
        indices = head.in_index if isinstance(head.in_index, list | tuple) else [head.in_index]
        channels = head.in_channels
        channels = channels if isinstance(channels, list | tuple) else [channels]
        assert [channels_in[i] for i in indices] == list(channels)


@each
def test_every_decay_key_names_something(path):
    names = [name for name, _ in build(path).named_parameters()]
    for key in load(path).optim_wrapper.get('paramwise_cfg', {}).get('custom_keys', {}):
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


@each
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
    size = cfg.model.get('data_preprocessor', {}).get('size')
    if size:
        for dataset in datasets(cfg.train_dataloader.dataset):
            crops = [t.crop_size for t in dataset.pipeline if 'crop_size' in t]
            assert crops in ([size], [])


@each_with_figures
def test_the_header_gives_the_published_figures(path):
    text = header(path)
    said = {float(number) for number in re.findall(r'\d+(?:\.\d+)?', text)}
    published = read(path).published
    assert said.issuperset(
        numbers({k: published.get(k) for k in ('parameters', 'flops', 'metrics')})
    )
    assert 'measured here' in text


@each_with_figures
def test_parameters_are_the_published_or_the_difference_is_explained(path):
    published = read(path).published
    if path not in PATHS or 'parameters' not in published:
        return
    theirs = published.parameters
    ours = sum(p.numel() for p in build(path).parameters()) / 1e6
    decimals = len(f'{theirs:g}'.partition('.')[2])
    agrees = abs(ours - theirs) <= max(0.01 * theirs, 0.5001 * 10**-decimals)
    assert agrees != ('difference' in published), f'{ours:.3f} M here, {theirs} M published'


def test_demo_has_the_classes_of_the_generated_scenes():
    cfg = load(named('demo', 'upernet_van_tiny_ade20k'))
    assert cfg.train_dataloader.dataset.metainfo.classes == CLASSES
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == len(CLASSES)
