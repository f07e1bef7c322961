# MobileNeXt of width 0.35 on ImageNet-1K.
_base_ = [
    '../_base_/models/classifier_mobilenext_released.py',
    '../_base_/datasets/imagenet_mobilenext.py',
    '../_base_/schedules/cls_nag_210e.py',
    '../_base_/runtime/cls.py',
]

published = dict(
    paper='Rethinking Bottleneck Structure for Efficient Mobile Network Design',
    where="authors' README",
    parameters=1.8,
    flops=0.08,
    flops_shape=(224, 224),
    metrics=dict(top1=64.7),
    difference='the layers that the released code builds at this width hold 1.91 M',
)

model = dict(backbone=dict(widen_factor=0.35))
