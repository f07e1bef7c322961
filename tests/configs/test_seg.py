"""The segmentation configs: published recipes, parameters and places."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from tests.configs import leaves
from tests.configs.leaves import build_part

mmseg = pytest.importorskip('mmseg')
DATASETS = pytest.importorskip('mmseg.registry').DATASETS

NAMES = leaves.names('seg')
ATTENTIONS = ('', '-se', '-cbam', '-coordatt')


def load(name: str) -> Config:
    return leaves.load(leaves.named('seg', name))


def shapes(module: nn.Module) -> set[tuple]:
    return {(name, tuple(tensor.shape)) for name, tensor in module.state_dict().items()}


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
    # Some maps are drawn, not read.
    is_drawn = dataset.type == 'COCOCategoryDataset'
    assert [step.max_label for step in maps] == ([] if is_drawn else [largest])


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


# The recipe of the release: drop path rate and images per GPU.
@pytest.mark.parametrize(
    ('arch', 'drop_path_rate', 'images'),
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
def test_recipe_of_upernet_on_van(arch, drop_path_rate, images):
    cfg = load(f'upernet_van_{arch}_ade20k')
    assert cfg.model.backbone.drop_path_rate == drop_path_rate
    assert cfg.model.backbone.norm_cfg.type == 'SyncBN'
    assert cfg.train_dataloader.batch_size == images
    assert cfg.auto_scale_lr.base_batch_size == 8 * images
    optimizer = dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01)
    assert cfg.optim_wrapper.optimizer == optimizer
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys == {'norm': {'decay_mult': 0.0}}
    warmup, poly = cfg.param_scheduler
    assert (warmup.type, warmup.start_factor, warmup.end) == ('LinearLR', 1e-6, 1500)
    assert (poly.type, poly.power, poly.eta_min, poly.end) == ('PolyLR', 1.0, 0.0, 160000)
    assert cfg.train_cfg.max_iters == 160000
    steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps['RandomResize'].scale == (2048, 512)
    assert steps['RandomResize'].ratio_range == (0.5, 2.0)
    assert (steps['RandomCrop'].crop_size, steps['RandomCrop'].cat_max_ratio) == ((512, 512), 0.75)
    assert (cfg.model.decode_head.channels, cfg.model.auxiliary_head.channels) == (512, 256)
    assert cfg.model.auxiliary_head.loss_decode.loss_weight == 0.4


# Width of the Hamburger, drop path rate, and millions of parameters by the code of mmseg.
SEGNEXT = {
    't': (256, 0.1, 4.263),
    's': (256, 0.1, 13.933),
    'b': (512, 0.1, 27.636),
    'l': (1024, 0.3, 48.927),
}


@pytest.mark.parametrize('size', SEGNEXT)
def test_segnext_is_that_of_mmseg(size):
    width, drop_path_rate, count = SEGNEXT[size]
    path = leaves.named('seg', f'segnext_mscan_{size}_ade20k')
    cfg = leaves.load(path)
    theirs = Config.fromfile(
        Path(mmseg.__file__).parent
        / '.mim/configs/segnext'
        / f'segnext_mscan-{size}_1xb16-adamw-160k_ade20k-512x512.py'
    )
    head = cfg.model.decode_head
    assert (head.channels, head.ham_channels) == (width, width)
    for key in ('dropout_ratio', 'norm_cfg', 'align_corners', 'ham_kwargs', 'num_classes'):
        assert head[key] == theirs.model.decode_head[key], key
    assert cfg.model.backbone.drop_path_rate == drop_path_rate
    assert theirs.model.backbone.drop_path_rate == drop_path_rate
    assert cfg.optim_wrapper.optimizer == theirs.optim_wrapper.optimizer
    keys = dict(theirs.optim_wrapper.paramwise_cfg.custom_keys)
    # It names nothing in MSCAN.
    keys.pop('pos_block')
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys == keys
    assert [dict(step) for step in cfg.param_scheduler] == [
        dict(step) for step in theirs.param_scheduler
    ]
    assert cfg.train_cfg.max_iters == 160000
    # One GPU with 16 images there, eight with two here.
    assert cfg.auto_scale_lr.base_batch_size == theirs.train_dataloader.batch_size == 16
    model = leaves.build(path)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(count, abs=1e-3)
    ours = {(key.replace('mlp.dwconv.dwconv', 'mlp.dwconv'), size) for key, size in shapes(model)}
    assert ours == shapes(build_part(theirs.model))


@pytest.mark.parametrize('size', SEGNEXT)
def test_segnext_on_cityscapes_differs_as_the_release_does(size):
    cfg = load(f'segnext_mscan_{size}_cityscapes')
    ade20k = load(f'segnext_mscan_{size}_ade20k')
    assert cfg.model.backbone == ade20k.model.backbone
    assert cfg.optim_wrapper == ade20k.optim_wrapper
    bases = cfg.model.decode_head.ham_kwargs.MD_R
    assert bases == (16 if size in 'ts' else 64)
    assert cfg.model.data_preprocessor.size == (1024, 1024)
    assert cfg.model.test_cfg == dict(mode='slide', crop_size=(1024, 1024), stride=(768, 768))
    assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size == 8


# mmseg's recipes: iterations, total batch, height and width of the crops.
@pytest.mark.parametrize(
    ('data', 'iterations', 'batch', 'crop'),
    [
        ('voc12aug', 40000, 16, (512, 512)),
        ('cityscapes', 80000, 8, (512, 1024)),
        ('ade20k', 160000, 16, (512, 512)),
    ],
)
def test_recipe_of_deeplab(data, iterations, batch, crop):
    for attention in ATTENTIONS:
        cfg = load(f'deeplabv3_mobilenetv2_d8{attention}_{data}')
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
    model = leaves.build(
        leaves.named('seg', f'deeplabv3_mobilenetv2_d{stride}{attention}_voc12aug')
    )
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    assert parameters == pytest.approx(count, abs=0.001)


@pytest.mark.parametrize('name', [name for name in NAMES if '_mobilenetv2_' in name])
def test_output_stride_of_deeplab(name):
    stride = 16 if '_d16' in name else 8
    cfg = load(name).model
    maps = build_part(cfg.backbone).eval()(torch.rand(1, 3, 64, 64, device='meta'))
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
    'SE': (16, 2048),
    'CBAM': (16, 2048),
    'ECA': (16, 2048),
    'TripletAttention': (16, 2048),
    'GlobalContext': (13, 2048),
    'CoordAtt': (16, 512),
    'MSCAM': (16, 2048),
}
WITH_PLUGINS = {f'upernet_r50-{kind.lower()}_ade20k': kind for kind in PLUGINS}


def test_knows_every_config_with_plugins():
    backbones = {name: leaves.read(leaves.named('seg', name)).model.backbone for name in NAMES}
    assert {name for name, cfg in backbones.items() if 'plugins' in cfg} == set(WITH_PLUGINS)


@pytest.mark.parametrize('name', WITH_PLUGINS)
def test_attention_of_resnet_stands_in_its_place_and_plain_weights_fit(name):
    kind = WITH_PLUGINS[name]
    cfg = load(name).model.backbone
    backbone = build_part(cfg)
    found = [m for m in backbone.modules() if type(m) is MODELS.get(kind)]
    assert (len(found), found[-1].in_channels) == PLUGINS[kind]
    cfg.pop('plugins')
    assert shapes(build_part(cfg)) <= shapes(backbone)


def test_eca_has_the_kernel_sizes_of_the_released_resnet():
    backbone = build_part(load('upernet_r50-eca_ade20k').model.backbone)
    sizes = [
        {m.conv.kernel_size for m in stage.modules() if type(m) is MODELS.get('ECA')}
        for stage in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4)
    ]
    assert sizes == [{(3,)}, {(5,)}, {(5,)}, {(7,)}]


def test_aff_replaces_every_sum_of_the_pyramid():
    cfg = load('fpn-aff_r50_ade20k').model
    neck = build_part(cfg.neck)
    assert sum(type(m) is MODELS.get('AFF') for m in neck.modules()) == 3
    plain = dict(cfg.neck, type='FPN')
    plain.pop('fusion')
    assert shapes(build_part(plain)) <= shapes(neck)


STOP_SIGNS = ('fpn-addfusion_r20_coco-stopsign', 'fpn-aff_r20_coco-stopsign')


def test_stop_signs_train_as_the_paper_says():
    for name in STOP_SIGNS:
        cfg = load(name)
        assert cfg.optim_wrapper.optimizer == dict(type='Adagrad', lr=0.01)
        assert (cfg.train_cfg.type, cfg.train_cfg.max_epochs) == ('EpochBasedTrainLoop', 300)
        assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 32
        [poly] = cfg.param_scheduler
        assert (poly.type, poly.end, poly.convert_to_iter_based) == ('PolyLR', 300, True)
        assert cfg.model.decode_head.loss_decode.type == 'CrossEntropyLoss'
        assert cfg.default_hooks.checkpoint.by_epoch and cfg.log_processor.by_epoch


def test_the_pyramid_on_resnet_20_fuses_by_the_paper_and_nothing_else_does():
    adding, fusing = (load(name).to_dict() for name in STOP_SIGNS)
    assert adding['model']['neck'].pop('fusion') == dict(type='AddFusion')
    assert fusing['model']['neck'].pop('fusion')['reduction'] == 4
    assert adding.pop('published') != fusing.pop('published') and adding == fusing
    plain, fusing = (leaves.build(leaves.named('seg', name)) for name in STOP_SIGNS)
    assert shapes(plain) < shapes(fusing)
    count = [sum(p.numel() for p in model.parameters()) for model in (plain, fusing)]
    # A branch of AFF has 1x1 convolutions with a bias, from 64 to 16 and back, each with a norm.
    branch = (64 * 16 + 16) + 2 * 16 + (16 * 64 + 64) + 2 * 64
    assert count[1] - count[0] == 2 * 2 * branch
    fusions = [m for m in fusing.modules() if type(m) is MODELS.get('AFF')]
    # Without the factor of the release.
    assert [m.scale for m in fusions] == [1, 1]


def test_the_resnet_of_20_layers_has_the_widths_and_the_blocks_of_the_one_for_cifar():
    backbone = leaves.build(leaves.named('seg', STOP_SIGNS[0])).backbone
    convs = [m for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    # With the classifier that it does not have here, twenty; the shortcuts do not count.
    assert len([c for c in convs if c.kernel_size == (3, 3)]) == 19
    # 0.27 M are published with a classifier of 10 classes and shortcuts without weights.
    weights = sum(c.weight.numel() for c in convs if c.kernel_size == (3, 3))
    norms = 2 * (16 * 6 + 16 + 32 * 5 + 32 + 64 * 5 + 64)
    shortcuts = 16 * 32 + 32 * 64
    assert weights == 432 + 6 * 2304 + 4608 + 5 * 9216 + 18432 + 5 * 36864
    assert sum(p.numel() for p in backbone.parameters()) == weights + shortcuts + norms


def test_aff_resnet_takes_plain_weights_and_fuses_in_the_last_two_stages():
    backbone = build_part(load('upernet_r50-aff_ade20k').model.backbone)
    assert sum(type(m) is MODELS.get('AFF') for m in backbone.modules()) == 9
    plain = build_part(dict(type='ResNetV1c', depth=50))
    assert shapes(plain) <= shapes(backbone)
