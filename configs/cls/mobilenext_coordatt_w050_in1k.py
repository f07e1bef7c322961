# MobileNeXt of width 0.5 with coordinate attention on ImageNet-1K. The authors report 69.4 top-1
# accuracy with 2.4 M parameters and 0.11 G multiply-adds, figures not verified against the
# paper's text; none was measured here. This network has 2.28 M parameters: five blocks have no
# first depthwise convolution to put the attention behind, and what happens there is not
# published.
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
    difference='what five blocks without a first depthwise convolution have is not published',
)

model = dict(backbone=dict(widen_factor=0.5, attention=dict(type='CoordAtt', reduction=32)))
