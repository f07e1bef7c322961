"""The configs that insert attention: the host and its recipe are the published ones, the place."""

import importlib
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

from mmattn.attention.base import Attention
from mmattn.insertion.inserted_attention import is_inserted
from tests.configs import leaves
from tests.configs.leaves import build_part


class Inserted(NamedTuple):
    """The host's config in its own package, how many modules it gets, the last place and width."""

    host: str | None
    count: int
    last: str
    channels: int


MASK_RCNN = 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco'
UPERNET = 'upernet/upernet_r50_4xb4-160k_ade20k-512x512'
INSERTED = {
    'det/mask_rcnn_r18-coordatt-insert_fpn_1x_coco': Inserted(
        None, 8, 'backbone.layer4.1.bn2', 512
    ),
    'det/mask_rcnn_r50-coordatt-insert_fpn_1x_coco': Inserted(
        MASK_RCNN, 16, 'backbone.layer4.2.conv3', 512
    ),
    # Its learning rate is not that of the published host.
    'det/mask_rcnn_r50-simam_fpn_1x_coco': Inserted(None, 16, 'backbone.layer4.2.conv2', 512),
    'det/mask_rcnn_r50-strippooling_fpn_1x_coco': Inserted(
        MASK_RCNN, 6, 'backbone.layer4.2.conv3', 512
    ),
    'det/mask_rcnn_swin_t-coordatt-insert_fpn_1x_coco': Inserted(
        'swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco', 4, 'backbone', 768
    ),
    'det/mask_rcnn_convnext_t-coordatt-insert_fpn_3x_coco': Inserted(
        'convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco',
        18,
        'backbone.stages.3.2.depthwise_conv',
        768,
    ),
    'det/mask_rcnn_r50_fpn-coordatt-insert_1x_coco': Inserted(MASK_RCNN, 5, 'neck', 256),
    'det/mask_rcnn_r50_pafpn-coordatt-insert_1x_coco': Inserted(None, 5, 'neck', 256),
    'det/retinanet_pvtv2_b0-coordatt-insert_fpn_1x_coco': Inserted(
        'pvt/retinanet_pvtv2-b0_fpn_1x_coco', 8, 'backbone.layers.3.1.1.ffn.layers.4', 1024
    ),
    'det/retinanet_regnetx_800mf-coordatt-insert_fpn_1x_coco': Inserted(
        'regnet/retinanet_regnetx-800MF_fpn_1x_coco', 16, 'backbone.layer4.4.conv3', 672
    ),
    'det/retinanet_timm_efficientnet_b1-coordatt-insert_fpn_1x_coco': Inserted(
        'timm_example/retinanet_timm-efficientnet-b1_fpn_1x_coco',
        21,
        'backbone.timm_model.blocks.6.1.se',
        1920,
    ),
    'det/yolox_s-coordatt-insert_300e_coco': Inserted(
        'yolox/yolox_s_8xb8-300e_coco', 3, 'backbone.stage4', 512
    ),
    'seg/upernet_r50-simam_ade20k': Inserted(UPERNET, 16, 'backbone.layer4.2.conv2', 512),
    'seg/upernet_r50-strippooling_ade20k': Inserted(UPERNET, 6, 'backbone.layer4.2.conv3', 512),
    'seg/upernet-coordatt-insert_r50_ade20k': Inserted(
        UPERNET, 1, 'decode_head.fpn_bottleneck', 512
    ),
    'seg/deeplabv3-coordatt-insert_r50_d8_ade20k': Inserted(
        'deeplabv3/deeplabv3_r50-d8_4xb4-160k_ade20k-512x512', 1, 'decode_head.bottleneck', 512
    ),
    'seg/upernet_swin_t-coordatt-insert_ade20k': Inserted(
        'swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512',
        4,
        'backbone',
        768,
    ),
    'seg/upernet_convnext_t-coordatt-insert_ade20k': Inserted(
        'convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512',
        18,
        'backbone.stages.3.2.depthwise_conv',
        768,
    ),
    'seg/fcn_hr18-coordatt-insert_ade20k': Inserted(
        'hrnet/fcn_hr18_4xb4-160k_ade20k-512x512', 4, 'backbone', 144
    ),
}
# Frozen foundation models, which no package has as hosts, and the width of their last map.
FROZEN = {
    'det/mask_rcnn_timm_convnext_t_dinov3-coordatt-insert_fpn_1x_coco': 768,
    'seg/upernet_timm_convnext_t_dinov3-coordatt-insert_ade20k': 768,
    'seg/upernet_timm_vit_s16_dinov3-coordatt-insert_ade20k': 384,
}
INSERTED |= {name: Inserted(None, 4, 'backbone', width) for name, width in FROZEN.items()}
# Behind four stages of the backbone and each map of the neck; mmdet has none with the stride 4.
REAL_TIME = {
    'rtmdet_tiny': ('rtmdet/rtmdet_tiny_8xb32-300e_coco', 384),
    'rtmdet_s': ('rtmdet/rtmdet_s_8xb32-300e_coco', 512),
    'yolox_s': ('yolox/yolox_s_8xb8-300e_coco', 512),
}
for detector, (published, width) in REAL_TIME.items():
    for kind in ('coordatt', 'cbam', 'eca'):
        INSERTED |= {
            f'det/{detector}-{kind}-insert-neck_300e_coco': Inserted(
                published, 4 + 3, 'neck.bottom_up_blocks.1', width
            ),
            f'det/{detector}_p2-{kind}-insert-neck_300e_coco': Inserted(
                None, 4 + 4, 'neck.bottom_up_blocks.2', width
            ),
        }
each = pytest.mark.parametrize('name', INSERTED)
each_of_a_published_host = pytest.mark.parametrize(
    'name', [name for name, inserted in INSERTED.items() if inserted.host]
)


def load(name: str) -> Config:
    return leaves.load(leaves.named(*name.split('/')))


def load_host(name: str) -> Config:
    package = {'det': 'mmdet', 'seg': 'mmseg'}[name.split('/')[0]]
    init_default_scope(package)
    folder = Path(importlib.import_module(package).__file__).parent / '.mim' / 'configs'
    return Config.fromfile(folder / f'{INSERTED[name].host}.py')


def build(name: str) -> nn.Module:
    return leaves.build(leaves.named(*name.split('/')))


def attentions(name: str) -> dict[str, nn.Module]:
    return {key: m for key, m in build(name).named_modules() if isinstance(m, Attention)}


def shapes(module: nn.Module) -> dict[str, tuple]:
    tensors = module.state_dict().items()
    return {key: tuple(tensor.shape) for key, tensor in tensors if not is_inserted(key)}


def test_is_every_config_with_insertion():
    assert set(INSERTED) == {
        f'{path.parent.name}/{path.stem}'
        for path in leaves.LEAVES
        if 'InsertAttention' in path.read_text()
    }


@each
def test_attention_stands_in_its_place(name):
    found = attentions(name)
    *_, (key, attention) = found.items()
    assert len(found) == INSERTED[name].count
    assert key.partition('.inserted_attention')[0] == INSERTED[name].last
    assert attention.in_channels == INSERTED[name].channels


@each
def test_starts_as_the_host_unless_trained_from_random_weights(name):
    identity = 'yolox' not in name
    assert all((a.blend is not None) == identity for a in attentions(name).values())


@each_of_a_published_host
def test_host_is_the_published_one(name):
    host = load_host(name)
    if 'pretrained' in host.model.backbone:
        host.model.backbone.pretrained = False
    assert shapes(build_part(host.model)) == shapes(build(name))


def without_loading(pipeline: list[dict]) -> list[dict]:
    """Leave out the step that reads the file, by a class of our own."""
    return [dict(step) for step in pipeline[1:]]


def recipe(cfg: Config) -> dict:
    optimizer, paramwise = cfg.optim_wrapper.optimizer, cfg.optim_wrapper.get('paramwise_cfg', {})
    # Swin has this option, and nobody uses it.
    paramwise.get('custom_keys', {}).pop('absolute_pos_embed', None)
    hooks = cfg.get('custom_hooks')
    for hook in hooks or ():
        if 'switch_pipeline' in hook:
            hook.switch_pipeline = without_loading(hook.switch_pipeline)
    return dict(
        optimizer={key: optimizer.get(key) for key in ('type', 'lr', 'weight_decay', 'momentum')},
        constructor=cfg.optim_wrapper.get('constructor'),
        paramwise=paramwise,
        clip_grad=cfg.optim_wrapper.get('clip_grad'),
        schedule=[dict(scheduler) for scheduler in cfg.param_scheduler],
        length=cfg.train_cfg.get('max_epochs', cfg.train_cfg.get('max_iters')),
        batch=cfg.train_dataloader.batch_size,
        colours=[cfg.model.data_preprocessor.get(key) for key in ('mean', 'std', 'bgr_to_rgb')],
        test=cfg.model.test_cfg,
        hooks=hooks,
    )


@each_of_a_published_host
def test_recipe_is_that_of_the_host(name):
    assert recipe(load(name)) == recipe(load_host(name))


@pytest.mark.parametrize(
    'name', ['det/mask_rcnn_r50-simam_fpn_1x_coco', 'seg/upernet_r50-simam_ade20k']
)
def test_simam_stands_between_a_convolution_and_its_norm(name):
    found = attentions(name)
    assert {attention.e_lambda for attention in found.values()} == {0.1}
    block = build(name).backbone.layer2[1]
    seen = []
    attention = next(m for m in block.conv2.modules() if isinstance(m, Attention))
    hooks = [
        attention.register_forward_hook(lambda module, args, out: seen.append(out)),
        block.bn2.register_forward_pre_hook(lambda module, args: seen.append(args[0])),
    ]
    block(torch.empty(2, 512, 5, 7, device='meta'))
    for hook in hooks:
        hook.remove()  # The model is shared by the tests.
    assert seen[0] is seen[1]


def test_simam_detects_at_half_of_the_learning_rate():
    optimizer = load('det/mask_rcnn_r50-simam_fpn_1x_coco').optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('SGD', 0.01, 0.0001)


@pytest.mark.parametrize(
    'name', ['det/mask_rcnn_r50-strippooling_fpn_1x_coco', 'seg/upernet_r50-strippooling_ade20k']
)
def test_strip_pooling_stands_in_the_blocks_of_the_release(name):
    places = [key.partition('.inserted_attention')[0] for key in attentions(name)]
    assert places == [
        f'backbone.layer{block}.conv3' for block in ('1.2', '2.3', '3.5', '4.0', '4.1', '4.2')
    ]


@pytest.mark.parametrize('host', ['mask_rcnn_r18', 'mask_rcnn_r50', 'retinanet_regnetx_800mf'])
def test_attention_trains_in_the_frozen_stage_of_its_host(host):
    backbone = build(f'det/{host}-coordatt-insert_fpn_1x_coco').backbone
    backbone.train()
    assert backbone.frozen_stages == 1 and backbone.norm_eval
    for name, parameter in backbone.layer1.named_parameters():
        assert parameter.requires_grad == is_inserted(name), name
    for name, module in backbone.layer1.named_modules():
        if 'bn' in name:
            assert module.training == is_inserted(name), name


@pytest.mark.parametrize(
    'name',
    [
        'det/mask_rcnn_convnext_t-coordatt-insert_fpn_3x_coco',
        'seg/upernet_convnext_t-coordatt-insert_ade20k',
    ],
)
def test_attention_learns_at_the_rate_of_its_block(name):
    groups = build_optim_wrapper(build(name), load(name).optim_wrapper).optimizer.param_groups
    rates = {key: group['lr'] for group in groups for key in group['param_names']}
    inserted = [key for key in rates if is_inserted(key)]
    assert len({rates[key] for key in inserted}) > 1
    for key in inserted:
        block = key.partition('.depthwise_conv')[0]
        assert rates[key] == rates[f'{block}.gamma']


@pytest.mark.parametrize('size', ['tiny', 's'])
def test_images_of_rtmdet_are_those_of_the_host(size):
    name = f'det/rtmdet_{size}-eca-insert-neck_300e_coco'
    ours, theirs = load(name), load_host(name)
    for loader in ('train_dataloader', 'test_dataloader'):
        mine, other = (without_loading(cfg[loader].dataset.pipeline) for cfg in (ours, theirs))
        assert mine == other
    assert ours.val_evaluator.proposal_nums == theirs.val_evaluator.proposal_nums


def count(model: Config) -> float:
    return sum(p.numel() for p in build_part(model).parameters()) / 1e6


def test_the_stride_of_4_costs_what_is_counted_elsewhere():
    """Millions of parameters, by the code of mmdet; the sizes are those of YOLOX-tiny here."""
    rtmdet = [load(f'det/rtmdet_tiny{p2}-eca-insert-neck_300e_coco') for p2 in ('', '_p2')]
    assert [count(c.model.host) for c in rtmdet] == pytest.approx([4.896, 4.452], abs=1e-3)
    found = []
    for p2, widths in (('', [96, 192, 384]), ('_p2', [48, 96, 192, 384])):
        host = load(f'det/yolox_s{p2}-eca-insert-neck_300e_coco').model.host
        host.backbone.widen_factor = 0.375
        host.neck.update(in_channels=widths, out_channels=96)
        host.bbox_head.update(in_channels=96, feat_channels=96)
        found.append(count(host))
    assert found == pytest.approx([5.056, 5.482], abs=1e-3)


@pytest.mark.parametrize('name', [name for name in INSERTED if '_p2-eca' in name])
def test_the_head_has_a_level_for_every_stride(name):
    model = build(name).eval()
    maps = model.extract_feat(torch.empty(1, 3, 64, 96, device='meta'))
    assert [tuple(m.shape[2:]) for m in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    levels = model.bbox_head(maps)
    assert [tuple(m.shape[2:]) for m in levels[0]] == [tuple(m.shape[2:]) for m in maps]
    generator = model.bbox_head.prior_generator
    assert [stride[0] for stride in generator.strides] == [4, 8, 16, 32]


@pytest.mark.parametrize('name', FROZEN)
def test_a_foundation_model_stays_frozen_and_all_else_trains(name):
    model = build(name).train()
    for key, parameter in model.named_parameters():
        frozen = key.startswith('backbone.timm_model.')
        assert parameter.requires_grad != frozen, key
    assert not model.backbone.timm_model.training
    assert all(attention.training for attention in attentions(name).values())
    maps = model.extract_feat(torch.empty(1, 3, 64, 96, device='meta'))
    assert [tuple(m.shape[2:]) for m in maps[:4]] == [(16, 24), (8, 12), (4, 6), (2, 3)]
