# MobileNeXt of width 0.5 on ImageNet-1K.
_base_ = [
    '../_base_/models/classifier_mobilenext_released.py',
    '../_base_/datasets/imagenet_mobilenext.py',
    '../_base_/schedules/cls_nag_210e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Rethinking Bottleneck Structure for Efficient Mobile Network Design',
    where="authors' README",
    parameters=2.1,
    flops=0.11,
    flops_shape=(224, 224),
    metrics=dict(top1=67.7),
    difference='the layers that the released code builds at this width hold 2.15 M',
)

model = dict(backbone=dict(widen_factor=0.5))
