"""Every host that the packages register, with the smallest arguments that build it."""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope, Registry
from torch import nn

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'

SCOPES = ('mmdet', 'mmseg', 'mmpretrain')

# Names of the smallest variants, in the tables of variants that classes have.
SMALLEST = ('deit-tiny', 'tiny', 'xx_small', 'small_050', 'b0', 'w18')

# Values of arguments, where a class has them, with which a backbone gives maps of any size.
GIVES_MAPS = dict(
    gap_before_final_norm=False,
    gap_before_output=False,
    reshape_last_feat=True,
    out_type='featmap',
    pad_small_map=True,
)

HRNET_STAGES = {
    f'stage{stage}': dict(
        num_modules=1,
        num_branches=stage,
        block='BASIC' if stage > 1 else 'BOTTLENECK',
        num_blocks=(1,) * stage,
        num_channels=(8, 16, 32, 64)[:stage],
    )
    for stage in (1, 2, 3, 4)
}
STDC = dict(
    stdc_type='STDCNet1',
    in_channels=3,
    channels=(8, 16, 32, 64, 128),
    bottleneck_type='cat',
    norm_cfg=dict(type='BN'),
    act_cfg=dict(type='ReLU'),
)
VIT = dict(embed_dims=48, num_layers=2, num_heads=3)

# Arguments that the signature does not tell, and smaller networks than the smallest published one.
BACKBONE_ARGUMENTS = {
    'mmdet.HRNet': dict(extra=HRNET_STAGES),
    'mmdet.HourglassNet': dict(
        downsample_times=2, num_stacks=1, stage_channels=(16, 16, 24), stage_blocks=(1, 1, 1),
        feat_channel=16,
    ),
    'mmdet.SSDVGG': dict(depth=16),
    'mmdet.TridentResNet': dict(
        depth=50, num_stages=3, out_indices=(2,), strides=(1, 2, 2), dilations=(1, 1, 1),
        num_branch=3, test_branch_idx=1, trident_dilations=(1, 2, 3),
        init_cfg=dict(type='Kaiming', layer=['Conv2d', 'TridentConv']),
    ),
    'mmpretrain.BEiTViT': dict(arch='deit-tiny', out_type='featmap', img_size=64),
    'mmpretrain.ConvMixer': dict(arch=dict(embed_dims=32, depth=2, patch_size=7, kernel_size=9)),
    'mmpretrain.MixMIMTransformer': dict(
        arch=dict(embed_dims=16, depths=[1, 1, 1, 1], num_heads=[2, 2, 2, 2])
    ),
    'mmpretrain.RepLKNet': dict(
        arch=dict(
            large_kernel_sizes=[13, 7, 7, 5], layers=[1, 1, 1, 1], channels=[8, 16, 32, 64],
            small_kernel=3, dw_ratio=1,
        )
    ),
    'mmpretrain.SparseConvNeXt': dict(arch='atto'),
    'mmpretrain.ViTSAM': dict(
        arch=dict(
            embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96,
            global_attn_indexes=[1],
        ),
        out_channels=32,
    ),
    'mmpretrain.XCiT': dict(embed_dims=48, depth=2, num_heads=3, patch_size=16),
    'mmseg.BEiT': VIT,
    'mmseg.BiSeNetV1': dict(
        backbone_cfg=dict(type='ResNet', depth=18, num_stages=4, out_indices=(0, 1, 2, 3))
    ),
    'mmseg.HRNet': dict(extra=HRNET_STAGES),
    'mmseg.ICNet': dict(
        backbone_cfg=dict(
            type='ResNetV1c', depth=18, num_stages=4, out_indices=(0, 1, 2, 3),
            dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1),
        ),
        layer_channels=(128, 512),
    ),
    'mmseg.MAE': VIT | dict(img_size=64),
    'mmseg.STDCNet': STDC,
    'mmseg.STDCContextPathNet': dict(
        backbone_cfg=dict(type='STDCNet', **STDC), last_in_channels=(128, 64), out_channels=16,
        ffm_cfg=dict(in_channels=48, out_channels=16, scale_factor=4),
    ),
    'mmseg.TIMMBackbone': dict(model_name='resnet10t', pretrained=False),
    'mmseg.UNet': dict(base_channels=8),
    'mmseg.VisionTransformer': VIT,
}  # fmt: skip

FREEZING = dict(norm_eval=True, frozen_stages=1)
NO_FREEZING = {'mmpretrain.HiViT': 'its frozen_stages needs the norm of vectors'}

NO_BACKBONES = {
    'mmseg.DeconvModule': 'upsampling layer inside UNet',
    'mmseg.InterpConv': 'upsampling layer inside UNet',
    'mmseg.VPD': 'a Stable Diffusion model, downloaded while building',
    'mmpretrain.SparseConvNeXt': 'runs only inside SparK, which sets the mask that it reads',
    'mmpretrain.SparseResNet': 'runs only inside SparK, which sets the mask that it reads',
}

TIMM = (
    'convnext_atto',
    'cspresnet50',
    'densenet121',
    'dla34',
    'edgenext_xx_small',
    'efficientnet_b0',
    'ese_vovnet19b_dw',
    'ghostnet_050',
    'hrnet_w18_small',
    'maxvit_rmlp_pico_rw_256',
    'mobilenetv3_small_050',
    'mobilevit_xxs',
    'pvt_v2_b0',
    'regnetx_002',
    'repvgg_a0',
    'res2net50_14w_8s',
    'resnest14d',
    'resnext26ts',
    'rexnet_100',
    'swin_tiny_patch4_window7_224',
    'vit_tiny_patch16_224',
)

PYRAMID = dict(in_channels=[8, 16, 24, 32], out_channels=16)
NECK_ARGUMENTS = {
    'mmdet.BFP': dict(in_channels=16, num_levels=5, refine_type='conv'),
    'mmdet.CLRFPN': PYRAMID | dict(num_outs=4),
    'mmdet.CSPNeXtPAFPN': PYRAMID | dict(num_csp_blocks=1),
    'mmdet.CTResNetNeck': dict(
        in_channels=32, num_deconv_filters=(16, 16), num_deconv_kernels=(4, 4), use_dcn=False
    ),
    'mmdet.ChannelMapper': PYRAMID,
    'mmdet.DilatedEncoder': dict(
        in_channels=32, out_channels=16, block_mid_channels=8, num_residual_blocks=2,
        block_dilations=[2, 4],
    ),
    'mmdet.DyHead': dict(
        in_channels=16, out_channels=16, num_blocks=1, zero_init_offset=False
    ),
    'mmdet.FPG': PYRAMID | dict(
        num_outs=4, stack_times=2, paths=['bu', 'bu'], inter_channels=16,
        across_down_trans=dict(type='interpolation_conv', mode='nearest', kernel_size=3),
        across_skip_trans=dict(type='conv', kernel_size=1),
        skip_inds=[(0, 1), (0, 1), (0,), ()],
    ),
    'mmdet.FPN': PYRAMID | dict(num_outs=5),
    'mmdet.FPN_CARAFE': PYRAMID | dict(num_outs=5),
    'mmdet.FPN_DropBlock': PYRAMID | dict(num_outs=5),
    'mmdet.HRFPN': PYRAMID,
    'mmdet.NASFCOS_FPN': PYRAMID | dict(num_outs=5, norm_cfg=dict(type='BN')),
    'mmdet.NASFPN': PYRAMID | dict(num_outs=5, stack_times=1),
    'mmdet.PAFPN': PYRAMID | dict(num_outs=5),
    'mmdet.RFP': dict(
        in_channels=[256, 512, 1024, 2048], out_channels=16, num_outs=5, rfp_steps=2,
        aspp_out_channels=4,
        rfp_backbone=dict(
            type='DetectoRS_ResNet', depth=50, norm_cfg=dict(type='BN'), rfp_inplanes=16,
            conv_cfg=dict(type='ConvAWS'), output_img=True,
        ),
    ),
    'mmdet.SSDNeck': dict(
        in_channels=[16, 32], out_channels=[16, 32, 16, 16], level_strides=[2, 1],
        level_paddings=[1, 0],
    ),
    'mmdet.SSH': dict(num_scales=3, in_channels=[16, 24, 32], out_channels=[8, 8, 16]),
    'mmdet.YOLOV3Neck': dict(num_scales=3, in_channels=[32, 24, 16], out_channels=[16, 12, 8]),
    'mmdet.YOLOXPAFPN': dict(in_channels=[16, 24, 32], out_channels=16, num_csp_blocks=1),
    'mmseg.FPN': PYRAMID | dict(num_outs=5),
    'mmseg.Feature2Pyramid': dict(embed_dim=16, norm_cfg=dict(type='BN')),
    'mmseg.ICNeck': dict(in_channels=(8, 16, 16), out_channels=16),
    'mmseg.JPU': dict(in_channels=(8, 16, 24), mid_channels=16),
    'mmseg.MLANeck': dict(in_channels=[16] * 4, out_channels=16),
    'mmseg.MultiLevelNeck': dict(in_channels=[16] * 4, out_channels=16),
}  # fmt: skip

NO_NECKS = {'mmdet.FPN_CARAFE': 'its upsampling runs on CUDA only'}

NO_HEADS = {'MaskFormerFusionHead': 'merges results, without layers'}


def registry(scope: str) -> Registry:
    importlib.import_module(f'{scope}.models')
    return importlib.import_module(f'{scope}.registry').MODELS


def registered(part: str) -> Iterator[tuple[str, type]]:
    """Names, with the scope, and classes that the packages register in their folder ``part``."""
    for scope in SCOPES:
        for name, cls in sorted(registry(scope).module_dict.items()):
            if cls.__module__.startswith(f'{scope}.models.{part}.'):
                yield f'{scope}.{name}', cls


def build(config: dict) -> nn.Module:
    """Build the part as a config of its package would, with names resolved in that package."""
    scope = config.get('_scope_') or config['type'].split('.')[0]
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(config)


def backbones() -> dict[str, dict]:
    """Configs of all backbones, by readable ids."""
    configs = {
        name: dict(type=name, **_arguments(name, cls))
        for name, cls in registered('backbones')
        if name != 'mmpretrain.TIMMBackbone'
    }
    for model in TIMM:
        arguments = dict(model_name=model, features_only=True, pretrained=False)
        configs[f'timm.{model}'] = dict(type='mmpretrain.TIMMBackbone', **arguments)
    return configs


def necks() -> dict[str, dict]:
    """Configs of all necks of mmdet and mmseg."""
    return {
        name: dict(type=name, **NECK_ARGUMENTS[name])
        for name, _ in registered('necks')
        if not name.startswith('mmpretrain.')
    }


def heads() -> dict[str, dict]:
    """Configs of the heads in the shipped configs, one of each class."""
    found: dict[str, dict] = {}
    seen = set()
    for path in sorted([*CONFIGS.glob('det/*.py'), *CONFIGS.glob('seg/*.py')]):
        # Configs of one model differ in width and depth.
        model = re.search(r'_base_/models/\w+', path.read_text())
        if model is None or model[0] in seen:
            continue
        seen.add(model[0])
        config = Config.fromfile(path)
        for head in _heads_in(config.model.to_dict()):
            # Some are registered in the root, but are built of layers of the package.
            found.setdefault(head['type'], ConfigDict(head, _scope_=config.default_scope))
    return found


def _heads_in(model: dict) -> Iterator[dict]:
    """Iterate over the heads of a model, narrow and with the norm of a single process."""
    for key, value in model.items():
        if key in ('host', 'roi_head'):
            yield from _heads_in(value)
        elif key.endswith('head'):
            for part in value if isinstance(value, list) else [value or {}]:
                head = part.get('host', part)
                narrow = {'channels': 16} if 'channels' in head else {}
                norm = {'norm_cfg': dict(type='BN')} if 'norm_cfg' in head else {}
                if head:
                    yield head | narrow | norm


def freezing(name: str, config: dict) -> dict:
    """Options of a backbone by which it freezes its first stages and its norms."""
    accepted = () if name in NO_FREEZING else _accepted(MODELS.get(config['type']))
    return {key: value for key, value in FREEZING.items() if key in accepted}


def _accepted(cls: type) -> set[str]:
    """Collect the arguments of a class and of those that it hands arguments on to."""
    accepted = set()
    for init in (c.__init__ for c in cls.__mro__ if '__init__' in vars(c)):
        parameters = inspect.signature(init).parameters
        accepted |= set(parameters)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            break
    return accepted


def _arguments(name: str, cls: type) -> dict:
    if name in BACKBONE_ARGUMENTS:
        return BACKBONE_ARGUMENTS[name]
    accepted = _accepted(cls)
    arguments = {key: value for key, value in GIVES_MAPS.items() if key in accepted}
    variants = getattr(cls, 'arch_settings', None) or getattr(cls, 'arch_zoo', None)
    if isinstance(variants, dict):
        first = next(iter(variants))
        smallest = next((variant for variant in SMALLEST if variant in variants), first)
        arguments['depth' if isinstance(smallest, int) else 'arch'] = smallest
    return arguments
