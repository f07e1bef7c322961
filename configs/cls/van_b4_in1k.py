# VAN-B4 on ImageNet-1K. The drop path rate of B4 is not published; it is B3's.
_base_ = [
    '../_base_/models/classifier_van.py',
    '../_base_/datasets/imagenet_van.py',
    '../_base_/schedules/cls_adamw_300e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Visual Attention Network',
    where='table 7',
    parameters=60.3,
    flops=12.2,
    flops_shape=(224, 224),
    metrics=dict(top1=84.2),
)

model = dict(backbone=dict(arch='b4', drop_path_rate=0.2))
