# VAN-B6 fine-tuned on ImageNet-1K at 384x384 from ImageNet-22K weights.
_base_ = [
    '../_base_/models/classifier_van_finetune.py',
    '../_base_/datasets/imagenet_van_finetune_384.py',
    '../_base_/schedules/cls_adamw_30e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Visual Attention Network',
    where='table 8',
    parameters=200,
    flops=114.3,
    flops_shape=(384, 384),
    metrics=dict(top1=87.8),
)

model = dict(
    backbone=dict(
        arch='b6',
        drop_path_rate=0.3,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b6_in22k'),
    ),
    head=dict(in_channels=768),
)
