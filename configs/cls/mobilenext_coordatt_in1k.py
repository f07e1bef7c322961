# MobileNeXt with coordinate attention on ImageNet-1K. The authors report 75.2 top-1 accuracy with
# 4.09 M parameters and 0.33 G multiply-adds; none was measured here. This network has 3.97 M
# parameters: five blocks have no first depthwise convolution to put the attention behind, and
# what happens there is not published.
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
