"""Every host that the packages register, with the smallest arguments that build it."""

import importlib
from collections.abc import Iterator

from mmengine.registry import Registry

SCOPES = ('mmdet', 'mmseg', 'mmpretrain')

HRNET_STAGES = dict(
    stage1=dict(
        num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(1,), num_channels=(16,)
    ),
    stage2=dict(
        num_modules=1, num_branches=2, block='BASIC', num_blocks=(1,) * 2, num_channels=(8, 16)
    ),
    stage3=dict(
        num_modules=1, num_branches=3, block='BASIC', num_blocks=(1,) * 3, num_channels=(8, 16, 32)
    ),
    stage4=dict(
        num_modules=1,
        num_branches=4,
        block='BASIC',
        num_blocks=(1,) * 4,
        num_channels=(8, 16, 32, 64),
    ),
)
MMSEG_RESNET = dict(type='ResNet', depth=18, num_stages=4, out_indices=(0, 1, 2, 3))
STDC = dict(
    type='STDCNet',
    stdc_type='STDCNet1',
    in_channels=3,
    channels=(32, 64, 256, 512, 1024),
    bottleneck_type='cat',
    norm_cfg=dict(type='BN'),
    act_cfg=dict(type='ReLU'),
)

# Arguments that the signature of a class does not tell.
BACKBONE_ARGUMENTS = {
    'mmdet.HRNet': dict(extra=HRNET_STAGES),
    'mmdet.SSDVGG': dict(depth=16),
    'mmdet.TridentResNet': dict(
        depth=50,
        num_stages=3,
        out_indices=(2,),
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        num_branch=3,
        test_branch_idx=1,
        trident_dilations=(1, 2, 3),
    ),
    'mmseg.BiSeNetV1': dict(backbone_cfg=MMSEG_RESNET),
    'mmseg.HRNet': dict(extra=HRNET_STAGES),
    'mmseg.ICNet': dict(backbone_cfg=MMSEG_RESNET | dict(depth=50), layer_channels=(512, 2048)),
    'mmseg.STDCNet': {k: v for k, v in STDC.items() if k != 'type'},
    'mmseg.STDCContextPathNet': dict(backbone_cfg=STDC),
    'mmseg.TIMMBackbone': dict(model_name='resnet18', features_only=True),
    'mmpretrain.TIMMBackbone': dict(model_name='resnet18', features_only=True),
}


def registry(scope: str) -> Registry:
    importlib.import_module(f'{scope}.models')
    return importlib.import_module(f'{scope}.registry').MODELS


def registered(part: str) -> Iterator[tuple[str, type]]:
    """Names, with the scope, and classes that the packages register in their folder ``part``."""
    for scope in SCOPES:
        for name, cls in sorted(registry(scope).module_dict.items()):
            if cls.__module__.startswith(f'{scope}.models.{part}.'):
                yield f'{scope}.{name}', cls


def backbone_config(name: str, cls: type) -> dict:
    if name in BACKBONE_ARGUMENTS:
        return dict(type=name, **BACKBONE_ARGUMENTS[name])
    settings = getattr(cls, 'arch_settings', None) or getattr(cls, 'arch_zoo', None)
    if not isinstance(settings, dict):
        return dict(type=name)
    smallest = next(iter(settings))
    return dict(type=name, **{'depth' if isinstance(smallest, int) else 'arch': smallest})
