# VAN-B4 fine-tuned on ImageNet-1K at 224x224 from ImageNet-22K weights.
_base_ = [
    '../_base_/models/classifier_van_finetune.py',
    '../_base_/datasets/imagenet_van_finetune_224.py',
    '../_base_/schedules/cls_adamw_30e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Visual Attention Network',
    where='table 8',
    parameters=60.3,
    flops=12.2,
    flops_shape=(224, 224),
    metrics=dict(top1=85.7),
)

model = dict(
    backbone=dict(
        arch='b4',
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b4_in22k'),
    ),
)
