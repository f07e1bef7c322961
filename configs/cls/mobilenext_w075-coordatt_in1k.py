# MobileNeXt of width 0.75 with coordinate attention on ImageNet-1K. It stands behind the first
# depthwise convolution of a block, where the authors draw it; behind the last one,
# attention_position='after_dw2', it would be 3.150 M parameters.
_base_ = [
    '../_base_/models/classifier_mobilenext.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/cls_sgd_200e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where='comparison of widths',
    parameters=3,
    flops=0.22,
    flops_shape=(224, 224),
    metrics=dict(top1=73.2),
    verified=False,
)

model = dict(backbone=dict(widen_factor=0.75, attention=dict(type='CoordAtt', reduction=32)))
