# MobileNeXt with squeeze-and-excitation on ImageNet-1K.
_base_ = [
    '../_base_/models/classifier_mobilenext.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/cls_sgd_200e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where="authors' README",
    parameters=3.89,
    flops=0.3,
    flops_shape=(224, 224),
    metrics=dict(top1=74.7),
)

model = dict(backbone=dict(attention=dict(type='SE', reduction=24)))
