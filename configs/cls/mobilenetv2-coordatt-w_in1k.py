# MobileNetV2 with one gate per column only on ImageNet-1K. The reduction of 24 is concluded from
# the parameters.
_base_ = [
    '../_base_/models/classifier_mobilenetv2.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/cls_sgd_200e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where='ablation',
    parameters=3.89,
    metrics=dict(top1=73.5),
    verified=False,
)

model = dict(backbone=dict(attention=dict(type='CoordAtt', reduction=24, direction='w')))
