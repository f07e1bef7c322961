# MobileNeXt with coordinate attention on ImageNet-1K.
_base_ = [
    '../_base_/models/classifier_mobilenext.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/cls_sgd_200e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where="authors' README",
    parameters=4.09,
    flops=0.33,
    flops_shape=(224, 224),
    metrics=dict(top1=75.2),
    difference='what five blocks without a first depthwise convolution have is not published',
)

model = dict(backbone=dict(attention=dict(type='CoordAtt', reduction=32)))
