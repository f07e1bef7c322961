"""The segmentation configs: published recipes, parameters and places."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmseg.registry import DATASETS
from torch import nn

from mmattn.probe.build import meta_device

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / 'seg'
NAMES = sorted(path.stem for path in FOLDER.glob('*.py'))
ATTENTIONS = ('', 'se_', 'cbam_', 'coordatt_')


def load(name: str) -> Config:
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    init_default_scope(cfg.default_scope)
    return cfg


def build(cfg: dict) -> nn.Module:
    with meta_device():
        return MODELS.build(cfg)


def shapes(module: nn.Module) -> set[tuple]:
    return {(name, tuple(tensor.shape)) for name, tensor in module.state_dict().items()}


def test_there_is_every_config():
    expected = {f'fpn_van_b{i}_ade20k' for i in range(5)}
    expected |= {f'upernet_van_b{i}_ade20k' for i in range(7)}
    expected |= {f'upernet_van_b{i}_in22k_ade20k' for i in (4, 5, 6)}
    expected |= {'upernet_van_b6_fsdp_ade20k'}
    expected |= {'fpn_aff_r50_ade20k', 'upernet_aff_r50_ade20k'}
    expected |= {f'upernet_r50_{name}_ade20k' for name in PLUGINS}
    expected |= {
        f'{host}_ade20k'
        for host in (
            'deeplabv3_insert_coordatt_r50_d8',
            'fcn_hr18_insert_coordatt',
            'upernet_convnext_t_insert_coordatt',
            'upernet_insert_coordatt_r50',
            'upernet_swin_t_insert_coordatt',
        )
    }
    for attention in ATTENTIONS:
        expected |= {
            f'deeplabv3_{attention}mobilenetv2_{data}'
            for data in ('d8_cityscapes', 'd8_ade20k', 'd16_ade20k', 'd8_voc12aug', 'd16_voc12aug')
        }
    assert expected == set(NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_has_the_classes_of_its_data_set(name):
    cfg = load(name)
    dataset = cfg.val_dataloader.dataset
    classes = len(DATASETS.get(dataset.type).METAINFO['classes'])
    head = cfg.model.decode_head
    assert head.get('host', head).num_classes == classes
    if cfg.model.get('auxiliary_head'):
        assert cfg.model.auxiliary_head.num_classes == classes
    # Label 0 of ADE20K is none of its classes.
    largest = classes if dataset.type == 'ADE20KDataset' else classes - 1
    maps = [step for step in dataset.pipeline if step.type == 'LoadSegMap']
    assert [step.max_label for step in maps] == [largest]


# The recipe of the release: drop path rate.
@pytest.mark.parametrize(
    ('arch', 'drop_path_rate'), [('b0', 0.2), ('b1', 0.2), ('b2', 0.2), ('b3', 0.3), ('b4', 0.4)]
)
def test_recipe_of_semantic_fpn(arch, drop_path_rate):
    cfg = load(f'fpn_van_{arch}_ade20k')
    assert cfg.model.backbone.drop_path_rate == drop_path_rate
    assert cfg.model.backbone.stage_norm_cfg.eps == 1e-5
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=2e-4, weight_decay=1e-4)
    [poly] = cfg.param_scheduler
    assert (poly.type, poly.power, poly.begin) == ('PolyLR', 0.9, 0)
    assert cfg.train_cfg.max_iters == 40000
    assert cfg.train_dataloader.batch_size == 4
    assert cfg.auto_scale_lr.base_batch_size == 32


# mmseg's recipes: iterations, total batch, height and width of the crops.
@pytest.mark.parametrize(
    ('data', 'iterations', 'batch', 'crop'),
    [
        ('d8_voc12aug', 40000, 16, (512, 512)),
        ('d8_cityscapes', 80000, 8, (512, 1024)),
        ('d8_ade20k', 160000, 16, (512, 512)),
    ],
)
def test_recipe_of_deeplab(data, iterations, batch, crop):
    for attention in ATTENTIONS:
        cfg = load(f'deeplabv3_{attention}mobilenetv2_{data}')
        assert cfg.optim_wrapper.optimizer.lr == 0.01
        assert cfg.train_cfg.max_iters == cfg.param_scheduler[-1].end == iterations
        assert cfg.auto_scale_lr.base_batch_size == 4 * cfg.train_dataloader.batch_size == batch
        assert cfg.model.data_preprocessor.size == crop


# Millions, VOC: the published 4.5, 4.9, 4.9 and 5.0.
@pytest.mark.parametrize(
    ('attention', 'count'), list(zip(ATTENTIONS, (4.524, 4.907, 4.908, 4.969), strict=True))
)
@pytest.mark.parametrize('stride', [8, 16])
def test_parameters_of_deeplab(attention, count, stride):
    model = build(load(f'deeplabv3_{attention}mobilenetv2_d{stride}_voc12aug').model)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    assert parameters == pytest.approx(count, abs=0.001)


@pytest.mark.parametrize('name', [name for name in NAMES if '_mobilenetv2_' in name])
def test_output_stride_of_deeplab(name):
    stride = 16 if '_d16_' in name else 8
    cfg = load(name).model
    maps = build(cfg.backbone).eval()(torch.rand(1, 3, 64, 64, device='meta'))
    assert maps[-1].shape[2:] == (64 // stride, 64 // stride)
    assert max(cfg.decode_head.dilations) == 288 // stride


def test_voc_trains_on_the_labels_of_sbd_too_and_is_tested_without():
    cfg = load('deeplabv3_mobilenetv2_d8_voc12aug')
    parts = [
        (part.ann_file, part.data_prefix.seg_map_path)
        for part in cfg.train_dataloader.dataset.datasets
    ]
    assert parts == [
        ('ImageSets/Segmentation/train.txt', 'SegmentationClass'),
        ('ImageSets/Segmentation/aug.txt', 'SegmentationClassAug'),
    ]
    assert cfg.test_dataloader.dataset.ann_file == 'ImageSets/Segmentation/val.txt'


# Modules in the 3, 4, 6 and 3 blocks of the four stages, and the channels they see in the last.
PLUGINS = {
    'se': ('SE', 16, 2048),
    'cbam': ('CBAM', 16, 2048),
    'eca': ('ECA', 16, 2048),
    'triplet': ('TripletAttention', 16, 2048),
    'gc': ('GlobalContext', 13, 2048),
    'strip_pooling': ('StripPooling', 3, 512),
    'coordatt': ('CoordAtt', 16, 512),
    'simam': ('SimAM', 16, 512),
    'ms_cam': ('MSCAM', 16, 2048),
}


@pytest.mark.parametrize('name', PLUGINS)
def test_attention_of_resnet_stands_in_its_place_and_plain_weights_fit(name):
    kind, count, channels = PLUGINS[name]
    cfg = load(f'upernet_r50_{name}_ade20k').model.backbone
    backbone = build(cfg)
    found = [m for m in backbone.modules() if type(m) is MODELS.get(kind)]
    assert len(found) == count
    assert found[-1].in_channels == channels
    cfg.pop('plugins')
    assert shapes(build(cfg)) <= shapes(backbone)


def test_aff_replaces_every_sum_of_the_pyramid():
    cfg = load('fpn_aff_r50_ade20k').model
    neck = build(cfg.neck)
    assert sum(type(m) is MODELS.get('AFF') for m in neck.modules()) == 3
    plain = dict(cfg.neck, type='FPN')
    plain.pop('fusion')
    assert shapes(build(plain)) <= shapes(neck)


def test_aff_resnet_takes_plain_weights_and_fuses_in_the_last_two_stages():
    backbone = build(load('upernet_aff_r50_ade20k').model.backbone)
    assert sum(type(m) is MODELS.get('AFF') for m in backbone.modules()) == 9
    plain = build(dict(type='ResNetV1c', depth=50))
    assert shapes(plain) <= shapes(backbone)
