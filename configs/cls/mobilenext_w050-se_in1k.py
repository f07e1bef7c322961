# MobileNeXt of width 0.5 with squeeze-and-excitation on ImageNet-1K, behind the first depthwise
# convolution of a block as in mobilenext-se_in1k.py. No code of it was released. The reduction is
# 16 instead of 24, since the first block has 16 channels.
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
    metrics=dict(top1=68.7),
    verified=False,
    difference='2.295 M; 2.317 M in the form that has the published count at width 1.0',
)

model = dict(backbone=dict(widen_factor=0.5, attention=dict(type='SE', reduction=16)))
