"""The tools on a config whose whole model is ``type='InsertAttention'``."""

import pytest
import torch
from mmengine.config import Config

from mmattn.cli import options
from mmattn.cli.train import find_random_backbone
from mmattn.datasets.synthetic.tiny_ade20k import make_tiny_ade20k
from mmattn.engine.build import build_runner
from mmattn.engine.config import load_config
from mmattn.insertion.inserted_attention import inserted_in, is_inserted
from mmattn.probe.build import build
from mmattn.probe.count import count_multiply_adds, count_parameters
from tests.tools.test_tools import CONFIG, ROOT

INSERTED = """
_base_ = 'plain.py'
model = dict(
    _delete_=True,
    type='InsertAttention',
    host={{_base_.model}},
    sites=[
        dict(after='backbone', attention=dict(type='CoordAtt', reduction=4)),
        dict(before='decode_head.conv_seg', attention=dict(type='SE'), start='paper'),
    ],
)
"""

IMAGE = (1, 3, 64, 96)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('inserted')
    make_tiny_ade20k(folder / 'data', train=4, val=2)
    (folder / 'plain.py').write_text(CONFIG.format(root=ROOT, data=folder / 'data'))
    (folder / 'inserted.py').write_text(INSERTED)
    return folder


def load(folder, **changes):
    one_process = {
        f'{name}_dataloader.{key}': 0
        for name in ('train', 'val', 'test')
        for key in ('num_workers', 'persistent_workers')
    }
    changes = {f'train_cfg.{key}': value for key, value in changes.items()}
    cfg = load_config(str(folder / 'inserted.py'), {**one_process, **changes})
    cfg.work_dir, cfg.launcher = str(folder / 'run'), 'none'
    return cfg


def test_trains_resumes_and_tests(folder):
    build_runner(load(folder)).train()
    cfg = load(folder, max_iters=3)
    options.resume(cfg, 'auto')
    runner = build_runner(cfg)
    runner.train()
    assert runner.iter == 3
    before, after = (
        torch.load(folder / 'run' / f'iter_{i}.pth', weights_only=False)['state_dict']
        for i in (2, 3)
    )
    moved = [key for key in after if not torch.equal(before[key], after[key])]
    assert any(is_inserted(key) for key in moved)
    cfg = load(folder)
    options.use_tta(cfg)
    cfg.load_from = str(folder / 'run' / 'iter_3.pth')
    runner = build_runner(cfg)
    assert 'mIoU' in runner.test()
    tested = runner.model.module.state_dict()
    assert all(torch.equal(tested[key], after[key]) for key in moved)


@pytest.mark.parametrize(
    ('changes', 'place'),
    [
        ({}, 'model.host.backbone'),
        ({'backbone.init_cfg': dict(type='Pretrained', checkpoint='x')}, None),
        ({'backbone.init_cfg': [dict(type='Pretrained', checkpoint='x')]}, None),
        ({'pretrained': 'x'}, None),
    ],
    ids=['random', 'init_cfg', 'list', 'pretrained'],
)
def test_knows_where_the_backbone_gets_its_weights(folder, changes, place):
    cfg = load(folder)
    cfg.merge_from_dict({f'model.host.{key}': value for key, value in changes.items()})
    assert find_random_backbone(cfg) == place


def test_counts_what_was_inserted(folder):
    configs = [Config.fromfile(folder / name) for name in ('plain.py', 'inserted.py')]
    plain, model = map(build, configs)
    inserted = sum(map(count_parameters, inserted_in(model)))
    assert inserted > 0
    assert count_parameters(model) == count_parameters(plain) + inserted
    assert count_multiply_adds(model, IMAGE) > count_multiply_adds(plain, IMAGE)
