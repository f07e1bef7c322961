# MobileNeXt of width 0.5 with coordinate attention on ImageNet-1K. It stands behind the first
# depthwise convolution of a block, where the authors draw it; the parameters that they count are
# those of coordinate attention behind the last one instead, attention_position='after_dw2'.
_base_ = [
    '../_base_/models/classifier_mobilenext.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/cls_sgd_200e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where='comparison of widths',
    parameters=2.4,
    flops=0.11,
    flops_shape=(224, 224),
    metrics=dict(top1=69.4),
    verified=False,
    difference='2.27 M behind the first depthwise convolution; 2.424 M behind the last one',
)

model = dict(backbone=dict(widen_factor=0.5, attention=dict(type='CoordAtt', reduction=32)))
