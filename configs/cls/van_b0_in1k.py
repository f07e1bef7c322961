# VAN-B0 on ImageNet-1K. Its multiply-adds are published with two decimals in the ablation of the
# kernel size, with one in the table.
_base_ = [
    '../_base_/models/classifier_van.py',
    '../_base_/datasets/imagenet_van.py',
    '../_base_/schedules/cls_adamw_300e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Visual Attention Network',
    where='table 7',
    parameters=4.1,
    flops=0.88,
    flops_shape=(224, 224),
    metrics=dict(top1=75.4),
)

model = dict(backbone=dict(arch='b0'), head=dict(in_channels=256))
