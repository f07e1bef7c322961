# MobileNetV2 of width 0.75 with coordinate attention on ImageNet-1K.
_base_ = [
    '../_base_/models/classifier_mobilenetv2.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/cls_sgd_200e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where='comparison of widths',
    parameters=2.89,
    flops=0.21,
    flops_shape=(224, 224),
    metrics=dict(top1=72.1),
    verified=False,
)

model = dict(backbone=dict(widen_factor=0.75, attention=dict(type='CoordAtt', reduction=32)))
