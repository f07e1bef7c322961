"""The name of a config is read in one way, and says what the config holds."""

import re

import pytest
from mmengine.config import Config

from mmattn import list_modules
from mmattn.datasets.synthetic.tiny_dota import DOTA_CLASSES
from tests.configs.leaves import CONFIGS, FORMER, LEAVES, own, read

# What a word stands for: dotted keys of the config, and the value that each has or may have.
MODELS = {
    'atss': {'model.type': 'ATSS'},
    'cascade_mask_rcnn': {'model.type': 'CascadeRCNN'},
    'deeplabv3': {'model.decode_head.type': ['ASPPHead', 'DeepLabV3Head']},
    'faster_rcnn': {'model.type': 'FasterRCNN'},
    'fcn': {'model.decode_head.type': 'FCNHead'},
    'fpn': {'model.decode_head.type': 'FPNHead'},
    'gfl': {'model.type': 'GFL'},
    'mask2former': {'model.type': 'Mask2Former'},
    'mask_rcnn': {'model.type': 'MaskRCNN'},
    'retinanet': {'model.type': 'RetinaNet'},
    'segnext': {'model.decode_head.type': 'LightHamHead'},
    'simple_baseline': {'model.type': 'TopdownPoseEstimator', 'model.head.type': 'HeatmapHead'},
    'ssdlite320': {'model.bbox_head.type': 'SSDLiteHead', 'model.train_cfg.debug': False},
    'upernet': {'model.decode_head.type': 'UPerHead'},
    **{
        f'rtmdet_{size}{levels}': {
            'model.type': 'RTMDet',
            'model.backbone.widen_factor': width,
            'model.bbox_head.anchor_generator.strides': strides,
        }
        for size, width in (('tiny', 0.375), ('s', 0.5))
        for levels, strides in (('', [8, 16, 32]), ('_p2', [4, 8, 16, 32]))
    },
    **{
        f'yolox_s{levels}': {
            'model.type': 'YOLOX',
            'model.backbone.widen_factor': 0.5,
            'model.bbox_head.strides': strides,
        }
        for levels, strides in (('', None), ('_p2', (4, 8, 16, 32)))
    },
}
WIDTHS = {'_w035': 0.35, '_w050': 0.5, '_w075': 0.75, '': None, '_w140': 1.4}
# Strides of the stages of MobileNetV2, or of ResNet, by the output stride.
STRIDES = {
    '': [None],
    '_d8': [(1, 2, 2, 1, 1, 1, 1), (1, 2, 1, 1)],
    '_d16': [(1, 2, 2, 2, 1, 1, 1)],
}
TIMM = ['TIMMBackbone', 'mmpretrain.TIMMBackbone']
RESNET = ['ResNet', 'ResNetV1c', 'AFFResNet']
BACKBONES = {
    name: {f'model.backbone.{key}': value for key, value in facts.items()}
    for name, facts in {
        **{f'van_b{i}': dict(type=['VAN', 'mmattn.VAN'], arch=f'b{i}') for i in range(7)},
        **{f'mscan_{i}': dict(type=['MSCAN', 'mmattn.MSCAN'], arch=i) for i in 'tsbl'},
        **{f'lsknet_{i}': dict(type='LSKNet', arch=i) for i in 'ts'},
        'van_tiny': dict(type='VAN', drop_path_rate=0.0),
        **{
            f'mobilenetv2{width}{stride}': dict(
                type='CoordAttMobileNetV2', widen_factor=factor, strides=strides
            )
            for width, factor in WIDTHS.items()
            for stride, strides in STRIDES.items()
        },
        **{
            f'mobilenext{width}': dict(type='MobileNeXt', widen_factor=factor)
            for width, factor in WIDTHS.items()
        },
        **{
            f'r{depth}{stride}': dict(type=RESNET, depth=depth, strides=strides, groups=None)
            for depth in (18, 50)
            for stride, strides in STRIDES.items()
        },
        'resnext50_32x4d': dict(type='AFFResNet', depth=50, groups=32, base_width=4),
        'r20': dict(type='CIFARAFFResNet', num_blocks=3),
        'r26': dict(type='CIFARAFFResNet', num_blocks=4),
        'r32': dict(type='CIFARAFFResNet', num_blocks=5),
        'resnext38_32x4d': dict(type='CIFARAFFResNeXt', num_blocks=4),
        'inception_b4': dict(type='AFFInception', num_blocks=4),
        'efficientnet_b0': dict(type='CoordAttEfficientNet', arch='b0'),
        'timm_efficientnet_b1': dict(type=TIMM, model_name='efficientnet_b1'),
        'timm_convnext_t_dinov3': dict(type=TIMM, model_name='convnext_tiny.dinov3_lvd1689m'),
        'timm_vit_s16_dinov3': dict(type=TIMM, model_name='vit_small_patch16_dinov3.lvd1689m'),
        'convnext_t': dict(type='mmpretrain.ConvNeXt', arch='tiny'),
        'hr18': {'type': 'HRNet', 'extra.stage2.num_channels': (18, 36)},
        'pvtv2_b0': dict(type='PyramidVisionTransformerV2', embed_dims=32),
        'regnetx_800mf': dict(type='RegNet', arch='regnetx_800mf'),
        'swin_t': dict(type='SwinTransformer', embed_dims=96, depths=[2, 2, 6, 2]),
    }.items()
}
# The pyramid that Semantic FPN has anyway is not named.
NECKS = {
    'fpn': {'model.neck.type': ['FPN', 'AFFFPN'], 'model.decode_head.type': None},
    'pafpn': {'model.neck.type': 'PAFPN'},
}
# Where a data set and a model have more than one.
DETECTION = {'default_scope': 'mmdet'}
RECIPES = {
    '1x': DETECTION | {'train_cfg.max_epochs': 12},
    '3x': DETECTION | {'train_cfg.max_epochs': 36},
    '300e': DETECTION | {'train_cfg.max_epochs': 300},
    'fsdp': {'runner_type': 'ShardedRunner'},
    'pre22k': {'train_cfg.max_epochs': 30, 'train_dataloader.batch_size': 32},
    'pre22k-384': {'train_cfg.max_epochs': 30, 'train_dataloader.batch_size': 16},
}
DATASET = 'val_dataloader.dataset.type'
CLASSES = 'val_dataloader.dataset.metainfo.classes'
DATA = {
    'ade20k': {DATASET: 'ADE20KDataset'},
    'cifar100-20': {DATASET: 'CIFAR100Superclasses', 'model.head.num_classes': 20},
    'cityscapes': {DATASET: 'CityscapesDataset'},
    'coco': {DATASET: 'CocoDataset', 'codec': None, CLASSES: None},
    'coco-256x192': {DATASET: 'CocoDataset', 'codec.input_size': (192, 256)},
    'coco-384x288': {DATASET: 'CocoDataset', 'codec.input_size': (288, 384)},
    'coco-panoptic': {DATASET: 'CocoPanopticDataset'},
    'coco-stopsign': {DATASET: 'COCOCategoryDataset', 'model.decode_head.num_classes': 2},
    'cub': {DATASET: 'CUB', 'model.head.num_classes': 200},
    'dota': {DATASET: 'CocoDataset', CLASSES: DOTA_CLASSES},
    'in1k': {DATASET: 'ImageNet', 'model.head.num_classes': 1000},
    'in22k': {DATASET: 'ImageNet21k', 'model.head.num_classes': 21841},
    'voc0712': {DATASET: 'VOCDataset'},
    'voc12aug': {DATASET: 'PascalVOCDataset'},
}
VOCABULARIES = dict(model=MODELS, backbone=BACKBONES, neck=NECKS, recipe=RECIPES, data=DATA)
# The registered names in lower case, and what may follow them: the facts of their own config.
ATTENTION = {
    kind.lower(): kind
    for room in ('attention', 'fusion', 'upsampling')
    for kind in list_modules(room)
}
# What a plain pyramid does, which is named where nothing else is.
PLAIN = 'AddFusion'
OPTIONS = {
    **{f'r{reduction}': {'reduction': reduction} for reduction in (12, 16)},
    'h': {'direction': 'h'},
    'w': {'direction': 'w'},
    # By InsertAttention, into a part that has no place for it.
    'insert': {'inserted': True},
    # Into the neck of a model, too, which else has it in its backbone.
    'neck': {'in_neck': True},
}
# The places of these in a ResNet are out of reach of plugins: they are always inserted.
INSERTED = ('simam', 'strippooling')
# What follows a word: its attention and the options of that one, then the next word or the end.
ADDED = re.compile(rf'(?:-({"|".join(ATTENTION)})((?:-(?:{"|".join(OPTIONS)}))*))?(?:_|$)')
WITH_ATTENTION = ('model', 'backbone', 'neck')


def readings(name: str, parts: tuple = tuple(VOCABULARIES)) -> list[dict[str, tuple]]:
    """Read a name in all ways: the word, the attention and its options of each part."""
    if not parts:
        return [] if name else [{}]
    part, *rest = parts
    found = readings(name, rest)  # without this part
    for word in VOCABULARIES[part]:
        added = ADDED.match(name, len(word)) if name.startswith(word) else None
        if added and (part in WITH_ATTENTION or not added[1]):
            options = (added[2] or '').split('-')[1:]
            found += [
                {part: (word, added[1], options), **after}
                for after in readings(name[added.end() :], rest)
            ]
    return found


def value(cfg: dict, key: str) -> object:
    """Look up a dotted key; inside InsertAttention it is the host that counts."""
    for step in key.split('.'):
        cfg = cfg.get('host', cfg).get(step) if isinstance(cfg, dict) else None
    return cfg


def hold(facts: dict, cfg: dict) -> bool:
    return all(
        value(cfg, key) in (wanted if isinstance(wanted, list) else [wanted])
        or value(cfg, key) == wanted
        for key, wanted in facts.items()
    )


def attention_in(cfg: object, inserted: bool = False, site: str = '') -> list[dict]:
    """Find the modules for attention and fusion in a part of a config."""
    if isinstance(cfg, list | tuple):
        return [found for item in cfg for found in attention_in(item, inserted, site)]
    if not isinstance(cfg, dict):
        return []
    if cfg.get('type') in ATTENTION.values():
        return [{**cfg, 'inserted': inserted, 'in_neck': r'neck\.' in site}]
    inserted = inserted or cfg.get('type') == 'InsertAttention'
    site = cfg.get('after', site)
    return [found for item in cfg.values() for found in attention_in(item, inserted, site)]


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_name_says_what_the_config_holds(path):
    cfg = read(path).to_dict()
    [name] = readings(path.stem)
    for part, vocabulary in VOCABULARIES.items():
        if part == 'backbone' and 'backbone' not in name:
            assert name['model'][0].startswith(('yolox', 'rtmdet'))  # have one of their own
            continue
        said = [name[part][0]] if part in name else []
        assert [word for word, facts in vocabulary.items() if hold(facts, cfg)] == said, part
    # A part that is not named belongs to the model.
    model = cfg['model']
    parts = {part: model[part] for part in ('backbone', 'neck') if part in name}
    parts['model'] = {key: part for key, part in model.items() if key not in parts}
    for part, content in parts.items():
        _, kind, options = name.get(part, (None, None, []))
        found = attention_in(content)
        found = [m for m in found if m['type'] != PLAIN] or found
        assert {module['type'] for module in found} == ({ATTENTION[kind]} if kind else set()), part
        for module in found:
            assert all(hold(OPTIONS[option], module) for option in options)
            assert module['inserted'] == ('insert' in options or kind in INSERTED)
            assert module['in_neck'] == ('neck' in options)
            assert module.get('direction') in (None, *options)


def test_what_a_backbone_of_ours_puts_in_by_default_is_said():
    for path in LEAVES:
        backbone = read(path).model.backbone
        if backbone.type.startswith('CoordAtt'):
            assert 'attention' in backbone, path


def test_former_names_only_inherit_from_one_config_and_name_it():
    for path in FORMER:
        content = own(path)
        assert content.keys() == {'_base_', '_deprecation_'}, path
        successor = path.parent / content['_base_']
        assert successor in LEAVES, path
        expected = f'configs/{path.parent.name}/{successor.name}'
        assert content['_deprecation_'] == dict(expected=expected, reference='docs/configs.md')


def test_a_former_name_gives_the_same_config_and_warns():
    path = CONFIGS / 'seg' / 'upernet_van_b4_in22k_ade20k.py'
    with pytest.warns(
        DeprecationWarning, match=r'use configs/seg/upernet_van_b4_ade20k\.py instead'
    ):
        cfg = Config.fromfile(path)
    assert cfg.to_dict() == read(path.with_name('upernet_van_b4_ade20k.py')).to_dict()


def test_no_two_configs_are_the_same():
    contents = {}
    for path in LEAVES:
        cfg = read(path).to_dict()
        cfg.pop('published', None)
        contents.setdefault(repr(sorted(cfg.items())), []).append(path.stem)
    assert [twins for twins in contents.values() if len(twins) > 1] == []
