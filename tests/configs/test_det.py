"""The detection configs: published recipes, places of the modules, what is trained how."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmattn.layers.plugins import let_train, plugins_of
from mmattn.probe.build import meta_device

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / 'det'
NAMES = sorted(path.stem for path in FOLDER.glob('*.py'))
PLAIN = Config.fromfile(FOLDER.parent / '_base_' / 'models' / 'mask_rcnn_r50_fpn.py')
# Attention and its place in a bottleneck.
PLUGINS = dict(
    se=('SE', 'after_conv3'),
    eca=('ECA', 'after_conv3'),
    cbam=('CBAM', 'after_conv3'),
    gc=('GlobalContext', 'after_conv3'),
    triplet=('TripletAttention', 'after_conv3'),
    strip_pooling=('StripPooling', 'after_conv2'),
    coordatt=('CoordAtt', 'after_conv2'),
    simam=('SimAM', 'after_conv2'),
    ms_cam=('MSCAM', 'after_conv3'),
)
SSDLITE = ('', 'se_', 'cbam_', 'coordatt_')


def load(name: str) -> Config:
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    init_default_scope(cfg.default_scope)
    return cfg


def build(cfg: dict) -> nn.Module:
    with meta_device():
        return MODELS.build(cfg)


def options_of(cfg: Config, model: nn.Module) -> dict[str, dict]:
    """Map the name of each parameter to the options that the optimizer has for it."""
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    options = {id(p): group for group in groups for p in group['params']}
    return {name: options[id(p)] for name, p in model.named_parameters()}


def test_there_is_every_config():
    expected = {
        f'{detector}_van_b{i}_fpn_1x_coco'
        for detector in ('mask_rcnn', 'retinanet')
        for i in range(4)
    }
    expected |= {
        f'{detector}_van_b2_fpn_3x_coco'
        for detector in ('mask_rcnn', 'cascade_mask_rcnn', 'atss', 'gfl')
    }
    expected |= {f'mask_rcnn_r50_{name}_fpn_1x_coco' for name in (*PLUGINS, 'aff', 'iaff')}
    expected |= {f'ssdlite320_{a}mobilenetv2_{d}' for a in SSDLITE for d in ('coco', 'voc0712')}
    expected |= {
        'mask_rcnn_aff_r50_fpn_1x_coco',
        'ssdlite320_mobilenext_coco',
        'mask2former_van_b2_panoptic_coco',
    }
    expected |= {
        f'{host}_coco'
        for host in (
            'mask_rcnn_convnext_t_insert_coordatt_fpn_3x',
            'mask_rcnn_r18_insert_coordatt_fpn_1x',
            'mask_rcnn_r50_fpn_insert_coordatt_1x',
            'mask_rcnn_r50_insert_coordatt_fpn_1x',
            'mask_rcnn_r50_pafpn_insert_coordatt_1x',
            'mask_rcnn_swin_t_insert_coordatt_fpn_1x',
            'retinanet_pvtv2_b0_insert_coordatt_fpn_1x',
            'retinanet_regnetx_800mf_insert_coordatt_fpn_1x',
            'retinanet_timm_efficientnet_b1_insert_coordatt_fpn_1x',
            'yolox_s_insert_coordatt_300e',
        )
    }
    assert expected == set(NAMES)


@pytest.mark.parametrize(
    'name', [name for name in NAMES if '_van_' in name and 'mask2' not in name]
)
def test_recipe_of_van(name):
    cfg = load(name)
    epochs, milestones = (36, [27, 33]) if '_3x_' in name else (12, [8, 11])
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.param_scheduler[-1].end == epochs
    assert cfg.param_scheduler[-1].milestones == milestones
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 1e-4, 0.05)
    assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size == 16
    backbone = cfg.model.backbone
    assert backbone.drop_path_rate == (0.3 if backbone.arch in ('b2', 'b3') else 0.1)
    assert backbone.stage_norm_cfg.eps == 1e-5
    sizes = [t.type for t in cfg.train_dataloader.dataset.pipeline]
    assert ('RandomChoice' in sizes) == ('_3x_' in name)


@pytest.mark.parametrize(
    'name', ['mask_rcnn_van_b0_fpn_1x_coco', 'mask2former_van_b2_panoptic_coco']
)
def test_norms_do_not_decay_and_all_else_of_the_backbone_does(name):
    cfg = load(name)
    model = build(cfg.model)
    options = options_of(cfg, model)
    norms = {
        f'{prefix}.{key}'
        for prefix, module in model.backbone.named_modules()
        if isinstance(module, _BatchNorm | nn.LayerNorm)
        for key, _ in module.named_parameters()
    }
    assert norms
    for key, _ in model.backbone.named_parameters():
        assert (options[f'backbone.{key}']['weight_decay'] == 0) == (key in norms), key


def test_mask2former_has_a_tenth_of_the_rate_in_its_backbone():
    cfg = load('mask2former_van_b2_panoptic_coco')
    for name, group in options_of(cfg, build(cfg.model)).items():
        assert group['lr'] == pytest.approx(1e-5 if name.startswith('backbone.') else 1e-4), name


@pytest.mark.parametrize(('name', 'expected'), PLUGINS.items())
def test_place_of_the_attention_in_resnet(name, expected):
    cfg = load(f'mask_rcnn_r50_{name}_fpn_1x_coco')
    [plugin] = cfg.model.backbone.plugins
    assert (plugin.cfg.type, plugin.position) == expected
    # From plain ImageNet weights, in the stages that are trained.
    assert plugin.cfg.start == 'identity'
    assert plugin.stages == (False, True, True, True)
    attention = MODELS.get(plugin.cfg.type)
    blocks = build(cfg.model.backbone).layer4
    assert [any(isinstance(m, attention) for m in block.modules()) for block in blocks] == [
        True
    ] * 3


@pytest.mark.parametrize('name', PLUGINS)
def test_plugins_are_trained_and_the_backbone_is_as_in_the_plain_detector(name):
    cfg, plain = load(f'mask_rcnn_r50_{name}_fpn_1x_coco'), PLAIN.model.backbone
    assert {**cfg.model.backbone, 'plugins': None} == {**plain, 'plugins': None}
    assert [hook.type for hook in cfg.custom_hooks] == ['KeepAttentionTraining']
    backbone = build(cfg.model.backbone)
    backbone.train()  # mmdet's returns None
    plugins = plugins_of(backbone)
    assert len(plugins) == 4 + 6 + 3
    let_train(plugins)
    assert all(m.training for plugin in plugins.values() for m in plugin.modules())
    frozen = {key.split('.')[0] for key, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {'conv1', 'bn1', 'layer1'}


def test_fusions_are_trained_and_the_first_stage_is_not():
    backbone = build(load('mask_rcnn_aff_r50_fpn_1x_coco').model.backbone)
    backbone.train()
    frozen = {key.split('.')[0] for key, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {'conv1', 'bn1', 'layer1'}
    for stage in (backbone.layer2, backbone.layer3, backbone.layer4):
        assert all(module.training for module in stage.modules())


@pytest.mark.parametrize('attention', SSDLITE)
@pytest.mark.parametrize(
    ('data', 'classes', 'batch', 'gpus', 'lr', 'iterations', 'focal'),
    [
        ('coco', 80, 32, 8, 0.08, 200000, True),
        ('voc0712', 20, 24, 4, 0.004, 60000, False),
    ],
)
def test_recipe_of_ssdlite(attention, data, classes, batch, gpus, lr, iterations, focal):
    cfg = load(f'ssdlite320_{attention}mobilenetv2_{data}')
    assert cfg.model.bbox_head.num_classes == classes
    assert ('loss_cls' in cfg.model.bbox_head) == focal
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr.base_batch_size == batch * gpus
    assert cfg.optim_wrapper.optimizer.lr == lr
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[-1].end == iterations


@pytest.mark.parametrize('name', [name for name in NAMES if name.startswith('ssdlite')])
def test_levels_of_ssdlite(name):
    cfg = load(name)
    model = MODELS.build(dict(cfg.model, init_cfg=None)).eval()
    with torch.no_grad():
        maps = model.extract_feat(torch.rand(1, 3, 320, 320))
        model.bbox_head(maps)
    assert [x.shape[-1] for x in maps] == [20, 10, 5, 3, 2, 1]
    assert [x.shape[1] for x in maps] == list(model.bbox_head.in_channels)
