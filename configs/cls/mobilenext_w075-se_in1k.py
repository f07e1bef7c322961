# MobileNeXt of width 0.75 with squeeze-and-excitation on ImageNet-1K, behind the first depthwise
# convolution of a block as in mobilenext-se_in1k.py. No code of it was released.
_base_ = [
    '../_base_/models/classifier_mobilenext.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/cls_sgd_200e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Coordinate Attention for Efficient Mobile Network Design',
    where='comparison of widths',
    parameters=2.9,
    flops=0.21,
    flops_shape=(224, 224),
    metrics=dict(top1=72.6),
    verified=False,
    difference='2.98 M; without attention the released code already holds 2.77 M, not 2.5 M',
)

model = dict(backbone=dict(widen_factor=0.75, attention=dict(type='SE', reduction=24)))
