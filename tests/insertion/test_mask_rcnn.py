"""mmdet's own Mask R-CNN with attention in every block of its backbone."""

import shutil
from pathlib import Path

import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from mmattn.cli import smoke
from mmattn.engine.runner import Runner
from mmattn.insertion.inserted_attention import is_inserted

mmdet = pytest.importorskip('mmdet')

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
CONFIG = """
_base_ = [
    '{mmdet}/.mim/configs/_base_/models/mask-rcnn_r50_fpn.py',
    '{configs}/_base_/datasets/coco_instance.py',
    '{configs}/_base_/schedules/det_sgd_1x.py',
    '{configs}/_base_/runtime/det.py',
]
model = dict(
    _delete_=True,
    type='InsertAttention',
    host={{{{_base_.model}}}},
    sites=[
        dict(
            after=r'backbone\\.layer[1-4]\\.\\d+\\.conv2',
            attention=dict(type='CoordAtt', reduction=32),
        ),
    ],
)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(inserted_attention=dict(lr_mult=10, decay_mult=0)))
)
randomness = dict(seed=0)
"""
# Of an inserted module; the others move as well, but less than rounding shows.
LEARNING = ('.blend', 'coord_att.bn1.running_mean', 'coord_att.bn1.running_var', '.conv_h.weight')


def resnet_50():
    """Weights in torchvision's layout, under which maps neither vanish nor explode."""
    torch.manual_seed(0)
    state_dict = torchvision.models.resnet50().state_dict()
    for key, value in state_dict.items():
        if key.endswith('bn3.weight'):
            value.fill_(0.2)
        elif key.endswith('running_mean'):
            value.normal_(std=0.1)
        elif key.endswith('running_var'):
            value.uniform_(0.8, 1.2)
    return state_dict


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('mask_rcnn')
    torch.save(resnet_50(), folder / 'resnet50.pth')
    yield folder
    shutil.rmtree(folder)  # Checkpoints of hundreds of megabytes.


@pytest.fixture(scope='module')
def cfg(folder):
    path = folder / 'config.py'
    path.write_text(CONFIG.format(mmdet=Path(mmdet.__file__).parent, configs=CONFIGS))
    cfg = Config.fromfile(path)
    smoke.shrink(cfg, str(folder / 'data'))
    host = cfg.model.host
    assert (host.backbone.norm_eval, host.backbone.frozen_stages) == (True, 1)
    assert cfg.optim_wrapper.optimizer.weight_decay > 0
    # Of all the layers, these two alone are most of the time and of the disk.
    host.roi_head.bbox_head.fc_out_channels = 64
    checkpoint = str(folder / 'resnet50.pth')
    host.backbone.init_cfg = dict(type='Pretrained', checkpoint=checkpoint)
    # Any score counts: nothing has learnt to detect.
    host.test_cfg.rcnn.score_thr = 0.0
    return cfg


def build(cfg):
    init_default_scope('mmdet')
    return MODELS.build(cfg)


@pytest.fixture(scope='module')
def model(cfg):
    torch.manual_seed(0)
    model = build(cfg.model)
    model.init_weights()
    return model


def detect(model):
    from mmdet.structures import DetDataSample

    image = torch.randint(256, (3, 96, 64), generator=torch.Generator().manual_seed(0))
    meta = dict(img_shape=(96, 64), ori_shape=(96, 64), scale_factor=(1.0, 1.0))
    batch = dict(inputs=[image], data_samples=[DetDataSample(metainfo=meta)])
    model.eval()
    with torch.no_grad():
        [sample] = model.test_step(batch)
    return sample.pred_instances


def test_detects_at_first_what_the_plain_detector_detects(cfg, model):
    plain = build(cfg.model.host)
    assert type(plain).__name__ == type(model).__name__ == 'MaskRCNN'
    host = {key: value for key, value in model.state_dict().items() if not is_inserted(key)}
    plain.load_state_dict(host, strict=True)
    expected, found = detect(plain), detect(model)
    assert len(expected) == smoke.MOST_BOXES
    keys = expected.keys()  # InstanceData itself iterates over detections.
    assert all(torch.equal(found[key], expected[key]) for key in keys)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith('inserted_attention.coord_att.blend'):
                parameter.fill_(1.0)
    assert not torch.equal(detect(model).scores, expected.scores)


def test_inserted_modules_have_their_own_learning_rate_and_no_decay(cfg, model):
    model.train()  # A host in evaluation has frozen its first stage and all that is in it.
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    options = {id(p): group for group in wrapper.param_groups for p in group['params']}
    lr, decay = cfg.optim_wrapper.optimizer.lr, cfg.optim_wrapper.optimizer.weight_decay
    for key, parameter in model.named_parameters():
        if is_inserted(key):
            group = options[id(parameter)]
            assert (group['lr'], group['weight_decay']) == (10 * lr, 0), key
        elif parameter.requires_grad:
            group = options[id(parameter)]
            assert (group['lr'], group['weight_decay']) == (lr, decay), key


def train(cfg, work_dir, checkpoint=None):
    cfg = Config(cfg.to_dict())
    cfg.update(work_dir=str(work_dir), resume=checkpoint is not None, load_from=checkpoint)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=3)
    cfg.param_scheduler = []  # Steps of the warmup are lost in rounding.
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=2)
    for key in ('dataloader', 'evaluator', 'cfg'):
        cfg[f'val_{key}'] = cfg[f'test_{key}'] = None
    runner = Runner.from_cfg(cfg)
    runner.train()
    [log] = work_dir.glob('*/*.log')
    states = {
        int(path.stem.removeprefix('iter_')): torch.load(path, weights_only=False)['state_dict']
        for path in work_dir.glob('iter_*.pth')
    }
    return states, log.read_text()


@pytest.mark.slow
def test_loads_trains_saves_and_resumes(cfg, folder):
    states, log = train(cfg, folder / 'run')
    new = [key for key in states[2] if is_inserted(key) and 'num_batches' not in key]
    [line] = [line for line in log.splitlines() if 'resnet50.pth (' in line]
    assert line.endswith(
        'resnet50.pth (torchvision ResNet layout): 318/318 host tensors loaded, '
        f'{len(new)} new (all attention), 2 unused (fc.*)'
    )

    theirs = torch.load(folder / 'resnet50.pth')
    moved = {key for key in states[3] if not torch.equal(states[2][key], states[3][key])}
    for key in states[3]:
        own = key.removeprefix('backbone.')
        if key.endswith(LEARNING):
            assert key in moved, key
        elif own in theirs and ('running' in own or own.startswith(('conv1', 'bn1', 'layer1'))):
            assert torch.equal(states[3][key], theirs[own]), key
    assert sum(key.endswith(LEARNING) for key in moved) == len(LEARNING) * (3 + 4 + 6 + 3)
    assert {'backbone.layer2.0.conv2.weight', 'neck.fpn_convs.0.conv.weight'} <= moved

    again, _ = train(cfg, folder / 'again', str(folder / 'run' / 'iter_2.pth'))
    assert list(again) == [3]
    assert all(torch.equal(again[3][key], states[3][key]) for key in states[3])
