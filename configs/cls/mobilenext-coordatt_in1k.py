# MobileNeXt with coordinate attention on ImageNet-1K. It stands behind the first depthwise
# convolution of a block, where the authors draw it and say that it works better. The parameters
# that they count are those of coordinate attention behind the last one instead,
# attention_position='after_dw2'.
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
    difference='3.97 M behind the first depthwise convolution; 4.088 M behind the last one',
)

model = dict(backbone=dict(attention=dict(type='CoordAtt', reduction=32)))
