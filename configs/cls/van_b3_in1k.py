# VAN-B3 on ImageNet-1K.
_base_ = [
    '../_base_/models/classifier_van.py',
    '../_base_/datasets/imagenet_van.py',
    '../_base_/schedules/cls_adamw_300e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Visual Attention Network',
    where='table 7',
    parameters=44.8,
    flops=9,
    flops_shape=(224, 224),
    metrics=dict(top1=83.9),
)

model = dict(backbone=dict(arch='b3', drop_path_rate=0.2))
